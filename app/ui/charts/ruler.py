"""The ruler of events above the tracks and the axis of times below them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QToolTip, QWidget

from app.ui.i18n import clock, ntr
from app.ui.icons import paint_icon
from app.ui.theme import theme

RULER_HEIGHT = 26
AXIS_HEIGHT = 22
LABEL_WIDEST = 180


@dataclass(frozen=True, kw_only=True)
class TimeEvent:
    """Something that happened: its time, words and icon."""

    at: float
    label: str
    icon: str = ""


class _Timed(QWidget):
    """A strip that shares the plots' horizontal scale."""

    def __init__(self, parent: QWidget, *, left: int, height: int) -> None:
        super().__init__(parent)
        self.setFixedHeight(height)
        self._left = left
        self._right = 0
        self._since, self._until = 0.0, 1.0

    def set_right(self, right: int) -> None:
        """Keep this much free at the right, as the plots do beside a scroll bar."""
        if right != self._right:
            self._right = right
            self.update()

    @property
    def end(self) -> int:
        return self.width() - self._right

    def x_of(self, at: float) -> float:
        width = max(self.end - self._left, 1)
        return self._left + (at - self._since) / max(self._until - self._since, 1e-9) * width


class Ruler(_Timed):
    """Labels of events; where they would overlap they are gathered into “3 events”, told one by one in the tooltip."""

    def __init__(self, parent: QWidget, *, left: int) -> None:
        super().__init__(parent, left=left, height=RULER_HEIGHT)
        self.events: tuple[TimeEvent, ...] = ()
        self._cursor: float | None = None
        self._boxes: list[tuple[QRectF, list[TimeEvent]]] = []

    def set_events(self, events: Sequence[TimeEvent]) -> None:
        self.events = tuple(sorted(events, key=lambda event: event.at))
        self.update()

    def set_view(self, since: float, until: float) -> None:
        self._since, self._until = since, until
        self.update()

    def set_cursor(self, at: float | None) -> None:
        if self._cursor != at:
            self._cursor = at
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(current.font("label_strong"))
        metrics = painter.fontMetrics()
        self._boxes = self._placed(metrics.horizontalAdvance)
        for box, events in self._boxes:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(current.color("bg3"))
            painter.drawRoundedRect(box, 4, 4)
            text = box.adjusted(7, 0, -7, 0)
            if len(events) == 1 and events[0].icon:
                paint_icon(
                    painter, events[0].icon, QRectF(box.left() + 6, box.center().y() - 6, 12, 12), "text2"
                )
                text.setLeft(text.left() + 15)
            painter.setPen(current.color("text2"))
            words = metrics.elidedText(_label(events), Qt.TextElideMode.ElideRight, int(text.width()) + 1)
            painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)
        if self._cursor is not None:
            self._paint_cursor(painter, self._cursor)
        painter.end()

    def _paint_cursor(self, painter: QPainter, at: float) -> None:
        current = theme()
        words = clock(at, seconds=True)
        width = painter.fontMetrics().horizontalAdvance(words) + 14
        x = min(max(self.x_of(at) - width / 2, self._left), self.end - width)
        box = QRectF(x, 3, width, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current.color("text"))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(current.color("bg1"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)

    def _placed(self, measure: Callable[[str], int]) -> list[tuple[QRectF, list[TimeEvent]]]:
        placed: list[tuple[QRectF, list[TimeEvent]]] = []
        for event in self.events:
            if not self._since <= event.at <= self._until:
                continue
            x = self.x_of(event.at)
            if placed and x < placed[-1][0].right() + 3:
                box, events = placed[-1]
                events.append(event)
                box.setWidth(min(measure(_label(events)) + 16, LABEL_WIDEST))
                continue
            width = min(measure(event.label) + 16 + (15 if event.icon else 0), LABEL_WIDEST)
            x = min(x, self.end - width)
            placed.append((QRectF(x, 3, width, 20), [event]))
        return placed

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            for box, events in self._boxes:
                if box.contains(event.pos()):
                    lines = [f"{clock(each.at, seconds=True)}  {each.label}" for each in events]
                    QToolTip.showText(event.globalPos(), "\n".join(lines), self)
                    return True
            QToolTip.hideText()
            return True
        return super().event(event)


def _label(events: list[TimeEvent]) -> str:
    if len(events) == 1:
        return events[0].label
    return ntr("{n} event", "{n} events", len(events))


class TimeAxis(_Timed):
    """Clock times under the tracks; the date where a day begins."""

    def __init__(self, parent: QWidget, *, left: int) -> None:
        super().__init__(parent, left=left, height=AXIS_HEIGHT)
        self._ticks: Sequence[float] = ()

    def set_view(self, since: float, until: float, ticks: Sequence[float]) -> None:
        self._since, self._until, self._ticks = since, until, ticks
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        painter = QPainter(self)
        painter.setFont(current.font("caption"))
        painter.setPen(current.color("text3"))
        seconds = len(self._ticks) > 1 and self._ticks[1] - self._ticks[0] < 60
        metrics = painter.fontMetrics()
        for at in self._ticks:
            words = clock(at, seconds=seconds)
            moment = dt.datetime.fromtimestamp(at)
            if moment.hour == moment.minute == moment.second == 0:
                words = moment.strftime("%d.%m.")
            half = metrics.horizontalAdvance(words) / 2
            x = min(max(self.x_of(at), self._left + half), self.end - half)
            painter.drawText(round(x - half), 15, words)
        painter.end()
