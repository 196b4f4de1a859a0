"""One of several: segments, combo boxes, tabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTabBar,
    QWidget,
)

from app.ui.controls.painting import Interactive, draw_box, draw_inner_ring
from app.ui.icons import paint_icon
from app.ui.theme import mix, theme

_DETAIL = Qt.ItemDataRole.UserRole + 1
_VERTICAL = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)


class _Segment(Interactive, QAbstractButton):
    def __init__(self, text: str, height: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._height = height
        self.setCheckable(True)
        self.setText(text)
        self.setAccessibleName(text)
        self.setFont(theme().font("control"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self.text()) + 22, self._height - 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.badge")
        if self.isChecked():
            draw_box(painter, box, radius=radius, fill=look.color("bg4"))
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
        if not self.isEnabled():
            color = look.color("text3")
        elif self.isChecked():
            color = look.color("text")
        else:
            color = mix(look.color("text2"), look.color("text"), self.hover_level)
        painter.setPen(color)
        painter.setFont(self.font())
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), self.text())


class Segments(QWidget):
    """Two to four words side by side, one of them chosen; arrows move between them.

    Options are (key, word). `chosen` tells the key the person chose.
    """

    chosen = Signal(str)

    def __init__(
        self,
        options: Sequence[tuple[str, str]],
        parent: QWidget | None = None,
        *,
        label: str = "",
        current: str | None = None,
        compact: bool = True,
    ) -> None:
        super().__init__(parent)
        self._height = theme().metric("control_compact" if compact else "control")
        self._reason = ""
        self._buttons: dict[str, _Segment] = {}
        self._group = QButtonGroup(self)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(2, 2, 2, 2)
        self._row.setSpacing(0)
        self.setAccessibleName(label)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(self._height)
        self.set_options(options)
        if current is not None:
            self.set_current(current)

    def set_options(self, options: Sequence[tuple[str, str]]) -> None:
        """Replace the words; the chosen key is kept if it is still there."""
        before = self.current()
        for button in self._buttons.values():
            self._group.removeButton(button)
            self._row.removeWidget(button)
            button.deleteLater()
        self._buttons = {}
        for key, word in options:
            button = _Segment(word, self._height, self)
            button.clicked.connect(lambda _checked=False, key=key: self.chosen.emit(key))
            self._group.addButton(button)
            self._row.addWidget(button)
            self._buttons[key] = button
        if before in self._buttons:
            self.set_current(before)
        self.updateGeometry()

    def current(self) -> str | None:
        """Return the chosen key."""
        return next((key for key, button in self._buttons.items() if button.isChecked()), None)

    def set_current(self, key: str) -> None:
        """Choose a key without telling `chosen`; an unknown key clears the choice."""
        self._group.setExclusive(False)
        for each, button in self._buttons.items():
            button.setChecked(each == key)
            focusable = each == key or key not in self._buttons
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus if focusable else Qt.FocusPolicy.ClickFocus)
        self._group.setExclusive(True)

    def button(self, key: str) -> QAbstractButton:
        """Return one word's button, for tooltips and tests."""
        return self._buttons[key]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1}.get(
            Qt.Key(event.key())
        )
        if step is None:
            super().keyPressEvent(event)
            return
        keys = list(self._buttons)
        current = self.current()
        index = keys.index(current) + step if current in self._buttons else 0
        if 0 <= index < len(keys):
            self.set_current(keys[index])
            self._buttons[keys[index]].setFocus(Qt.FocusReason.TabFocusReason)
            self.chosen.emit(keys[index])
        event.accept()

    def set_reason(self, reason: str | None) -> None:
        """Disable the choice and say why; None enables it."""
        self._reason = reason or ""
        self.setEnabled(reason is None)
        self.setToolTip(self._reason)
        self.setAccessibleDescription(self._reason)

    @property
    def reason(self) -> str:
        return self._reason

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        radius = look.metric("radius.control")
        draw_box(
            painter, QRectF(self.rect()), radius=radius, fill=look.color("bg2"), border=look.color("line2")
        )


