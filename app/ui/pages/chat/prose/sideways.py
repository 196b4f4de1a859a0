"""Boxes wider than the column: a part of them shows, with a bar under it that is dragged or wheeled sideways."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter

from app.ui.pages.chat.prose.box import Box
from app.ui.theme import theme

BAR_PX = 8
_EDGE_PX = 4
_LEAST_BAR_PX = 24.0


class SidewaysBox(Box):
    """A box that shows `frame_width` of its `content_width`, both in pixels and set by its layout."""

    scroll_px: float = 0.0
    frame_left: float = 0.0
    frame_width: float = 0.0

    @property
    def content_width(self) -> float:
        """How wide the whole is."""
        raise NotImplementedError

    @property
    def overflow(self) -> float:
        """How far the whole reaches beyond what shows, in pixels."""
        return max(0.0, self.content_width - self.frame_width)

    @property
    def bar_room(self) -> int:
        """The height that the bar takes from the box."""
        return BAR_PX if self.overflow > 0 else 0

    def keep_in_reach(self) -> None:
        """After a layout: what shows cannot lie beyond the end."""
        self.scroll_px = min(self.scroll_px, self.overflow)

    def scroll(self, delta_px: float) -> bool:
        """Move sideways; False if there is nothing more on that side."""
        before = self.scroll_px
        self.scroll_px = min(max(0.0, before + delta_px), self.overflow)
        return self.scroll_px != before

    def show_span(self, left: float, right: float) -> None:
        """Move as little as brings these x of the whole into what shows."""
        if left < self.scroll_px:
            self.scroll(left - self.scroll_px)
        elif right > self.scroll_px + self.frame_width:
            self.scroll(right - self.scroll_px - self.frame_width)

    @property
    def _bar_width(self) -> float:
        room = self.frame_width - 2 * _EDGE_PX
        return max(room * self.frame_width / self.content_width, _LEAST_BAR_PX)

    @property
    def _travel(self) -> float:
        return max(self.frame_width - 2 * _EDGE_PX - self._bar_width, 1.0)

    def grips(self, point: QPointF) -> bool:
        """Whether a press here takes hold of the bar."""
        return self.overflow > 0 and self.height - BAR_PX - _EDGE_PX <= point.y() <= self.height

    def pull(self, pixels: float) -> bool:
        """Move the bar by so many pixels."""
        return self.scroll(pixels * self.overflow / self._travel)

    def paint_bar(self, painter: QPainter, origin: QPointF) -> None:
        """Draw the bar where there is something beyond."""
        if self.overflow <= 0:
            return
        left = origin.x() + self.frame_left + _EDGE_PX + self._travel * self.scroll_px / self.overflow
        bar = QRectF(left, origin.y() + self.height - BAR_PX, self._bar_width, 4)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color("scroll"))
        painter.drawRoundedRect(bar, 2, 2)
        painter.restore()
