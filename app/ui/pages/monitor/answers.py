"""The table of finished answers: what each took, newest first; a click shows its stretch of the graph."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from app.shared.chats import AnswerFacts, Message
from app.shared.units import GIB
from app.ui.i18n import clock, full_moment, number, tr

Index = QModelIndex | QPersistentModelIndex
KEPT = 500
NOTHING = "–"
MODEL_COLUMN = 1


@dataclass(frozen=True)
class _Column:
    title: str
    raw: Callable[[Message, AnswerFacts], float | str | None]
    words: Callable[[Any], str]
    text: bool = False
    gpu_only: bool = False


def _columns() -> list[_Column]:
    def joules(message: Message, facts: AnswerFacts) -> float | None:
        tokens = facts.timings.completion_tokens
        return facts.energy_joules / tokens if facts.energy_joules is not None and tokens else None

    def whole(value: float) -> str:
        return number(round(value))

    def one(value: float) -> str:
        return number(value, decimals=1)

    return [
        _Column(tr("Time"), lambda m, f: m.created_at, lambda at: clock(at, seconds=True), text=True),
        _Column(tr("Model"), lambda m, f: f.model, str, text=True),
        _Column(tr("Preset"), lambda m, f: f.preset, str, text=True),
        _Column(tr("Experts"), lambda m, f: f.experts_used, whole),
        _Column(tr("Prompt"), lambda m, f: f.timings.prompt_tokens, whole),
        _Column(tr("From cache"), lambda m, f: f.timings.cached_tokens, whole),
        _Column(tr("Answer"), lambda m, f: f.timings.completion_tokens, whole),
        _Column(
            tr("First token, s"), lambda m, f: f.timings.first_token_seconds, lambda v: number(v, decimals=2)
        ),
        _Column(tr("Prefill, tokens/s"), lambda m, f: f.timings.prefill_tokens_per_second, whole),
        _Column(tr("Decode, tokens/s"), lambda m, f: f.timings.tokens_per_second, one),
        _Column(tr("J per token"), joules, one, gpu_only=True),
        _Column(
            tr("Peak VRAM, GiB"),
            lambda m, f: None if f.peak_vram_bytes is None else f.peak_vram_bytes / GIB,
            one,
            gpu_only=True,
        ),
    ]


class AnswersModel(QAbstractTableModel):
    """Answers with their facts. Inserts at the top, replaces in place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns = _columns()
        self._rows: list[Message] = []

    @property
    def rows(self) -> tuple[Message, ...]:
        return tuple(self._rows)

    def gpu_columns(self) -> list[int]:
        """The columns that say nothing without a GPU."""
        return [index for index, column in enumerate(self._columns) if column.gpu_only]

    def replace(self, messages: Iterable[Message]) -> None:
        """Show these answers."""
        self.beginResetModel()
        shown = [message for message in messages if _counts(message)]
        self._rows = sorted(shown, key=lambda message: -message.created_at)[:KEPT]
        self.endResetModel()

    def take(self, message: Message) -> None:
        """Add a finished answer or replace the row it has."""
        if not _counts(message):
            return
        for row, known in enumerate(self._rows):
            if known.id == message.id:
                self._rows[row] = message
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(self._columns) - 1))
                return
        row = next(
            (i for i, m in enumerate(self._rows) if m.created_at <= message.created_at), len(self._rows)
        )
        self.beginInsertRows(QModelIndex(), row, row)
        self._rows.insert(row, message)
        self.endInsertRows()

    def message(self, row: int) -> Message:
        """Return the answer of a row."""
        return self._rows[row]

    def as_csv(self) -> str:
        """Return all rows as CSV, raw numbers with a point."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.title for column in self._columns])
        for message in self._rows:
            facts = message.facts or AnswerFacts()
            raw = (column.raw(message, facts) for column in self._columns)
            writer.writerow(["" if value is None else value for value in raw])
        return text.getvalue()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - as above
        return 0 if parent.isValid() else len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        return None

    def data(self, index: Index, role: int = 0) -> Any:
        column, message = self._columns[index.column()], self._rows[index.row()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            if index.column() == 0:
                return full_moment(message.created_at)
            return column.raw(message, message.facts or AnswerFacts()) if column.text else None
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = column.raw(message, message.facts or AnswerFacts())
        return NOTHING if value is None else column.words(value)


def _counts(message: Message) -> bool:
    return message.role == "assistant" and message.facts is not None and message.state in ("done", "stopped")


def _alignment(column: _Column) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignLeft if column.text else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter


class AnswersTable(QTableView):
    """The table without a grid; `picked` tells the answer that was chosen by click or keyboard."""

    picked = Signal(object)

    def __init__(self, model: AnswersModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._answers = model
        self.setAccessibleName(tr("Answers"))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(28)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(50)
        header.setSectionResizeMode(MODEL_COLUMN, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(56)
        self.clicked.connect(lambda index: self.picked.emit(model.message(index.row())))
        self.activated.connect(lambda index: self.picked.emit(model.message(index.row())))

    def show_gpu_columns(self, shown: bool) -> None:
        """Hide the columns that say nothing on a machine without a GPU."""
        for column in self._answers.gpu_columns():
            self.setColumnHidden(column, not shown)
