"""The person's message on screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QRect, QRectF, Qt
from PySide6.QtGui import QEnterEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.controls import IconButton
from app.ui.i18n import tr
from app.ui.pages.chat.conversation.message_view import ROW_PX, MessageView
from app.ui.pages.chat.conversation.small_parts import FileChip, Versions
from app.ui.pages.chat.prose import ProseStyle, ProseView
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.ui.controls.notices import BannerKind
    from app.ui.pages.chat.live import LiveAnswer

    _StateWords = tuple[BannerKind, str, str, list[tuple[str, str]]]

BUBBLE_MAX_PX = 480
_BUBBLE_PAD = (14, 9)
_BUBBLE_STYLE = ProseStyle(line_px=19)


class _QuietButton(IconButton):
    """Drawn only while the pointer is over its message or the keyboard is on it; always there for both."""

    def paintEvent(self, event: QPaintEvent) -> None:
        parent = self.parentWidget()
        if self.hasFocus() or (parent is not None and parent.underMouse()):
            super().paintEvent(event)


class QuestionView(MessageView):
    """The person's message: a bubble at the right."""

    def __init__(self, message: Message, parent: QWidget | None = None) -> None:
        super().__init__(message, parent)
        self._text = ProseView(self, style=_BUBBLE_STYLE, markdown=False)
        self._chips: list[FileChip] = []
        self._versions = Versions(self)
        self._versions.stepped.connect(lambda step: self.stepped.emit(self.message.id, step))
        self._edit = self._button("pencil", tr("Edit this message"), "edit")
        self._copy = self._button("copy", tr("Copy this message"), "copy")
        self._more = self._icon_button("more", tr("More"))
        self._more.clicked.connect(lambda: self.menu().open_below(self._more))
        self._bubble = QRect()
        self.set_message(message, None)

    @property
    def prose(self) -> Sequence[ProseView]:
        return (self._text,) if self.editor is None else ()

    def _icon_button(self, icon_name: str, label: str) -> IconButton:
        return _QuietButton(icon_name, label, self, size=ROW_PX)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()

    def set_message(self, message: Message, live: LiveAnswer | None) -> None:
        first = not self._chips
        attachments_changed = first or message.attachments != self.message.attachments
        self.message = message
        if attachments_changed:
            for chip in self._chips:
                chip.deleteLater()
            self._chips = [FileChip(each.name, each.text, self) for each in message.attachments]
            for chip in self._chips:
                chip.show()
        self._text.set_text(message.text)
        self._text.setAccessibleName(tr("Your message"))
        self._versions.set_place(message.sibling_index, message.sibling_count)
        self.setToolTip("")
        self._show_parts()

    def _show_parts(self) -> None:
        editing = self.editor is not None
        self._text.setVisible(not editing and bool(self.message.text))
        for part in (self._edit, self._copy, self._more):
            part.setVisible(not editing)
        self._versions.setVisible(not editing and self.message.sibling_count > 1)

    def lay_out(self, width: int) -> int:
        top = 0
        right = width
        for chip in self._chips:
            right -= chip.width()
            if right < 0 and right + chip.width() < width:
                top += chip.height() + 6
                right = width - chip.width()
            chip.move(max(right, 0), top)
            right -= 6
        if self._chips:
            top += self._chips[0].height() + 6
        if self.editor is not None:
            self._bubble = QRect()
            height = self._editor_height(width)
            self.editor.setGeometry(0, top, width, height)
            return top + height
        pad_x, pad_y = _BUBBLE_PAD
        room = min(BUBBLE_MAX_PX, width - 150) - 2 * pad_x
        self._text.height_for(room)
        text_width = min(room, self._text.natural_width)
        text_height = self._text.height_for(max(text_width, 8))
        bubble_width = text_width + 2 * pad_x
        left = width - bubble_width
        height = text_height + 2 * pad_y if self.message.text else ROW_PX
        self._bubble = QRect(left, top, bubble_width, height) if self.message.text else QRect()
        self._text.setGeometry(left + pad_x, top + pad_y, text_width, text_height)
        x = (left if self.message.text else width) - 8
        row_top = top + height - ROW_PX - (min(height, 37) - ROW_PX) // 2
        for part in (self._more, self._edit, self._copy):
            x -= ROW_PX
            part.move(x, row_top)
        if self.message.sibling_count > 1:
            size = self._versions.sizeHint()
            self._versions.setGeometry(x - size.width() - 4, row_top, size.width(), ROW_PX)
        self.update()
        return top + height

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._bubble.isNull():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color("bg3"))
        radius = theme().metric("radius.bubble")
        painter.drawRoundedRect(QRectF(self._bubble), radius, radius)
        painter.end()
