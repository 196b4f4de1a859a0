"""A stack of tracks on one time axis: heads left, plots right, events in a ruler on top, one crosshair through all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.shared.history import History
from app.ui.charts.plot import AXIS_WIDTH, Plot
from app.ui.charts.ruler import Ruler, TimeAxis, TimeEvent
from app.ui.charts.ticks import nice_top, time_ticks, value_ticks
from app.ui.theme import theme, themes

HEAD_WIDTH = 184
LOWEST_ROW = 56  # three lines of the head; more rows than fit are scrolled
SHORTEST_SECONDS = 10.0
LONGEST_SECONDS = 24 * 3600.0
POINTS_PER_PIXEL = 1.0  # the smallest and the largest value of every two pixels
SLOWEST_SECONDS = 2.0  # the plots are never further behind than this


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One line: a column of the history, what a value is multiplied with, and its name in the readout."""

    column: str
    scale: float = 1.0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One row of the stack. `words` words a value for the readout, `tick` for the axis.

    `value` and `statistics` word the head from the history and the stretch shown: number, unit, one line.
    """

    key: str
    title: str
    traces: tuple[Trace, ...]
    words: Callable[[float], str]
    tick: Callable[[float], str]
    head: Callable[[History, float, float], tuple[str, str, str]]
    top: float | None = None  # a fixed top of the axis, such as 100 for percent
    top_column: str = ""  # the axis ends at this column's newest value, such as the memory's size
    level: Callable[[], tuple[float, str] | None] = field(default=lambda: None)


class _Head(QWidget):
    """Name, value and statistics of a track, and the labels of its axis."""

    def __init__(self, row: _Row) -> None:
        super().__init__(row)
        self._row = row
        self.setFixedWidth(HEAD_WIDTH + AXIS_WIDTH)

    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        row = self._row
        number, unit, line = row.words
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        middle = self.height() / 2
        painter.setFont(current.font("secondary"))
        painter.setPen(current.color("text"))
        room = HEAD_WIDTH - 8
        title = painter.fontMetrics().elidedText(row.track.title, Qt.TextElideMode.ElideRight, room)
        painter.drawText(0, round(middle - 16), title)
        painter.setFont(current.font("title"))
        painter.drawText(0, round(middle + 6), number)
        after = painter.fontMetrics().horizontalAdvance(number)
        painter.setFont(current.font("secondary"))
        painter.setPen(current.color("text3"))
        painter.drawText(after + 4, round(middle + 6), unit)
        painter.setFont(current.font("caption"))
        painter.setPen(current.color("text2"))
        line = painter.fontMetrics().elidedText(line, Qt.TextElideMode.ElideRight, room)
        painter.drawText(0, round(middle + 22), line)
        painter.setFont(current.font("caption"))
        painter.setPen(current.color("text3"))
        metrics = painter.fontMetrics()
        for value in value_ticks(row.plot.top, most=row.plot.most_ticks):
            words = row.track.tick(value)
            y = row.plot.y_of(value) + metrics.ascent() / 2 - 1
            y = min(max(y, metrics.ascent()), self.height() - 2)
            painter.drawText(round(self.width() - 8 - metrics.horizontalAdvance(words)), round(y), words)
        painter.end()


class _Row(QWidget):
    """A head and its plot over a hairline."""

    def __init__(self, track: Track, parent: QWidget) -> None:
        super().__init__(parent)
        self.track = track
        self.words: tuple[str, str, str] = ("", "", "")
        self.plot = Plot(self)
        self.plot.label = track.tick
        self.head = _Head(self)
        self.setMinimumHeight(LOWEST_ROW)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(track.title)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 1)
        layout.setSpacing(0)
        layout.addWidget(self.head)
        layout.addWidget(self.plot, 1)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QPen(theme().color("line"), 1))
        painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        painter.end()


class TrackStack(QWidget):
    """Tracks over one time axis.

    It follows the newest time until it is paused, dragged or zoomed away; `follow()` brings it back. `viewChanged`
    says which stretch is shown, so that the page can fetch what the history lacks; `followingChanged` when it
    leaves or returns to the newest time; `clicked` a time.
    """

    viewChanged = Signal(float, float)  # noqa: N815
    followingChanged = Signal(bool)  # noqa: N815
    clicked = Signal(float)

    def __init__(self, history: History, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = history
        self._rows: list[_Row] = []
        self._span = 600.0
        self._until: float | None = None  # None: follow the newest time
        self._cursor: float | None = None
        self._selected: tuple[float, float] | None = None
        self._dirty = True
        self._drawn_until = 0.0
        self._since_drawn = QElapsedTimer()
        self._since_drawn.start()
        self._ruler = Ruler(self, left=HEAD_WIDTH + AXIS_WIDTH)
        self._axis = TimeAxis(self, left=HEAD_WIDTH + AXIS_WIDTH)
        rows = QWidget(self)
        self._body = QVBoxLayout(rows)
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(0)
        self._area = QScrollArea(self)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it takes the keyboard
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidgetResizable(True)
        self._area.setWidget(rows)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._ruler)
        layout.addWidget(self._area, 1)
        layout.addWidget(self._axis)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw_if_dirty)
        themes().changed.connect(self.refresh)

    # ---- what is shown

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Show these tracks from the top down. Rows whose track did not change stay."""
        if [row.track for row in self._rows] == list(tracks):
            return
        kept = {row.track.key: row for row in self._rows}
        rows: list[_Row] = []
        for track in tracks:
            row = kept.pop(track.key, None)
            if row is None:
                row = _Row(track, self)
                self._wire(row.plot)
            row.track = track
            rows.append(row)
        for row in kept.values():
            self._body.removeWidget(row)
            row.deleteLater()
        for row in rows:
            self._body.removeWidget(row)
        for row in rows:
            self._body.addWidget(row, 1)
        self._rows = rows
        self.refresh()

    def set_events(self, events: Sequence[TimeEvent]) -> None:
        """Show these events in the ruler and as dashed lines through all tracks."""
        self._ruler.set_events(events)
        self.refresh()

    @property
    def span_seconds(self) -> float:
        return self._span

    def set_span(self, seconds: float) -> None:
        """Show this long a stretch; the newest end stays where it is."""
        self._span = min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
        self._moved()

    @property
    def following(self) -> bool:
        return self._until is None

    def follow(self) -> None:
        """Show the newest time again and go with it."""
        if self._until is not None:
            self._until = None
            self.followingChanged.emit(True)
        self._moved()

    def pause(self) -> None:
        """Keep what is shown; the history goes on filling."""
        if self._until is None:
            self._until = self.range()[1]
            self.followingChanged.emit(False)
            self.refresh()

    def show_stretch(self, since: float, until: float) -> None:
        """Show the stretch between two times with some air, and shade it."""
        air = max(5.0, (until - since) * 0.6)
        self._selected = (since, until)
        self._span = min(max(until - since + 2 * air, SHORTEST_SECONDS), LONGEST_SECONDS)
        was = self.following
        self._until = until + air
        if was:
            self.followingChanged.emit(False)
        self._moved()

    def range(self) -> tuple[float, float]:
        """Return the Unix times at the left and right edge."""
        until = self._until
        if until is None:
            until = float(self.history.at[-1]) if len(self.history) else time.time()
        return until - self._span, until

    def refresh(self) -> None:
        """Draw soon: at most ten times a second, and only while on screen."""
        self._dirty = True
        if self.isVisible() and not self._timer.isActive():
            rest = theme().duration("chart_frame") - self._since_drawn.elapsed()
            self._timer.start(max(0, int(rest)))

    def advance(self) -> None:
        """Take a new sample: the heads say it at once, the plots move when it is worth a pixel or two seconds have passed."""
        if not self.isVisible() or self._until is not None:
            return
        since, until = self.range()
        width = max(self._area.viewport().width() - HEAD_WIDTH - AXIS_WIDTH, 50)
        if until - self._drawn_until >= min(self._span / width, SLOWEST_SECONDS):
            self.refresh()
            return
        for row in self._rows:
            self._word(row, since, until)

    # ---- drawing

    def _draw_if_dirty(self) -> None:
        if self._dirty and self.isVisible():
            self.draw()

    def draw(self) -> None:
        """Draw now."""
        self._dirty = False
        self._since_drawn.restart()
        since, until = self.range()
        self._drawn_until = until
        inside = self._area.viewport().width()
        for strip in (self._ruler, self._axis):
            strip.set_right(self.width() - inside)
        width = max(inside - HEAD_WIDTH - AXIS_WIDTH, 50)
        points = int(width * POINTS_PER_PIXEL)
        ticks = time_ticks(since, until, most=max(2, width // 96))
        marks = [event.at for event in self._ruler.events if since <= event.at <= until]
        self._ruler.set_view(since, until)
        self._axis.set_view(since, until, ticks)
        for row in self._rows:
            self._draw_row(row, since, until, points, ticks, marks)
        self._place_cursor()

    def _draw_row(
        self,
        row: _Row,
        since: float,
        until: float,
        points: int,
        ticks: Sequence[float],
        marks: Sequence[float],
    ) -> None:
        lines = []
        largest = 0.0
        for trace in row.track.traces:
            line = self.history.window(trace.column, since, until, points=points)
            values = line.values * trace.scale
            inside = self.history.values(trace.column, since, until)
            if len(inside):
                largest = max(largest, float(inside.max()) * trace.scale)
            lines.append((line.at, values))
        top = row.track.top
        if top is None and row.track.top_column:
            size = self.history.latest(row.track.top_column)
            top = size * row.track.traces[0].scale if size else None
        row.plot.level = row.track.level()
        if row.plot.level is not None:
            largest = max(largest, row.plot.level[0])
        row.plot.most_ticks = 2 if row.plot.height() < 110 else 3
        row.plot.time_ticks = ticks
        row.plot.marks = marks
        row.plot.selected = self._selected
        row.plot.set_view(since, until, nice_top(largest, fixed=top))
        row.plot.set_lines(lines)
        self._word(row, since, until)
        row.head.update()  # its axis, too

    def _word(self, row: _Row, since: float, until: float) -> None:
        words = row.track.head(self.history, since, until)
        if words != row.words:
            row.words = words
            row.setAccessibleDescription(" ".join(words))
            row.head.update()

    def _place_cursor(self) -> None:
        since, until = self.range()
        at = self._cursor if self._cursor is not None and since <= self._cursor <= until else None
        self._ruler.set_cursor(at)
        within = max(self._span / 200, self.history.interval_seconds * 2)
        for row in self._rows:
            readouts: list[tuple[float, str]] = []
            if at is not None:
                for trace in row.track.traces:
                    value = self.history.at_time(trace.column, at, within_seconds=within)
                    if value is not None:
                        words = row.track.words(value * trace.scale)
                        readouts.append((value * trace.scale, f"{trace.name} {words}".strip()))
            if row.plot.cursor_at != at or row.plot.readouts != readouts:
                row.plot.cursor_at, row.plot.readouts = at, readouts
                row.plot.viewport().update()

    # ---- moving

    def _wire(self, plot: Plot) -> None:
        plot.hovered.connect(self._hover)
        plot.wheeled.connect(self._zoom)
        plot.dragged.connect(self._drag)
        plot.clicked.connect(self.clicked)

    def _hover(self, at: float | None) -> None:
        self._cursor = at
        self._place_cursor()

    def _zoom(self, about: float, factor: float) -> None:
        since, until = self.range()
        span = min(max(self._span * factor, SHORTEST_SECONDS), LONGEST_SECONDS)
        if self.following:  # the newest edge stays put, as a person following it expects
            self._span = span
        else:
            share = (until - about) / max(until - since, 1e-9)
            self._span, self._until = span, about + share * span
        self._moved()

    def _drag(self, seconds: float) -> None:
        _, until = self.range()
        newest = float(self.history.at[-1]) if len(self.history) else time.time()
        wanted = until + seconds
        if wanted >= newest:
            self.follow()
            return
        was = self.following
        self._until = wanted
        if was:
            self.followingChanged.emit(False)
        self._moved()

    def _moved(self) -> None:
        self.viewChanged.emit(*self.range())
        self.refresh()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {
            Qt.Key.Key_Left: -0.1,
            Qt.Key.Key_Right: 0.1,
            Qt.Key.Key_PageUp: -0.9,
            Qt.Key.Key_PageDown: 0.9,
        }
        key = Qt.Key(event.key())
        if key in step:
            self._drag(step[key] * self._span)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self._zoom(sum(self.range()) / 2, 1.25 if key == Qt.Key.Key_Minus else 0.8)
        elif key == Qt.Key.Key_End:
            self.follow()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()
