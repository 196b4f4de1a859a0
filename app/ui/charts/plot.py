"""One plot of a track: lines with a faint fill on a hairline grid, drawn with pyqtgraph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QGraphicsView, QWidget

from app.shared.history import Floats
from app.ui.charts.ticks import value_ticks
from app.ui.theme import theme

AXIS_WIDTH = 44
ROOM_BELOW = 0.09  # under zero, or the lowest label is cut


def series_pen(order: int) -> QPen:
    """Return the pen of the first, second and third line of a plot, by the chart rules of the design."""
    current = theme()
    color, width, style = (
        (current.color("accent"), 1.5, Qt.PenStyle.SolidLine),
        (current.color("text2"), 1.2, Qt.PenStyle.SolidLine),
        (current.color("text3"), 1.2, Qt.PenStyle.DashLine),
    )[min(order, 2)]
    pen = QPen(color, width, style)
    pen.setCosmetic(True)
    return pen


class Plot(pg.PlotWidget):
    """Lines over time without frame or axes of pyqtgraph's own. The stack sets range, ticks and marks.

    `hovered` tells the time under the pointer (None when it left), `wheeled` a zoom about a time, `dragged` a
    shift in seconds, `clicked` a time.
    """

    hovered = Signal(object)
    wheeled = Signal(float, float)
    dragged = Signal(float)
    clicked = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None, enableMenu=False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        # pyqtgraph caches the background, where grid and fill are drawn here.
        self.setCacheMode(QGraphicsView.CacheModeFlag.CacheNone)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        self.setMouseTracking(True)
        self.viewport().setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        item = self.getPlotItem()
        item.hideAxis("left")
        item.hideAxis("bottom")
        item.hideButtons()
        item.setContentsMargins(0, 0, 0, 0)
        item.layout.setContentsMargins(0, 0, 0, 0)
        self._box = item.getViewBox()
        self._box.setMouseEnabled(False, False)
        self._box.setMenuEnabled(False)
        self._box.setDefaultPadding(0)
        self._curves: list[pg.PlotCurveItem] = []
        self._filled: tuple[Floats, Floats] | None = None
        self._pieces: tuple[tuple[float, ...], list[QPolygonF]] | None = None
        self.top = 1.0
        self.since, self.until = 0.0, 1.0
        self.time_ticks: Sequence[float] = ()
        self.marks: Sequence[float] = ()
        self.selected: tuple[float, float] | None = None  # a shaded stretch of time
        self.most_ticks = 2
        self.label: Callable[[float], str] = str
        self.level: tuple[float, str] | None = None
        self.cursor_at: float | None = None
        self.readouts: Sequence[tuple[float, str]] = ()  # value and its words at the cursor
        self._pressed: QPointF | None = None
        self._moved = False

    def set_lines(self, lines: Sequence[tuple[Floats, Floats]]) -> None:
        """Show these lines, the first one filled; times are Unix seconds, NaN breaks a line."""
        while len(self._curves) < len(lines):
            curve = pg.PlotCurveItem(connect="finite", antialias=True)
            self._curves.append(curve)
            self.addItem(curve)
        for order, curve in enumerate(self._curves):
            if order >= len(lines):
                curve.clear()
                continue
            at, values = lines[order]
            pen = series_pen(order)
            # Times near 1.8e9 lose their fraction in single precision inside Qt's paths: shift to the left edge.
            curve.setData(at - self.since, values, pen=pen, antialias=len(at) < 5_000)
            curve.setZValue(10 - order)
        # The fill is painted by hand, piece by piece: pyqtgraph closes one path over all gaps.
        self._filled = lines[0] if lines else None
        self._pieces = None

    def set_view(self, since: float, until: float, top: float) -> None:
        """Show this stretch of time and values from 0 to `top`."""
        self.since, self.until, self.top = since, until, top
        self._box.setRange(
            xRange=(0.0, until - since),
            yRange=(-ROOM_BELOW * top, top * 1.04),
            padding=0,
            disableAutoRange=True,
        )

    def x_of(self, at: float) -> float:
        """Return the pixel of a time."""
        width = self.viewport().width()
        return (at - self.since) / max(self.until - self.since, 1e-9) * width

    def time_at(self, x: float) -> float:
        """Return the time under a pixel."""
        return self.since + x / max(self.viewport().width(), 1) * (self.until - self.since)

    def y_of(self, value: float) -> float:
        """Return the pixel of a value."""
        height = self.viewport().height()
        low, high = -ROOM_BELOW * self.top, self.top * 1.04
        return height - (value - low) / (high - low) * height

    def drawBackground(self, painter: QPainter, rect: QRectF) -> None:
        painter.save()
        painter.resetTransform()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        current = theme()
        width, height = self.viewport().width(), self.viewport().height()
        if self.selected is not None:
            left, right = (self.x_of(at) for at in self.selected)
            painter.fillRect(QRectF(left, 0, right - left, height), current.color("sel"))
        painter.setPen(QPen(current.color("line"), 1))
        for value in value_ticks(self.top, most=self.most_ticks):
            y = round(self.y_of(value))
            painter.drawLine(0, y, width, y)
        for at in self.time_ticks:
            x = round(self.x_of(at))
            painter.drawLine(x, 0, x, height)
        self._paint_fill(painter)
        painter.restore()

    def _paint_fill(self, painter: QPainter) -> None:
        if self._filled is None or len(self._filled[0]) < 2:
            return
        at, values = self._filled
        color = theme().color("accent")
        color.setAlphaF(0.13)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for piece in self._fill_pieces(at, values):
            painter.drawPolygon(piece)

    def _fill_pieces(self, at: Floats, values: Floats) -> list[QPolygonF]:
        """Return the filled areas between gaps; kept until lines, view or size change: the crosshair repaints often."""
        size = self.viewport().size()
        key = (self.since, self.until, self.top, size.width(), size.height())
        if self._pieces is not None and self._pieces[0] == key:
            return self._pieces[1]
        base = self.y_of(0.0)
        xs = (at - self.since) / max(self.until - self.since, 1e-9) * size.width()
        low, high = -ROOM_BELOW * self.top, self.top * 1.04
        ys = size.height() * (1 - (values - low) / (high - low))
        finite = np.isfinite(ys)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False])).astype(np.int8)))
        pieces = []
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if last - first < 2:
                continue
            points = [
                QPointF(x, y) for x, y in zip(xs[first:last].tolist(), ys[first:last].tolist(), strict=True)
            ]
            points += [QPointF(xs[last - 1], base), QPointF(xs[first], base)]
            pieces.append(QPolygonF(points))
        self._pieces = (key, pieces)
        return pieces

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self.viewport())
        self._paint_marks(painter)
        self._paint_level(painter)
        self._paint_cursor(painter)
        painter.end()

    def _paint_marks(self, painter: QPainter) -> None:
        pen = QPen(theme().color("edge"), 1, Qt.PenStyle.CustomDashLine)
        pen.setDashPattern([4, 3])
        painter.setPen(pen)
        for at in self.marks:
            x = round(self.x_of(at)) + 0.5
            painter.drawLine(QPointF(x, 0), QPointF(x, self.viewport().height()))

    def _paint_level(self, painter: QPainter) -> None:
        if self.level is None:
            return
        value, words = self.level
        current = theme()
        pen = QPen(current.color("text2"), 1.2, Qt.PenStyle.DotLine)
        painter.setPen(pen)
        y = self.y_of(value)
        painter.drawLine(QPointF(0, y), QPointF(self.viewport().width(), y))
        painter.setFont(current.font("caption"))
        painter.drawText(QPointF(8, max(12.0, y - 4)), words)

    def _paint_cursor(self, painter: QPainter) -> None:
        if self.cursor_at is None:
            return
        current = theme()
        x = round(self.x_of(self.cursor_at)) + 0.5
        height, width = self.viewport().height(), self.viewport().width()
        painter.setPen(QPen(current.color("text"), 1))
        painter.drawLine(QPointF(x, 0), QPointF(x, height))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = current.font("secondary")
        font.setWeight(font.Weight.DemiBold)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        for order, (value, _) in enumerate(self.readouts):
            painter.setPen(QPen(current.color("bg1"), 2))
            painter.setBrush(_dot_color(order))
            painter.drawEllipse(QPointF(x, self.y_of(value)), 4, 4)
        if not self.readouts:
            return
        # One box however many lines: a track is often no higher than two boxes.
        words = "  ".join(words for _, words in self.readouts)
        box_width = metrics.horizontalAdvance(words) + 12
        left = x + 10 if x + 14 + box_width < width else x - 10 - box_width
        y = self.y_of(self.readouts[0][0])
        box = QRectF(left, min(max(y - 11, 1), height - 23), box_width, 22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current.color("bg4"))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(current.color("text"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_box"):
            self.set_view(self.since, self.until, self.top)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        if self._pressed is not None and event.buttons() & Qt.MouseButton.LeftButton:
            shift = (self._pressed.x() - x) / max(self.viewport().width(), 1) * (self.until - self.since)
            if self._moved or abs(self._pressed.x() - x) > 4:
                self._moved = True
                self._pressed = event.position()
                self.dragged.emit(shift)
        self.hovered.emit(self.time_at(x))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._moved = event.position(), False

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._pressed is not None and not self._moved:
            self.clicked.emit(self.time_at(event.position().x()))
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        turns = event.angleDelta().y() / 120
        if turns:
            self.wheeled.emit(self.time_at(event.position().x()), 0.8**turns)
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.hovered.emit(None)


def _dot_color(order: int) -> QColor:
    return theme().color(("accent", "text2", "text3")[min(order, 2)])
