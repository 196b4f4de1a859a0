"""The Log page: what llama.cpp, the worker, the service and this window say, live; filtered, copied, saved."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QDesktopServices,
    QGuiApplication,
    QPalette,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.shared import paths
from app.ui import excepthooks
from app.ui.context import Page, WindowContext
from app.ui.controls import Combo, Hairline, IconButton, Label, SearchField, Switch
from app.ui.i18n import clock, mark, ntr, tr
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.shared.events import LogLine

KEPT_LINES = 5_000
SLICE_LINES = 150  # drawn per turn of the event loop: a refilled page must not hold the window up
LEVELS = ("debug", "info", "warning", "error")
LEVEL_COLORS = {"debug": "text3", "info": "text2", "warning": "warn", "error": "err"}
LEVEL_WORDS = {
    "debug": mark("Everything"),
    "info": mark("Info and worse"),
    "warning": mark("Warnings and errors"),
    "error": mark("Errors only"),
}


class LogPage(Page):
    """A live log. New lines are followed while the view is at its end."""

    page_id = "log"
    title = mark("Log")
    icon_name = "log"
    _own_line = Signal(object)

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._waiting: deque[LogLine] = deque()
        self._sources: list[str] = []
        self._fetched = False
        self._slices = QTimer(self)
        self._slices.setInterval(0)
        self._slices.timeout.connect(self._draw_slice)
        self._filter_later = QTimer(self)
        self._filter_later.setSingleShot(True)
        self._filter_later.setInterval(120)
        self._filter_later.timeout.connect(self._refill)
        self._build()
        themes().changed.connect(self._refill)
        context.bridge.logLines.connect(self._take)
        context.bridge.stateReplaced.connect(self._fetch)
        self._own_line.connect(self._take_own)
        own = excepthooks.recent_lines()
        for line in own.lines:
            self._take_own(line)
        emit = self._own_line.emit
        own.listeners.append(emit)
        self.destroyed.connect(lambda: own.listeners.remove(emit))
        if context.state.connected:
            self._fetch()

    def _build(self) -> None:
        head = QWidget()
        head.setFixedHeight(theme().metric("page_head"))
        row = QHBoxLayout(head)
        row.setContentsMargins(24, 0, 16, 0)
        row.setSpacing(8)
        row.addWidget(Label(tr("Log"), "title"))
        self.count = Label("", "secondary", "text3")
        row.addWidget(self.count)
        row.addStretch(1)
        self.search = SearchField(tr("Search the log"))
        self.search.setFixedWidth(220)
        self.search.setFixedHeight(theme().metric("control_compact"))
        self.level = Combo(
            [(level, tr(LEVEL_WORDS[level])) for level in LEVELS], label=tr("Level"), current="info"
        )
        self.source = Combo([("", tr("All sources"))], label=tr("Source"), current="")
        self.follow = Switch(tr("Follow"), show_label=True)
        self.follow.setChecked(True)
        self.copy_button = IconButton("copy", tr("Copy what is shown, or what is selected"))
        self.save_button = IconButton("download", tr("Save what is shown…"))
        self.folder_button = IconButton("folder", tr("Open the folder of log files"))
        self.clear_button = IconButton("trash", tr("Empty this view; the files stay"))
        for widget in (self.search, self.level, self.source, self.follow):
            row.addWidget(widget)
        row.addSpacing(4)
        for button in (self.copy_button, self.save_button, self.folder_button, self.clear_button):
            row.addWidget(button)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setFrameShape(QFrame.Shape.NoFrame)
        self.view.setMaximumBlockCount(KEPT_LINES)
        self.view.setUndoRedoEnabled(False)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.view.setFont(theme().font("code"))
        self.view.setAccessibleName(tr("Log lines"))
        self.view.document().setDocumentMargin(12)
        self.view.setViewportMargins(12, 0, 0, 0)  # lines begin under the title
        self.view.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(Hairline())
        column.addWidget(self.view, 1)
        self.search.searched.connect(lambda _text: self._filter_later.start())
        self.level.chosen.connect(self._refill)
        self.source.chosen.connect(self._refill)
        self.follow.toggled.connect(lambda on: self._to_end() if on else None)
        self.view.verticalScrollBar().valueChanged.connect(self._scrolled)
        self.copy_button.clicked.connect(self._copy)
        self.save_button.clicked.connect(self._save)
        self.folder_button.clicked.connect(
            lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(paths.log_dir())))
        )
        self.clear_button.clicked.connect(self._clear)

    def focus_main(self) -> None:
        self.search.setFocus(Qt.FocusReason.OtherFocusReason)

    def regions(self) -> list[QWidget]:
        return [self.search, self.view]

    def restore_layout(self) -> None:
        self.level.set_current(self.context.settings.get("log.level", "info"))

    def save_layout(self) -> None:
        self.context.settings.put("log.level", self.level.current() or "info")

    def shown_text(self) -> str:
        """What the view shows now."""
        return self.view.toPlainText()

    # lines

    def _fetch(self, _state: object = None) -> None:
        since = self._lines[-1].at if self._lines and self._fetched else 0.0
        self.context.operations.run(self, lambda client: client.log(since), done=self._take_earlier)

    def _take_earlier(self, lines: tuple[LogLine, ...]) -> None:
        self._fetched = True
        known = {(line.at, line.text) for line in self._lines}
        earlier = [line for line in lines if (line.at, line.text) not in known]
        merged = sorted([*self._lines, *earlier], key=lambda line: line.at)
        self._lines = deque(merged, maxlen=KEPT_LINES)
        for line in earlier:
            self._know_source(line.source)
        self._refill()

    def _take_own(self, line: tuple[float, str, str]) -> None:
        from app.shared.events import LogLine

        at, level, text = line
        kept = level if level in LEVELS else "info"
        self._take([LogLine(at=at, level=kept, source="window", text=text)])  # type: ignore[arg-type]  # one of LEVELS

    def _take(self, lines: list[LogLine]) -> None:
        for line in lines:
            self._lines.append(line)
            self._know_source(line.source)
            if self._passes(line):
                self._waiting.append(line)
        if self._waiting and not self._slices.isActive():
            self._slices.start()

    def _know_source(self, source: str) -> None:
        if source not in self._sources:
            self._sources.append(source)
            self.source.set_options([("", tr("All sources")), *((each, each) for each in self._sources)])

    def _passes(self, line: LogLine) -> bool:
        least = LEVELS.index(self.level.current() or "info")
        source, wanted = self.source.current(), self.search.text().strip().casefold()
        return (
            LEVELS.index(line.level) >= least
            and (not source or line.source == source)
            and (not wanted or wanted in line.text.casefold())
        )

    def _refill(self, _choice: object = None) -> None:
        look = theme()
        palette = self.view.palette()
        palette.setColor(QPalette.ColorRole.Base, look.color("bg1"))
        palette.setColor(QPalette.ColorRole.Text, look.color("text2"))
        self.view.setPalette(palette)
        self.view.clear()
        self._waiting = deque(line for line in self._lines if self._passes(line))
        self._tell_count()
        self._slices.start()

    def _draw_slice(self) -> None:
        if not self._waiting:
            self._slices.stop()
            self._tell_count()
            return
        bar = self.view.verticalScrollBar()
        place = bar.value()
        cursor = QTextCursor(self.view.document())
        cursor.beginEditBlock()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        hanging = QTextBlockFormat()
        for _ in range(min(SLICE_LINES, len(self._waiting))):
            line = self._waiting.popleft()
            if self.view.document().characterCount() > 1:
                cursor.insertBlock(hanging)
            cursor.insertText(f"{clock(line.at, seconds=True)}  ", _ink(theme().color("text3")))
            cursor.insertText(f"{line.source:<9} ", _ink(theme().color("text3")))
            cursor.insertText(line.text.rstrip(), _ink(theme().color(LEVEL_COLORS[line.level])))
        cursor.endEditBlock()
        if self.follow.isChecked():
            self._to_end()
        else:
            bar.setValue(place)

    def _tell_count(self) -> None:
        shown = self.view.blockCount() if self.view.document().characterCount() > 1 else 0
        self.count.setText(ntr("{n} line", "{n} lines", shown))

    # what the buttons do

    def _scrolled(self, value: int) -> None:
        bar = self.view.verticalScrollBar()
        if bar.isSliderDown():
            self.follow.setChecked(value >= bar.maximum())

    def _to_end(self) -> None:
        bar = self.view.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _copy(self) -> None:
        chosen = self.view.textCursor().selection().toPlainText()
        QGuiApplication.clipboard().setText(chosen or self.shown_text())
        self.context.toast(tr("Copied."))

    def _save(self) -> None:
        dialog = QFileDialog(self, tr("Save the log"), str(Path.home() / "pult.log"), "*.log *.txt")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.save_to)
        dialog.open()

    def save_to(self, path: str) -> None:
        """Write what is shown to a file."""
        text = self.shown_text() + "\n"

        def done(_written: int) -> None:
            self.context.toast(tr("Saved to {path}.", path=path))

        self.context.operations.run(self, lambda _client: _write(path, text), done=done)

    def _clear(self) -> None:
        self._lines.clear()
        self._waiting.clear()
        self.view.clear()
        self._tell_count()


def _ink(color: QColor) -> QTextCharFormat:
    ink = QTextCharFormat()
    ink.setForeground(color)
    return ink


def _write(path: str, text: str) -> int:
    from app.shared.errors import StorageFailed

    try:
        return Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageFailed(
            "The log could not be saved to {path}: {reason}. Choose another folder.",
            path=path,
            reason=error.strerror or str(error),
            remedies=(),
        ) from error
