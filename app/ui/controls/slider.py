"""A slider over real numbers, linear or in ratios, with a tick for the default and a hatched refused range."""

from __future__ import annotations

import bisect
import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QSlider, QWidget

from app.ui.controls.painting import Interactive, draw_box, draw_hatch
from app.ui.i18n import number
from app.ui.theme import theme

Number = int | float
_MAX_STOPS = 4_000
_STOPS_PER_DOUBLING = 8


class Slider(Interactive, QSlider):
    """Moves over stops between `low` and `high`: every `step`, or eight per doubling when logarithmic.

    `numberEdited` tells what the person chose, as int where low and step are whole. Values above `refused_above` are
    hatched and the handle stops there. Double click and Delete return to the tick; the wheel acts only when focused.
    """

    numberEdited = Signal(object)  # noqa: N815 - Qt's naming of signals

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        label: str = "",
        low: Number = 0,
        high: Number = 100,
        step: Number = 1,
        logarithmic: bool = False,
        tick: Number | None = None,
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._stops: list[Number] = []
        self._number: Number = low
        self._tick = tick
        self._refused_above: Number | None = None
        self._quiet = False
        self.setAccessibleName(label)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(theme().metric("slider_height"))
        self.setSingleStep(1)
        self.setPageStep(10)
        self.set_scale(low, high, step=step, logarithmic=logarithmic)
        self.valueChanged.connect(self._moved)

    # numbers

    def set_scale(self, low: Number, high: Number, *, step: Number = 1, logarithmic: bool = False) -> None:
        """Change the range and its stops; the number in force is kept as near as it can be shown."""
        self._stops = _stops(low, high, step, logarithmic)
        self._quiet = True
        # For whole linear scales Qt's own value is the number itself, which is what screen readers say.
        self._offset = int(low) if not logarithmic and step == 1 and float(low).is_integer() else 0
        self.setRange(self._offset, self._offset + len(self._stops) - 1)
        self._quiet = False
        self.set_number(self._number)

    def number(self) -> Number:
        """Return the number in force, exact even between two stops."""
        return self._number

    def set_number(self, value: Number) -> None:
        """Show a number without telling `numberEdited`."""
        self._number = value
        self._quiet = True
        self.setValue(self._offset + self._nearest(value))
        self._quiet = False
        self.setAccessibleDescription(self.reason or number(value))
        self.update()

    def set_tick(self, tick: Number | None) -> None:
        """Mark the default or the trained value under the groove."""
        self._tick = tick
        self.update()

    def set_refused_above(self, limit: Number | None) -> None:
        """Hatch everything above `limit`: the dry run refused it. None lifts it."""
        self._refused_above = limit
        self.update()

    def _nearest(self, value: Number) -> int:
        at = bisect.bisect_left(self._stops, value)
        if at == 0:
            return 0
        if at == len(self._stops):
            return len(self._stops) - 1
        before, after = self._stops[at - 1], self._stops[at]
        return at if after - value < value - before else at - 1

    def _moved(self, position: int) -> None:
        if self._quiet:
            return
        chosen = self._stops[position - self._offset]
        if self._refused_above is not None and chosen > self._refused_above:
            last = bisect.bisect_right(self._stops, self._refused_above) - 1
            self._quiet = True
            self.setValue(self._offset + max(last, 0))
            self._quiet = False
            chosen = self._stops[max(last, 0)]
        if chosen != self._number:
            self._number = chosen
            self.setAccessibleDescription(number(chosen))
            self.numberEdited.emit(chosen)
        self.update()

    def to_tick(self) -> None:
        """Return to the tick, if there is one, as the person's own choice."""
        if self._tick is not None and self._tick != self._number and self.isEnabled():
            self.set_number(self._tick)
            self.numberEdited.emit(self._tick)

    # where things are

    def _span(self) -> tuple[float, float]:
        margin = theme().metric("slider_handle") / 2 + 4
        return margin, max(self.width() - margin, margin + 1)

    def _x_of(self, value: Number) -> float:
        """Return the x of a number, between stops in proportion."""
        left, right = self._span()
        last = len(self._stops) - 1
        if last == 0 or value <= self._stops[0]:
            return left
        if value >= self._stops[-1]:
            return right
        at = bisect.bisect_right(self._stops, value) - 1
        below, above = self._stops[at], self._stops[at + 1]
        place = at + (value - below) / (above - below)
        return left + (right - left) * place / last

    def _position_at(self, x: float) -> int:
        left, right = self._span()
        share = min(max((x - left) / (right - left), 0.0), 1.0)
        return self._offset + round(share * (len(self._stops) - 1))

    # input

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        self.setSliderDown(True)
        self.setValue(self._position_at(event.position().x()))
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self.setValue(self._position_at(event.position().x()))
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setSliderDown(False)
        self.update()
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.to_tick()
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.to_tick()
            event.accept()
            return
        super().keyPressEvent(event)

    # looks

    def sizeHint(self) -> QSize:
        return QSize(160, theme().metric("slider_height"))

    def minimumSizeHint(self) -> QSize:
        return QSize(60, theme().metric("slider_height"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look, enabled = theme(), self.isEnabled()
        left, right = self._span()
        middle = self.height() / 2
        groove = look.metric("slider_groove")
        x = self._x_of(self._number)
        top = middle - groove / 2
        draw_box(painter, QRectF(left, top, right - left, groove), radius=groove / 2, fill=look.color("bg4"))
        if self._refused_above is not None and enabled:
            begin = self._x_of(self._refused_above)
            area = QRectF(begin, top - 1, right - begin, groove + 2)
            painter.fillRect(area, look.color("bg2"))
            draw_hatch(painter, area, look.color("edge"), step=6)
        accent = look.color("accent" if enabled else "text3")
        draw_box(painter, QRectF(left, top, x - left, groove), radius=groove / 2, fill=accent)
        if self._tick is not None:
            tick_x = self._x_of(self._tick)
            painter.fillRect(QRectF(tick_x - 0.75, middle + 6, 1.5, 4), look.color("text2"))
        half = look.metric("slider_handle") / 2
        center = QPointF(x, middle)
        if self.hasFocus() and enabled:
            halo = look.color("accent_hi" if self.ring_shown else "accent", alpha=0.32)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(halo)
            painter.drawEllipse(center, 11, 11)
        if self.ring_shown:
            painter.setPen(QPen(look.color("accent_hi"), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(center, 10.5, 10.5)
        painter.setPen(QPen(accent, look.metric("border.slider_handle")))
        painter.setBrush(look.color("bg1"))
        painter.drawEllipse(center, half - 1, half - 1)
        if enabled and (self.hasFocus() or self.isSliderDown() or self.hover_level):
            inner = look.color("accent")
            inner.setAlphaF(1.0 if self.hasFocus() or self.isSliderDown() else self.hover_level * 0.6)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(inner)
            painter.drawEllipse(center, half - 3.5, half - 3.5)


def _stops(low: Number, high: Number, step: Number, logarithmic: bool) -> list[Number]:
    """Return ascending stops from `low` to `high`, both included, as ints where low, high and step are whole."""
    if high <= low:
        return [low]
    whole = all(float(n).is_integer() for n in (low, high, step))
    decimals = max(_decimals(step), _decimals(low))
    values: list[Number] = []
    if logarithmic and low > 0:
        doublings = math.log2(high / low)
        count = max(2, round(doublings * _STOPS_PER_DOUBLING) + 1)
        for index in range(count):
            exact = low * 2 ** (doublings * index / (count - 1))
            # Powers of two on the way stay exact stops: those are the lengths people mean.
            near = 2.0 ** round(math.log2(exact))
            exact = near if abs(near / exact - 1) < 0.04 else exact
            values.append(round(exact / step) * step)
    else:
        count = int((high - low) / step + 1e-9)
        stride = max(1, math.ceil(count / _MAX_STOPS))
        values = [low + index * step for index in range(0, count + 1, stride)]
    values = [int(v) if whole else round(float(v), decimals) for v in values]
    return sorted({v for v in values if low <= v <= high} | {low, high})


def _decimals(value: Number) -> int:
    text = f"{float(value):.6f}".rstrip("0")
    return len(text) - text.index(".") - 1
