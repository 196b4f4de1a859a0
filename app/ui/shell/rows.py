"""A list of rows with icon, title, detail and keys, under group headings: what palette and picker show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app.ui.controls.painting import draw_box
from app.ui.icons import paint_icon
from app.ui.theme import theme

Index = QModelIndex | QPersistentModelIndex
ROW = Qt.ItemDataRole.UserRole + 1
HEADING_HEIGHT, ROW_HEIGHT, TALL_ROW_HEIGHT = 28, 36, 46


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. A row without `run` is a heading. `mono` stands right of the title, `right` and `keys` at the end."""

    title: str
    run: Callable[[], None] | None = None
    detail: str = ""
    icon: str = ""
    mono: str = ""
    right: str = ""
    keys: str = ""
    warning: bool = False
    current: bool = False
    is_path: bool = False  # the detail is a path or address

    @property
    def heading(self) -> bool:
        return self.run is None

    @property
    def height(self) -> int:
        if self.heading:
            return HEADING_HEIGHT
        return TALL_ROW_HEIGHT if self.detail else ROW_HEIGHT


class RowModel(QAbstractListModel):
    """Rows in their order; headings cannot be chosen."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._rows: list[Row] = []

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def row(self, number: int) -> Row:
        """Return a row."""
        return self._rows[number]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.title
            case Qt.ItemDataRole.AccessibleTextRole:
                return ", ".join(
                    part for part in (row.title, row.mono, row.right, row.detail, row.keys) if part
                )
            case Qt.ItemDataRole.ToolTipRole:
                return row.detail or None
        return row if role == ROW else None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if index.isValid() and self._rows[index.row()].heading:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable


class _RowDelegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(100, index.data(ROW).height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row: Row = index.data(ROW)
        look, rect = theme(), option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if row.heading:
            painter.setFont(look.font("label_strong"))
            painter.setPen(look.color("text3"))
            painter.drawText(rect.adjusted(16, 6, -16, 0), int(Qt.AlignmentFlag.AlignVCenter), row.title)
        else:
            self._paint_row(painter, rect, row, chosen=bool(state & QStyle.StateFlag.State_Selected))
        painter.restore()

    def _paint_row(self, painter: QPainter, rect: QRect, row: Row, *, chosen: bool) -> None:
        look = theme()
        if chosen:
            draw_box(
                painter,
                QRectF(rect).adjusted(6, 1, -6, -1),
                radius=look.metric("radius.control"),
                fill=look.color("bg4"),
            )
        left, right = rect.left() + 16, rect.right() - 16
        if row.icon:
            place = QRectF(left, rect.top() + (rect.height() - 16) / 2, 16, 16)
            paint_icon(
                painter, row.icon, place, "warn" if row.warning else "accent" if row.current else "text2"
            )
            left += 28
        vertical = int(Qt.AlignmentFlag.AlignVCenter)
        for text, style, color in ((row.keys, "caption", "text3"), (row.right, "secondary", "text2")):
            if text:
                width = QFontMetrics(look.font(style)).horizontalAdvance(text)
                painter.setFont(look.font(style))
                painter.setPen(look.color(color))
                painter.drawText(QRect(right - width, rect.top(), width + 1, rect.height()), vertical, text)
                right -= width + 16
        line = QRect(left, rect.top(), right - left, rect.height())
        if row.detail:
            line = QRect(left, rect.top() + 5, right - left, 18)
            under = QRect(left, rect.top() + 23, right - left, 17)
            painter.setFont(look.font("secondary"))
            painter.setPen(look.color("warn" if row.warning else "text3"))
            # The end of a path tells more than its middle, the start of a sentence more than its end.
            cut = Qt.TextElideMode.ElideMiddle if row.is_path else Qt.TextElideMode.ElideRight
            shown = QFontMetrics(painter.font()).elidedText(row.detail, cut, under.width())
            painter.drawText(under, vertical, shown)
        font = look.font("control")
        metrics = QFontMetrics(font)
        beside = QFontMetrics(look.font("code")).horizontalAdvance(row.mono) + 10 if row.mono else 0
        shown = metrics.elidedText(row.title, Qt.TextElideMode.ElideRight, line.width() - beside)
        painter.setFont(font)
        painter.setPen(look.color("text"))
        painter.drawText(line, vertical, shown)
        if row.mono:
            painter.setFont(look.font("code"))
            painter.setPen(look.color("text3"))
            painter.drawText(
                line.adjusted(metrics.horizontalAdvance(shown) + 10, 0, 0, 0), vertical, row.mono
            )


class RowList(QListView):
    """Shows rows; Enter or a click chooses one. Arrows reach it through `press` while a search field has the focus."""

    chosen = Signal(object)  # Row

    def __init__(self, label: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = RowModel(self)
        self.setModel(self.rows)
        self.setItemDelegate(_RowDelegate(self))
        self.setAccessibleName(label)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setUniformItemSizes(False)
        self.setMouseTracking(True)
        self.clicked.connect(self._choose)
        self.entered.connect(self.setCurrentIndex)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace the rows and select the first that can be chosen."""
        self.rows.set_rows(rows)
        self._select(0, 1)

    def wished_height(self) -> int:
        """The height that shows every row."""
        return sum(self.rows.row(i).height for i in range(self.rows.rowCount())) + 12

    def current_row(self) -> Row | None:
        """The selected row."""
        index = self.currentIndex()
        return self.rows.row(index.row()) if index.isValid() else None

    def press(self, event: QKeyEvent) -> bool:
        """Handle a key that belongs to the list; False for keys that belong to a field."""
        match event.key():
            case Qt.Key.Key_Down:
                self._select(self.currentIndex().row() + 1, 1)
            case Qt.Key.Key_Up:
                self._select(self.currentIndex().row() - 1, -1)
            case Qt.Key.Key_PageDown:
                self._select(min(self.currentIndex().row() + 8, self.rows.rowCount() - 1), 1)
            case Qt.Key.Key_PageUp:
                self._select(max(self.currentIndex().row() - 8, 0), 1)
            case Qt.Key.Key_Return | Qt.Key.Key_Enter:
                self._choose(self.currentIndex())
            case _:
                return False
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self.press(event):
            event.ignore()

    def _select(self, number: int, step: int) -> None:
        while 0 <= number < self.rows.rowCount():
            if not self.rows.row(number).heading:
                self.setCurrentIndex(self.rows.index(number, 0))
                return
            number += step

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid() and not self.rows.row(index.row()).heading:
            self.chosen.emit(self.rows.row(index.row()))