class _ItemDelegate(QStyledItemDelegate):
    """Draws a combo's rows: word, quiet detail at the right, the chosen one on bg4."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        fonts = theme()
        width = QFontMetrics(fonts.font("body")).horizontalAdvance(str(index.data() or ""))
        detail = str(index.data(_DETAIL) or "")
        if detail:
            width += QFontMetrics(fonts.font("caption")).horizontalAdvance(detail) + 16
        return QSize(width + 24, fonts.metric("control_compact"))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        box = QRectF(rect).adjusted(4, 0, -4, 0)
        if state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver):
            draw_box(painter, box, radius=look.metric("radius.menu_item"), fill=look.color("bg4"))
        enabled = bool(state & QStyle.StateFlag.State_Enabled)
        inner = box.adjusted(8, 0, -8, 0)
        detail = str(index.data(_DETAIL) or "")
        if detail:
            painter.setFont(look.font("caption"))
            painter.setPen(look.color("text3"))
            painter.drawText(inner, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), detail)
        painter.setFont(look.font("body"))
        painter.setPen(look.color("text" if enabled else "text3"))
        painter.drawText(inner, _VERTICAL, str(index.data() or ""))
        painter.restore()


class Combo(Interactive, QComboBox):
    """One of many words in a painted box. Options are (key, word) or (key, word, detail); `chosen` tells the key."""

    chosen = Signal(str)

    def __init__(
        self,
        options: Sequence[tuple[str, str] | tuple[str, str, str]] = (),
        parent: QWidget | None = None,
        *,
        label: str = "",
        current: str | None = None,
        compact: bool = True,
    ) -> None:
        super().__init__(parent)
        self._label = label
        self.setFont(theme().font("control"))
        self.setAccessibleName(label)
        # On Linux Qt gives a combo's value as its name; the description carries the label there.
        self.setAccessibleDescription(label)
        self.setFixedHeight(theme().metric("control_compact" if compact else "control"))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setItemDelegate(_ItemDelegate(self))
        self.view().setFrameShape(QFrame.Shape.NoFrame)
        self.setMaxVisibleItems(14)
        self.set_options(options)
        if current is not None:
            self.set_current(current)
        self.activated.connect(lambda index: self.chosen.emit(str(self.itemData(index))))

    def set_options(self, options: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        """Replace the options; the chosen key is kept if it is still there."""
        before = self.current()
        self.blockSignals(True)
        self.clear()
        for key, word, *detail in options:
            self.addItem(word, key)
            if detail:
                self.setItemData(self.count() - 1, detail[0], _DETAIL)
        self.blockSignals(False)
        self.set_current(before or "")
        self.updateGeometry()
        self.update()

    def current(self) -> str | None:
        """Return the chosen key."""
        data = self.currentData()
        return str(data) if data is not None else None

    def set_current(self, key: str) -> None:
        """Choose a key without telling `chosen`; an unknown key clears the choice."""
        index = self.findData(key)
        if index != self.currentIndex():
            self.setCurrentIndex(index)

    def set_reason(self, reason: str | None) -> None:
        """Disable the combo and say why; None enables it."""
        super().set_reason(reason)
        self.setAccessibleDescription(f"{self._label}. {reason}" if reason else self._label)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            before = self.current()
            super().wheelEvent(event)
            if self.current() != before and self.current() is not None:
                self.chosen.emit(cast(str, self.current()))
        else:
            event.ignore()

    def showPopup(self) -> None:
        # As wide as its words, also under a narrow flat combo.
        delegate = cast(_ItemDelegate, self.itemDelegate())
        option = QStyleOptionViewItem()
        width = max(
            (delegate.sizeHint(option, self.model().index(row, 0)).width() for row in range(self.count())),
            default=0,
        )
        self.view().setMinimumWidth(max(width + 8, self.width()))
        super().showPopup()

    def _words(self) -> str:
        return self.currentText() or self.placeholderText()

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        width = max((metrics.horizontalAdvance(self.itemText(i)) for i in range(self.count())), default=60)
        return QSize(max(88, width + 44), self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(64, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.control")
        enabled = self.isEnabled()
        fill = mix(look.color("bg2"), look.color("bg3"), self.hover_level) if enabled else look.color("bg1")
        draw_box(painter, box, radius=radius, fill=fill, border=look.color("line2"))
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
        self._paint_words(painter, QRectF(10, 0, box.width() - 34, box.height()))
        place = QRectF(box.right() - 22, (box.height() - 14) / 2, 14, 14)
        paint_icon(painter, "chevron-up-down", place, "text2" if enabled else "text3")

    def _paint_words(self, painter: QPainter, area: QRectF) -> None:
        color = "text" if self.isEnabled() and self.currentIndex() >= 0 else "text3"
        painter.setPen(theme().color(color))
        painter.setFont(self.font())
        shown = QFontMetrics(self.font()).elidedText(
            self._words(), Qt.TextElideMode.ElideRight, int(area.width())
        )
        painter.drawText(area, _VERTICAL, shown)


class FlatCombo(Combo):
    """A combo without a box: the value and a small chevron, for the strip and headings."""

    def __init__(
        self,
        options: Sequence[tuple[str, str] | tuple[str, str, str]] = (),
        parent: QWidget | None = None,
        *,
        label: str = "",
        current: str | None = None,
        style: str = "control",
    ) -> None:
        super().__init__(options, parent, label=label, current=current)
        self.setFont(theme().font(style))

    def sizeHint(self) -> QSize:
        width = QFontMetrics(self.font()).horizontalAdvance(self._words())
        return QSize(width + 24, max(24, QFontMetrics(self.font()).height() + 6))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.badge")
        if self.isEnabled() and self.hover_level:
            draw_box(painter, box, radius=radius, fill=look.color("bg3", alpha=self.hover_level))
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
        area = QRectF(2, 0, box.width() - 20, box.height())
        self._paint_words(painter, area)
        shown = min(QFontMetrics(self.font()).horizontalAdvance(self._words()), int(area.width()))
        place = QRectF(2 + shown + 4, (box.height() - 12) / 2 + 1, 12, 12)
        paint_icon(painter, "chevron-down", place, "text2" if self.isEnabled() else "text3")


class Tabs(QTabBar):
    """Words with a 2 px accent line under the chosen one; `chosen` tells the key. Arrows move between them."""

    chosen = Signal(str)

    def __init__(
        self, tabs: Sequence[tuple[str, str]], parent: QWidget | None = None, *, label: str = ""
    ) -> None:
        super().__init__(parent)
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        self.setFont(theme().font("control"))
        self.setAccessibleName(label)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setFixedHeight(theme().metric("tabs"))
        for key, word in tabs:
            self.setTabData(self.addTab(word), key)
        self.currentChanged.connect(self._changed)
        self._quiet = False

    def _changed(self, index: int) -> None:
        if not self._quiet and index >= 0:
            self.chosen.emit(str(self.tabData(index)))

    def current(self) -> str | None:
        """Return the chosen key."""
        return str(self.tabData(self.currentIndex())) if self.currentIndex() >= 0 else None

    def set_current(self, key: str) -> None:
        """Choose a key without telling `chosen`."""
        self._quiet = True
        for index in range(self.count()):
            if self.tabData(index) == key:
                self.setCurrentIndex(index)
        self._quiet = False

    def tabSizeHint(self, index: int) -> QSize:
        width = QFontMetrics(self.font()).horizontalAdvance(self.tabText(index))
        return QSize(width + 20, theme().metric("tabs"))

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        painter.setFont(self.font())
        pointer = self.mapFromGlobal(self.cursor().pos())
        for index in range(self.count()):
            rect = QRectF(self.tabRect(index))
            chosen = index == self.currentIndex()
            hovered = self.underMouse() and rect.contains(pointer.x(), pointer.y())
            painter.setPen(look.color("text" if chosen or hovered else "text2"))
            painter.drawText(rect, int(Qt.AlignmentFlag.AlignCenter), self.tabText(index))
            if chosen:
                painter.fillRect(
                    QRectF(rect.left() + 10, rect.bottom() - 2, rect.width() - 20, 2), look.color("accent")
                )
                if self.hasFocus():
                    draw_inner_ring(painter, rect.adjusted(2, 4, -2, -4), look.metric("radius.badge"))
