"""The field a message is typed into: Enter sends, files and long pastes become attachments."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QWidget

from app.ui.controls import TextArea
from app.ui.i18n import tr

LONG_PASTE_CHARACTERS = 2_000
FIELD_MIN_PX = 26
FIELD_MAX_PX = 186


class MessageField(TextArea):
    """`filesGiven(paths)` for files pasted or dropped, `longPaste(text)` instead of inserting a long text."""

    filesGiven = Signal(list)  # noqa: N815 - Qt's naming of signals
    longPaste = Signal(str)  # noqa: N815
    editLast = Signal()  # noqa: N815 - Up in an empty field
    focusMoved = Signal()  # noqa: N815

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "",
            parent,
            placeholder=tr("Write a message"),
            label=tr("Message"),
            min_height=FIELD_MIN_PX,
            max_height=FIELD_MAX_PX,
            style="prose",
            boxed=False,
            submits=True,
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = not event.modifiers()
        if event.key() == Qt.Key.Key_Escape:
            event.ignore()  # the window's: it stops the answer
            return
        if event.key() == Qt.Key.Key_Up and plain and not self.toPlainText():
            self.editLast.emit()
            return
        super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return bool(_local_files(source)) or source.hasText()

    def insertFromMimeData(self, source: QMimeData) -> None:
        files = _local_files(source)
        if files:
            self.filesGiven.emit(files)
            return
        text = source.text()
        if len(text) > LONG_PASTE_CHARACTERS:
            self.longPaste.emit(text)
            return
        self.insertPlainText(text)
        self.ensureCursorVisible()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _has_model(event.mimeData()):
            event.ignore()  # the window loads models
            return
        super().dragEnterEvent(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if _has_model(event.mimeData()):
            event.ignore()
            return
        super().dragMoveEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focusMoved.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.focusMoved.emit()


def _local_files(source: QMimeData) -> list[str]:
    return [url.toLocalFile() for url in source.urls() if url.isLocalFile()]


def _has_model(source: QMimeData) -> bool:
    return any(path.lower().endswith(".gguf") for path in _local_files(source))
