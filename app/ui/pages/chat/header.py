"""Above the conversation: its title, finding, pin, what else can be done; and the bar for finding words in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.controls import ElidedLabel, IconButton, Label, SearchField, Surface
from app.ui.i18n import tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.shared.chats import Chat, Message


class ChatHeader(Surface):
    """Title and buttons of the open chat."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bg1", parent, edges="b")
        self.setFixedHeight(theme().metric("page_head") - 3)
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 0, 12, 1)
        row.setSpacing(4)
        self.title = ElidedLabel("", "readout")
        self.search = IconButton("search", tr("Find in this chat (Ctrl+F)"))
        self.pin = IconButton("pin", tr("Pin this chat"))
        self.pin.setCheckable(True)
        self.more = IconButton("more", tr("More"))
        self.panel = IconButton("panel-right", tr("Show or hide the panel at the right"))
        self.panel.setCheckable(True)
        row.addWidget(self.title, 1)
        for button in (self.search, self.pin, self.more, self.panel):
            row.addWidget(button)
        self.show_chat(None)

    def show_chat(self, chat: Chat | None) -> None:
        """Show a chat's heading; None is a chat that begins with the first message."""
        self.title.setText(chat.title if chat is not None and chat.title else tr("New chat"))
        self.pin.setChecked(chat is not None and chat.pinned)
        for button in (self.search, self.pin, self.more):
            button.setVisible(chat is not None)
        self.pin.setVisible(chat is not None and not chat.temporary)


class _FindField(SearchField):
    """Esc closes the bar instead of emptying the field."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            event.ignore()
            return
        super().keyPressEvent(event)


class FindBar(Surface):
    """Finds words in the open chat. `moved(words, message id, number)` for the present hit; `closed` by Esc."""

    moved = Signal(str, str, int)
    wordsChanged = Signal(str)  # noqa: N815 - Qt's naming of signals
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bg2", parent, edges="b")
        self._hits: list[tuple[str, int]] = []
        self._at = -1
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 6, 12, 6)
        row.setSpacing(6)
        self.field = _FindField(tr("Find in this chat"), label=tr("Find in this chat"))
        self.field.setMaximumWidth(320)
        self.count = Label("", "secondary", "text3")
        self.before = IconButton("chevron-up", tr("Previous (Shift+Enter)"))
        self.after = IconButton("chevron-down", tr("Next (Enter)"))
        self.close_button = IconButton("close", tr("Close (Esc)"))
        row.addWidget(self.field, 1)
        row.addWidget(self.count)
        row.addStretch(1)
        for button in (self.before, self.after, self.close_button):
            row.addWidget(button)
        self.before.clicked.connect(lambda: self.step(-1))
        self.after.clicked.connect(lambda: self.step(1))
        self.close_button.clicked.connect(self.closed)
        self.field.searched.connect(self.wordsChanged)

    @property
    def words(self) -> str:
        return self.field.text()

    def search(self, messages: Sequence[Message]) -> None:
        """Count the hits; the newest becomes the present one."""
        words = self.words.lower()
        self._hits = (
            [
                (message.id, number)
                for message in messages
                for number in range(message.text.lower().count(words))
            ]
            if words
            else []
        )
        self._at = len(self._hits) - 1
        self._tell()

    def step(self, by: int) -> None:
        """Go to the next or the previous hit, around the ends."""
        if self._hits:
            self._at = (self._at + by) % len(self._hits)
            self._tell()

    def _tell(self) -> None:
        found = bool(self._hits)
        self.before.setEnabled(found)
        self.after.setEnabled(found)
        if found:
            self.count.setText(tr("{index} of {count}", index=self._at + 1, count=len(self._hits)))
            self.moved.emit(self.words, *self._hits[self._at])
        else:
            self.count.setText(tr("Not found") if self.words else "")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
            return
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
            return
        super().keyPressEvent(event)
