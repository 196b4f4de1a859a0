"""Paints the rows of the chat list, and edits a title in place."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QFontMetrics, QPainter, QTextCharFormat, QTextLayout, QTextOption
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.ui.controls import TextField
from app.ui.controls.painting import draw_box
from app.ui.i18n import moment, tr
from app.ui.icons import paint_icon
from app.ui.pages.chat.listing.model import ROW_ROLE, title_of
from app.ui.pages.chat.listing.rows import ChatRow, Heading, HitRow
from app.ui.pages.chat.prose.units import units
from app.ui.theme import theme

_PAD_PX = 14
_HIT_PX = 68
_Index = QModelIndex | QPersistentModelIndex


class ChatDelegate(QStyledItemDelegate):
    """`current` is the open chat, `answering` the chats an answer is being written in."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.current: str | None = None
        self.answering: frozenset[str] = frozenset()

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        row = index.data(ROW_ROLE)
        if isinstance(row, Heading):
            return QSize(100, theme().metric("list_group"))
        return QSize(100, _HIT_PX if isinstance(row, HitRow) else theme().metric("list_row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        row = index.data(ROW_ROLE)
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if isinstance(row, Heading):
            self._paint_heading(painter, rect, row)
        elif isinstance(row, (ChatRow, HitRow)):
            self._paint_box(painter, rect, state, row)
            if isinstance(row, ChatRow):
                self._paint_chat(painter, rect, row)
            else:
                self._paint_hit(painter, rect, row)
        painter.restore()

    @staticmethod
    def _paint_heading(painter: QPainter, rect: QRect, row: Heading) -> None:
        painter.setFont(theme().font("secondary"))
        painter.setPen(theme().color("text3"))
        area = rect.adjusted(12, 4, -8, 0)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), tr(row.title))

    def _paint_box(
        self, painter: QPainter, rect: QRect, state: QStyle.StateFlag, row: ChatRow | HitRow
    ) -> None:
        look = theme()
        box = QRectF(rect).adjusted(0, 1, 0, -1)
        radius = look.metric("radius.control")
        chosen = isinstance(row, ChatRow) and row.chat.id == self.current
        if chosen:
            draw_box(painter, box, radius=radius, fill=look.color("bg3"))
        elif state & QStyle.StateFlag.State_MouseOver:
            draw_box(painter, box, radius=radius, fill=look.color("bg3", alpha=0.5))
        if state & QStyle.StateFlag.State_HasFocus and state & QStyle.StateFlag.State_Selected:
            draw_box(painter, box, radius=radius, border=look.color("accent_hi"), border_width=2)

    def _paint_chat(self, painter: QPainter, rect: QRect, row: ChatRow) -> None:
        look, chat = theme(), row.chat
        right = rect.right() - 10
        if chat.pinned:
            paint_icon(painter, "pin", QRectF(right - 14, rect.top() + 9, 14, 14), "text3")
            right -= 20
        if chat.id in self.answering:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent"))
            painter.drawEllipse(QPointF(right - 4, rect.top() + 16), 3.5, 3.5)
            right -= 14
        left = rect.left() + _PAD_PX
        self._line(painter, title_of(row), "control", "text", left, rect.top() + 5, right - left)
        detail = moment(chat.updated_at)
        if chat.draft and chat.id != self.current:
            detail = tr("Draft") + " · " + detail
        elif chat.model:
            detail = f"{chat.model} · {detail}"
        self._line(painter, detail, "caption", "text3", left, rect.top() + 24, rect.right() - 10 - left)

    @staticmethod
    def _line(painter: QPainter, text: str, style: str, color: str, left: int, top: int, width: int) -> None:
        font = theme().font(style)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        painter.setPen(theme().color(color))
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)
        painter.drawText(left, top + (18 + metrics.ascent() - metrics.descent()) // 2, shown)

    def _paint_hit(self, painter: QPainter, rect: QRect, row: HitRow) -> None:
        left, width = rect.left() + _PAD_PX, rect.width() - _PAD_PX - 10
        self._line(painter, title_of(row), "control", "text", left, rect.top() + 4, width)
        words, marks = marked_words(row.hit.snippet)
        layout = QTextLayout(words, theme().font("caption"))
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        ranges = []
        for start, length in marks:
            part = QTextLayout.FormatRange()
            part.start, part.length = start, length
            style = QTextCharFormat()
            style.setForeground(theme().color("accent"))
            part.format = style
            ranges.append(part)
        layout.setFormats(ranges)
        layout.beginLayout()
        for number in range(2):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(width)
            line.setPosition(QPointF(0, number * 17))
        layout.endLayout()
        painter.setPen(theme().color("text3"))
        layout.draw(painter, QPointF(left, rect.top() + 26))

    # Renaming in place

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: _Index) -> QWidget:
        field = TextField("", parent, label=tr("Chat title"))
        field.setMaxLength(200)
        return field

    def setEditorData(self, editor: QWidget, index: _Index) -> None:
        if isinstance(editor, TextField):
            editor.setText(str(index.data(Qt.ItemDataRole.EditRole) or ""))
            editor.selectAll()

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: _Index) -> None:
        if isinstance(editor, TextField) and editor.text().strip():
            model.setData(index, editor.text())

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: _Index) -> None:
        rect: QRect = option.rect
        editor.setGeometry(rect.adjusted(4, 7, -4, -7))


def marked_words(snippet: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a snippet's text and where its found words stand, in UTF-16 units."""
    words = ""
    marks: list[tuple[int, int]] = []
    start: int | None = None
    for letter in " ".join(snippet.split()):
        if letter == "\ue000":
            start = units(words)
        elif letter == "\ue001":
            if start is not None:
                marks.append((start, units(words) - start))
            start = None
        else:
            words += letter
    return words, marks
