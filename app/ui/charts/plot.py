"""One plot of a track: lines with a faint fill on a hairline grid, drawn with pyqtgraph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
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
    """Return the pen of the first, second and third line of a plot, by the chart rules of the design.

    All are one pixel wide: Qt strokes wider smooth lines 50 times slower. The first is drawn twice, half a pixel
    apart, which makes it 1.5.
    """
    current = theme()
    color, style = (
        (current.color("accent"), Qt.PenStyle.SolidLine),
        (current.color("text2"), Qt.PenStyle.SolidLine),
        (current.color("text3"), Qt.PenStyle.DashLine),
    )[min(order, 2)]
    pen = QPen(color, 1.0, style)
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
        self._still: QPixmap | None = None  # everything but the crosshair
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
        shown = [lines[0], *lines] if lines else []  # the first one twice
        while len(self._curves) < len(shown):
            curve = pg.PlotCurveItem(connect="finite", antialias=True)
            self._curves.append(curve)
            self.addItem(curve)
        for place, curve in enumerate(self._curves):
            if place >= len(shown):
                curve.clear()
                continue
            at, values = shown[place]
            order = max(0, place - 1)
            # Times near 1.8e9 lose their fraction in single precision inside Qt's paths: shift to the left edge.
            curve.setData(at - self.since, values, pen=series_pen(order))
            curve.setZValue(10 - order)
        self._thicken()
        # The fill is painted by hand: pyqtgraph closes one path over all gaps, and a large polygon is slow.
        self._filled = lines[0] if lines else None
        self.redraw()

    def redraw(self) -> None:
        """Paint anew; without this only the crosshair moves, over a picture that is kept."""
        self._still = None
        self.viewport().update()

    def _thicken(self) -> None:
        if self._curves:
            pixel = self.top * (1.04 + ROOM_BELOW) / max(self.viewport().height(), 1)
            self._curves[0].setPos(0.0, -0.5 * pixel)

    def set_view(self, since: float, until: float, top: float) -> None:
        """Show this stretch of time and values from 0 to `top`."""
        self.since, self.until, self.top = since, until, top
        self._box.setRange(
            xRange=(0.0, until - since),
            yRange=(-ROOM_BELOW * top, top * 1.04),
            padding=0,
            disableAutoRange=True,
        )
        self._thicken()
        self.redraw()

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
        """Tint what lies between the first line and zero: a picture made of one number a pixel column."""
        if self._filled is None or len(self._filled[0]) < 2:
            return
        at, values = self._filled
        ratio = self.devicePixelRatioF()
        width, height = round(self.viewport().width() * ratio), round(self.viewport().height() * ratio)
        low, high = -ROOM_BELOW * self.top, self.top * 1.04
        middles = self.since + (np.arange(width) + 0.5) / width * (self.until - self.since)
        # Interpolation carries NaN on into the gap's neighbours, and stops at the first and last sample.
        levels = np.interp(middles, at, values, left=np.nan, right=np.nan)
        tops = np.nan_to_num(height * (1 - (levels - low) / (high - low)), nan=float(height))
        base = height * (1 - (0.0 - low) / (high - low))
        rows = np.arange(height)[:, None] + 0.5
        color = theme().color("accent")
        tint = [round(channel * 0.13) for channel in (color.red(), color.green(), color.blue())]
        pixel = 33 << 24 | tint[0] << 16 | tint[1] << 8 | tint[2]  # 13% of 255, premultiplied
        cells = np.where((rows >= tops) & (rows <= base), np.uint32(pixel), np.uint32(0))
        image = QImage(cells.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
        painter.drawImage(QRectF(self.viewport().rect()), image)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._still is None:
            self._still = self._picture()
        painter = QPainter(self.viewport())
        painter.drawPixmap(0, 0, self._still)
        self._paint_cursor(painter)
        painter.end()

    def _picture(self) -> QPixmap:
        ratio, area = self.devicePixelRatioF(), self.viewport().rect()
        picture = QPixmap(area.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.render(painter, QRectF(area), area)
        self._paint_marks(painter)
        self._paint_level(painter)
        painter.end()
        return picture

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
