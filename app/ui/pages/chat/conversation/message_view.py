"""One message on screen. The conversation gives the width; every part is placed by hand, so that layout costs little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QTextCursor
from PySide6.QtWidgets import QWidget

from app.ui.controls import IconButton, Label, Menu
from app.ui.i18n import tr
from app.ui.pages.chat.conversation.small_parts import Editor
from app.ui.pages.chat.prose import ProseStyle, ProseView

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.ui.controls.notices import BannerKind
    from app.ui.pages.chat.live import LiveAnswer

    _StateWords = tuple[BannerKind, str, str, list[tuple[str, str]]]

ROW_PX = 24
QUIET_STYLE = ProseStyle(step="secondary", color="text2", line_px=19, gap_px=8)


class MessageView(QWidget):
    """What questions and answers have in common. `asked(action, message id)` is sent for every button."""

    asked = Signal(str, str)
    stepped = Signal(str, int)
    edited = Signal(str, str, bool)
    resized = Signal()

    def __init__(self, message: Message, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = message
        self.editor: Editor | None = None
        self._width = 0

    @property
    def prose(self) -> Sequence[ProseView]:
        """Texts that can be selected, top down."""
        return ()

    def focus_stops(self) -> list[QWidget]:
        """Everything in the message that Tab stops at, as it is read."""
        stops = [
            child
            for child in self.findChildren(QWidget)
            if child.focusPolicy() & Qt.FocusPolicy.TabFocus and child.focusProxy() is None
        ]
        places = {stop: stop.mapTo(self, QPoint(0, 0)) for stop in stops}
        return sorted(stops, key=lambda stop: (places[stop].y(), places[stop].x()))

    def set_message(self, message: Message, live: LiveAnswer | None) -> None:
        """Show what the message has become."""
        raise NotImplementedError

    def lay_out(self, width: int) -> int:
        """Place every part for a width and return the height."""
        raise NotImplementedError

    def start_editing(self) -> None:
        """Put the editor where the text is."""
        if self.editor is not None:
            return
        self.editor = Editor(self.message.text, question=self.message.role == "user", parent=self)
        self.editor.cancelled.connect(self.end_editing)
        self.editor.resized.connect(self.resized)
        self.editor.saved.connect(lambda text, in_place: self.edited.emit(self.message.id, text, in_place))
        self.editor.show()
        self._show_parts()
        self.resized.emit()
        self.editor.area.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.editor.area.moveCursor(QTextCursor.MoveOperation.End)  # a slip of a key must not replace it all

    def end_editing(self) -> None:
        """Take the editor away."""
        if self.editor is not None:
            self.editor.deleteLater()
            self.editor = None
            self._show_parts()
            self.resized.emit()

    def _show_parts(self) -> None:
        raise NotImplementedError

    def _button(self, icon_name: str, label: str, action: str) -> IconButton:
        button = self._icon_button(icon_name, label)
        button.clicked.connect(lambda: self.asked.emit(action, self.message.id))
        return button

    def _icon_button(self, icon_name: str, label: str) -> IconButton:
        return IconButton(icon_name, label, self, size=ROW_PX)

    def _editor_height(self, width: int) -> int:
        assert self.editor is not None
        layout = self.editor.layout()
        assert layout is not None
        return layout.heightForWidth(width) if layout.hasHeightForWidth() else self.editor.sizeHint().height()

    def menu(self) -> Menu:
        """Everything that can be done with this message."""
        menu = Menu(self)
        for action, words in self._actions():
            if not action:
                menu.addSeparator()
                continue
            entry = menu.addAction(words)
            entry.triggered.connect(lambda _=False, what=action: self.asked.emit(what, self.message.id))
        return menu

    def _actions(self) -> list[tuple[str, str]]:
        return [
            ("copy", tr("Copy")),
            ("edit", tr("Edit…")),
            ("branch", tr("Branch off here")),
            ("", ""),
            ("delete", tr("Delete with what follows")),
        ]

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self.menu().popup(event.globalPos())


class NoteView(MessageView):
    """A system prompt or a tool's result inside the chat: quiet text with its kind above it."""

    def __init__(self, message: Message, parent: QWidget | None = None) -> None:
        super().__init__(message, parent)
        self._kind = Label("", "label_strong", "text3", self)
        self._text = ProseView(self, style=QUIET_STYLE, markdown=False)
        self.set_message(message, None)

    @property
    def prose(self) -> Sequence[ProseView]:
        return (self._text,) if self.editor is None else ()

    def set_message(self, message: Message, live: LiveAnswer | None) -> None:
        self.message = message
        self._kind.setText(tr("System prompt") if message.role == "system" else tr("Tool result"))
        self._text.set_text(message.text)
        self._show_parts()

    def _show_parts(self) -> None:
        self._text.setVisible(self.editor is None)

    def lay_out(self, width: int) -> int:
        self._kind.setGeometry(0, 0, width, 18)
        if self.editor is not None:
            height = self._editor_height(width)
            self.editor.setGeometry(0, 22, width, height)
            return 22 + height
        height = self._text.height_for(width)
        self._text.setGeometry(0, 22, width, height)
        return 22 + height
