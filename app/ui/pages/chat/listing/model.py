"""Rows for Qt's list view: exact inserts and removals, so that selection and scrolling stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.ui.i18n import moment, tr
from app.ui.pages.chat.listing.rows import ChatRow, Heading, HitRow, Row

ROW_ROLE = Qt.ItemDataRole.UserRole + 1
_Index = QModelIndex | QPersistentModelIndex
_NO_INDEX = QModelIndex()


class ChatListModel(QAbstractListModel):
    """`renamed(chat id, title)` when a title was edited in the list."""

    renamed = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Row] = []

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows, telling the view only what differs."""
        old, new = [_identity(row) for row in self._rows], [_identity(row) for row in rows]
        if old != new:
            for tag, a, b, c, d in reversed(SequenceMatcher(None, old, new, autojunk=False).get_opcodes()):
                if tag in ("delete", "replace"):
                    self.beginRemoveRows(QModelIndex(), a, b - 1)
                    del self._rows[a:b]
                    self.endRemoveRows()
                if tag in ("insert", "replace"):
                    self.beginInsertRows(QModelIndex(), a, a + d - c - 1)
                    self._rows[a:a] = rows[c:d]
                    self.endInsertRows()
        self._rows = list(rows)
        if rows:
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.EditRole and isinstance(row, ChatRow):
            return row.chat.title
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return _words(row)
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(row, ChatRow):
            return title_of(row)
        return None

    def flags(self, index: _Index) -> Qt.ItemFlag:
        row = self._rows[index.row()] if index.isValid() else None
        if row is None or isinstance(row, Heading):
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if isinstance(row, ChatRow) else flags

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        row = self._rows[index.row()]
        title = str(value).strip()
        if role != Qt.ItemDataRole.EditRole or not isinstance(row, ChatRow) or title == row.chat.title:
            return False
        self._rows[index.row()] = ChatRow(row.chat.model_copy(update={"title": title}))
        self.dataChanged.emit(index, index)
        self.renamed.emit(row.chat.id, title)
        return True

    def index_of(self, chat_id: str) -> QModelIndex:
        """Return where a chat stands; invalid if it is not listed."""
        for number, row in enumerate(self._rows):
            if isinstance(row, ChatRow) and row.chat.id == chat_id:
                return self.index(number)
        return QModelIndex()


def title_of(row: ChatRow | HitRow) -> str:
    """Return a chat's title, or words for one without."""
    chat = row.chat if isinstance(row, ChatRow) else row.hit.chat
    return chat.title or tr("New chat")


def _identity(row: Row) -> tuple[str, str]:
    match row:
        case Heading():
            return ("heading", row.title)
        case ChatRow():
            return ("chat", row.chat.id)
        case HitRow():
            return ("hit", f"{row.hit.chat.id}/{row.hit.message_id}/{row.hit.snippet}")


def _words(row: Row) -> str:
    match row:
        case Heading():
            return tr(row.title)
        case ChatRow():
            return f"{title_of(row)}, {moment(row.chat.updated_at)}"
        case HitRow():
            return f"{title_of(row)}: {row.hit.snippet}".replace("\ue000", "").replace("\ue001", "")
