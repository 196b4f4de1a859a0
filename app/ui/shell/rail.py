"""The rail of pages at the left edge: painted buttons, the chosen one with an accent bar."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetricsF, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QSizePolicy, QVBoxLayout, QWidget

from app.ui.i18n import tongue, tr
from app.ui.icons import paint_icon
from app.ui.theme import theme, themes

KEYBOARD_REASONS = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)


class RailItem(QAbstractButton):
    """One page's button: icon over label. `dot` shows that something on that page wants to be seen."""

    def __init__(self, page_id: str, title: str, icon_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.page_id = page_id
        self._title = title
        self._icon_name = icon_name
        self._ring = False
        self.dot = False
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.word()

    def word(self) -> None:
        """Word the label anew after a change of language."""
        self.setText(tr(self._title))
        self.setAccessibleName(self.text())
        self.update()

    def set_dot(self, shown: bool) -> None:
        """Show or hide the dot."""
        if shown != self.dot:
            self.dot = shown
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(theme().metric("rail_width"), theme().metric("rail_step"))

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._ring = event.reason() in KEYBOARD_REASONS
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._ring = False
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
        group = self.group()
        if step is None or group is None:
            super().keyPressEvent(event)
            return
        buttons = group.buttons()
        buttons[(buttons.index(self) + step) % len(buttons)].setFocus(Qt.FocusReason.TabFocusReason)

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = look.pair("rail_item")
        box = QRectF((self.width() - width) / 2, 0, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        if self.isChecked():
            painter.setBrush(look.color("accent"))
            painter.drawRoundedRect(QRectF(-3, box.center().y() - 12, 6, 24), 3, 3)
            painter.setBrush(look.color("bg3"))
            painter.drawRoundedRect(box, look.metric("radius.rail_item"), look.metric("radius.rail_item"))
        elif self.underMouse() or self.isDown():
            painter.setBrush(look.color("bg2" if self.underMouse() else "bg3"))
            painter.drawRoundedRect(box, look.metric("radius.rail_item"), look.metric("radius.rail_item"))
        if self._ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.color("accent_hi"), 2))
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 7, 7)
        size = look.metric("icon_rail")
        mark = QRectF(box.center().x() - size / 2, box.top() + 8, size, size)
        paint_icon(painter, self._icon_name, mark, "accent" if self.isChecked() else "text2")
        if self.dot:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("err"))
            painter.drawEllipse(QPointF(mark.right() + 2, mark.top()), 3, 3)
        font = look.font("label_strong")
        painter.setFont(font)
        painter.setPen(look.color("text" if self.isChecked() else "text2"))
        metrics = QFontMetricsF(font)
        label = metrics.elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width() - 4)
        painter.drawText(
            QRectF(0, box.top() + 31, self.width(), 18), int(Qt.AlignmentFlag.AlignCenter), label
        )


class _Logo(QWidget):
    """Pult's mark, three faders, over the rail."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedSize(theme().metric("rail_width"), theme().metric("strip_height"))
        self.setAccessibleName("Pult")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("bg0"))
        paint_icon(painter, "logo", QRectF(self.width() / 2 - 16, self.height() / 2 - 20, 32, 32), "text3")


class Rail(QWidget):
    """The column of pages. `chosen` says which one the person wants."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(theme().metric("rail_width"))
        self.setAccessibleName(tr("Pages"))
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._items: dict[str, RailItem] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 8)
        self._column.setSpacing(0)
        self._column.addWidget(_Logo(self))
        self._column.addStretch(1)
        themes().changed.connect(self.update)
        tongue().changed.connect(self._word)

    def add(self, page_id: str, title: str, icon_name: str, *, at_bottom: bool = False) -> None:
        """Add a page's button, above the gap or under it."""
        item = RailItem(page_id, title, icon_name, self)
        self._group.addButton(item)
        self._items[page_id] = item
        item.clicked.connect(lambda: self.chosen.emit(page_id))
        place = len(self._items) if not at_bottom else self._column.count()
        self._column.insertWidget(place, item)

    def choose(self, page_id: str) -> None:
        """Mark a page as the one on screen."""
        self._items[page_id].setChecked(True)
        # Tab stops at the page on screen only; arrows go on from there.
        for name, item in self._items.items():
            here = name == page_id
            item.setFocusPolicy(Qt.FocusPolicy.StrongFocus if here else Qt.FocusPolicy.ClickFocus)

    def item(self, page_id: str) -> RailItem:
        """Return a page's button."""
        return self._items[page_id]

    def focus_chosen(self) -> None:
        """Give the keyboard focus to the chosen page's button."""
        checked = self._group.checkedButton()
        if checked is not None:
            checked.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.fillRect(self.rect(), look.color("bg0"))
        painter.fillRect(self.width() - 1, 0, 1, self.height(), look.color("line"))

    def _word(self) -> None:
        self.setAccessibleName(tr("Pages"))
        for item in self._items.values():
            item.word()
