"""How many parameters work on one token, over the number of experts: a bar each, or an area where there are many."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.i18n import mark, number, tr
from app.ui.theme import theme

AXIS_HEIGHT, TOP = 18, 16
NARROWEST_BAR = 4.0
MOST_TICKS = 4  # parts; one tick more with zero
_SIZES = ((1e9, mark("{count} B")), (1e6, mark("{count} M")), (1e3, mark("{count} k")))


def count_words(count: float) -> str:
    """Return a number of parameters: `3.35 B`, `8.57 M`, `64`."""
    for size, words in _SIZES:
        if count >= size:
            amount = count / size
            return tr(words, count=number(amount, decimals=2 if amount < 10 else 1))
    return number(count)


class ActiveChart(QWidget):
    """`pointed` tells the k under the pointer or chosen with the arrow keys, None when it left."""

    pointed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._amounts: tuple[int, ...] = ()
        self._trained: int | None = None
        self._chosen: int | None = None
        self._pointed: int | None = None
        self._axis = 0  # the width of the longest tick's words, and the gap after them
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(168)
        self.setAccessibleName(tr("Parameters that work per token, by experts"))

    def sizeHint(self) -> QSize:
        return QSize(320, self.height())

    def show_amounts(self, amounts: Sequence[int], *, trained: int | None, chosen: int | None) -> None:
        """Show the parameters at k = 1, 2, …; `trained` is marked, `chosen` lit."""
        self._amounts, self._trained, self._chosen, self._pointed = tuple(amounts), trained, chosen, None
        metrics = QFontMetrics(theme().font("caption"))
        self._axis = max((metrics.horizontalAdvance(_short(tick)) for tick in self.ticks()), default=0) + 8
        self.setAccessibleDescription(
            "; ".join(
                tr("{experts} experts: {amount}", experts=k, amount=count_words(amounts[k - 1]))
                for k in sorted({1, trained or 1, chosen or 1, len(amounts)})
                if 1 <= k <= len(amounts)
            )
        )
        self.update()

    @property
    def pointed_at(self) -> int | None:
        return self._pointed

    def ticks(self) -> list[float]:
        """Return the ticks of the upright axis: round numbers from 0, at most five."""
        most = max(self._amounts, default=0)
        if most <= 0:
            return []
        rough = most / MOST_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by >= rough * (1 - 1e-9))
        return [step * place for place in range(int(most / step + 1e-9) + 1)]

    # inside

    def _area(self) -> QRectF:
        return QRectF(self.rect()).adjusted(self._axis, TOP, -1, -AXIS_HEIGHT)

    def _left(self, k: int) -> float:
        area = self._area()
        return area.left() + (k - 1) * area.width() / max(1, len(self._amounts))

    def _y(self, amount: float) -> float:
        area = self._area()
        return area.bottom() - amount / max(1, *self._amounts) * area.height()

    def _point_at(self, k: int | None) -> None:
        if k != self._pointed:
            self._pointed = k
            self.pointed.emit(k)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        area, count = self._area(), len(self._amounts)
        x = event.position().x()
        inside = bool(count) and area.left() <= x < area.right()
        self._point_at(int((x - area.left()) / area.width() * count) + 1 if inside else None)

    def leaveEvent(self, event: QEvent) -> None:
        self._point_at(None)
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        count = len(self._amounts)
        at = self._pointed or self._chosen or self._trained or 1
        steps = {
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_PageDown: at - 10,
            Qt.Key.Key_PageUp: at + 10,
            Qt.Key.Key_Home: 1,
            Qt.Key.Key_End: count,
        }
        wanted = steps.get(Qt.Key(event.key()))
        if wanted is None or not count:
            super().keyPressEvent(event)
            return
        self._point_at(min(max(wanted, 1), count))

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._amounts:
            return
        painter = QPainter(self)
        self._paint_grid(painter)
        width = self._area().width() / len(self._amounts)
        if width >= NARROWEST_BAR:
            self._paint_bars(painter, width)
        else:
            self._paint_slope(painter, width)
        self._paint_marks(painter, width)
        if self.hasFocus():
            painter.setPen(QPen(theme().color("accent_hi"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _paint_grid(self, painter: QPainter) -> None:
        look, area = theme(), self._area()
        painter.setFont(look.font("caption"))
        for tick in self.ticks():
            y = round(self._y(tick))
            painter.fillRect(QRectF(area.left(), y, area.width(), 1), look.color("line"))
            painter.setPen(look.color("text3"))
            box = QRectF(0, y - 8, self._axis - 8, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, _short(tick))

    def _paint_bars(self, painter: QPainter, width: float) -> None:
        look, area = theme(), self._area()
        gap = 1.0 if width < 8 else 3.0
        for k, amount in enumerate(self._amounts, start=1):
            color = "accent_hi" if k == self._pointed else "accent" if k == self._lit() else "d4"
            top = self._y(amount)
            painter.fillRect(QRectF(self._left(k), top, width - gap, area.bottom() - top), look.color(color))

    def _paint_slope(self, painter: QPainter, width: float) -> None:
        look, area = theme(), self._area()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        points = [
            QPointF(self._left(k) + width / 2, self._y(n)) for k, n in enumerate(self._amounts, start=1)
        ]
        shape = QPolygonF(
            [QPointF(points[0].x(), area.bottom()), *points, QPointF(points[-1].x(), area.bottom())]
        )
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.color("d4"))
        painter.drawPolygon(shape)
        painter.setPen(QPen(look.color("accent"), 1.5))
        painter.drawPolyline(QPolygonF(points))
        for k, color in ((self._lit(), "accent"), (self._pointed, "accent_hi")):
            if k is not None and 1 <= k <= len(points):
                top = points[k - 1].y()
                painter.fillRect(
                    QRectF(points[k - 1].x() - 1, top, 3, area.bottom() - top), look.color(color)
                )

    def _paint_marks(self, painter: QPainter, width: float) -> None:
        """The trained k as a dotted line with its words above, and the numbers under the axis."""
        look, area = theme(), self._area()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        metrics = painter.fontMetrics()
        if self._trained is not None and 1 <= self._trained <= len(self._amounts):
            x = round(self._left(self._trained) + width / 2)
            painter.setPen(QPen(look.color("text2"), 1, Qt.PenStyle.DotLine))
            painter.drawLine(x, TOP - 2, x, round(area.bottom()))
            words = tr("trained with {count}", count=self._trained)
            wide = metrics.horizontalAdvance(words)
            painter.setPen(look.color("text2"))
            left = min(max(area.left(), x - wide / 2), area.right() - wide)
            painter.drawText(QPointF(left, TOP - 5), words)
        painter.setPen(look.color("text3"))
        taken = -1e9
        count = len(self._amounts)
        step = next((n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n * width >= 28), count)
        for k in (1, *range(step, count + 1, step)):
            words = number(k)
            wide = metrics.horizontalAdvance(words)
            left = self._left(k) + width / 2 - wide / 2
            if left > taken + 6 and left + wide <= self.width():
                painter.drawText(QPointF(left, self.height() - 4), words)
                taken = left + wide

    def _lit(self) -> int | None:
        return self._chosen or self._trained


def _short(amount: float) -> str:
    for size, words in _SIZES:
        if amount >= size:
            return tr(words, count=amount / size)
    return number(amount)
