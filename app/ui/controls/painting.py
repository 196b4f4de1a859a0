"""What painted controls share: focus ring on keyboard focus, hover fades, crisp boxes, the reason of a disabled one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEasingCurve, QEvent, QPointF, QRectF, Qt, QVariantAnimation
from PySide6.QtGui import QColor, QEnterEvent, QFocusEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QWidget

from app.ui.theme import theme

if TYPE_CHECKING:
    _Widget = QWidget
else:
    _Widget = object  # a mixin: PySide cannot inherit from two Qt classes

KEYBOARD_REASONS = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)
RING = 3  # the focus ring and its gap, kept free around controls that show one outside


class Fade(QVariantAnimation):
    """Moves a number 0…1 towards a target and repaints its widget; at once where motion is off."""

    def __init__(self, widget: QWidget, duration: str = "hover") -> None:
        super().__init__(widget)
        self._widget = widget
        self._duration = duration
        self._level = 0.0
        self.setEasingCurve(QEasingCurve.Type.OutCubic)
        self.valueChanged.connect(self._step)

    @property
    def level(self) -> float:
        return self._level

    def to(self, target: float) -> None:
        """Go to `target` within the token's duration."""
        duration = theme().duration(self._duration)
        self.stop()
        if duration == 0 or not self._widget.isVisible() or target == self._level:
            self._level = target
            self._widget.update()
            return
        self.setStartValue(self._level)
        self.setEndValue(target)
        self.setDuration(duration)
        self.start()

    def _step(self, value: object) -> None:
        if isinstance(value, float):
            self._level = value
            self._widget.update()


class Interactive(_Widget):
    """Mixin of every control: the ring on keyboard focus, the hover level and the reason while disabled."""

    _ringed = False
    _hover_fade: Fade | None = None
    _reason = ""
    _usual_tip = ""

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._ringed = event.reason() in KEYBOARD_REASONS
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if event.reason() not in (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason):
            self._ringed = False
        super().focusOutEvent(event)
        self.update()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._fade_hover(1.0)
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._fade_hover(0.0)
        super().leaveEvent(event)

    def _fade_hover(self, target: float) -> None:
        if self._hover_fade is None:
            self._hover_fade = Fade(self)
        self._hover_fade.to(target)

    @property
    def hover_level(self) -> float:
        """How far the pointer's highlight has come, 0…1; 0 while disabled."""
        return self._hover_fade.level if self._hover_fade is not None and self.isEnabled() else 0.0

    @property
    def ring_shown(self) -> bool:
        """Whether the focus ring is drawn: focus came by keyboard."""
        return self._ringed and self.hasFocus()

    def set_reason(self, reason: str | None) -> None:
        """Disable the control and say why in its tooltip; None enables it and brings its usual tooltip back."""
        if not self._reason:
            self._usual_tip = self.toolTip()
        self._reason = reason or ""
        self.setEnabled(reason is None)
        self.setToolTip(self._reason or self._usual_tip)
        self.setAccessibleDescription(self._reason or self._usual_tip)

    @property
    def reason(self) -> str:
        """Why the control is disabled, empty while it works."""
        return self._reason


def draw_box(
    painter: QPainter,
    rect: QRectF,
    *,
    radius: float,
    fill: QColor | None = None,
    border: QColor | None = None,
    border_width: float = 1.0,
) -> None:
    """Draw a rounded box whose border lies inside `rect`, on whole pixels at scale 1."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    half = border_width / 2 if border is not None else 0.0
    painter.setPen(QPen(border, border_width) if border is not None else Qt.PenStyle.NoPen)
    painter.setBrush(fill if fill is not None else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(rect.adjusted(half, half, -half, -half), radius - half, radius - half)


def draw_ring(painter: QPainter, rect: QRectF, radius: float) -> None:
    """Draw the 2 px focus ring around `rect`, 1 px away; `rect` needs 3 px of room on each side."""
    gap = theme().metric("border.focus_gap")
    width = theme().metric("border.focus")
    outer = rect.adjusted(-gap - width, -gap - width, gap + width, gap + width)
    draw_box(
        painter, outer, radius=radius + gap + width, border=theme().color("accent_hi"), border_width=width
    )


def draw_inner_ring(painter: QPainter, rect: QRectF, radius: float) -> None:
    """Draw the focus ring at the inside of `rect`, for controls without room around them."""
    width = theme().metric("border.focus")
    draw_box(painter, rect, radius=radius, border=theme().color("accent_hi"), border_width=width)


def draw_hatch(
    painter: QPainter, rect: QRectF, color: QColor, *, step: float = 5.0, radius: float = 0.0
) -> None:
    """Fill `rect` with thin diagonal lines inside a clip; unlike Qt's pattern brush they scale with the screen."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    clip = QPainterPath()
    clip.addRoundedRect(rect, radius, radius)
    painter.setClipPath(clip, Qt.ClipOperation.IntersectClip)
    painter.setPen(QPen(color, 1.0))
    x = rect.left() - rect.height()
    while x < rect.right():
        painter.drawLine(QPointF(x, rect.bottom()), QPointF(x + rect.height(), rect.top()))
        x += step
    painter.restore()
