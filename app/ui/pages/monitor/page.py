"""The Monitor page: the machine now, tracks over time, answers below."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QScrollArea, QSplitter, QVBoxLayout, QWidget

from app.shared.errors import StorageFailed
from app.shared.history import History
from app.shared.telemetry import Marker, TelemetryHistory, TelemetrySample, sample_columns
from app.ui.charts import TimeEvent, TrackStack
from app.ui.context import Page, WindowContext
from app.ui.controls import Button, ElidedLabel, FlatCombo, Hairline, IconButton, Label, Menu, Segments
from app.ui.i18n import mark, ntr, number, tr
from app.ui.pages.monitor.answers import AnswersModel, AnswersTable
from app.ui.pages.monitor.machine import Machine
from app.ui.pages.monitor.tracks import available_tracks, default_keys

if TYPE_CHECKING:
    from app.shared.chats import Message

RANGES = (("60", mark("1 min")), ("600", mark("10 min")), ("3600", mark("1 h")), ("86400", mark("24 h")))
RATES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
EVENT_ICONS = {
    "load": "reload",
    "eject": "eject",
    "stop": "stop",
    "error": "warning",
    "experts": "chip",
    "preset": "presets",
}
DAY_SECONDS = 24 * 3600.0
FETCH_MS = 120
FETCH_POINTS = 4000
MOST_MARKERS = 2000
MOST_MACHINE_ROWS = 3  # more GPUs are scrolled: the graphs need the room


class MonitorPage(Page):
    """Live graphs and what answers cost. Samples are kept while the page is hidden; nothing is drawn then."""

    page_id = "monitor"
    title = mark("Monitor")
    icon_name = "monitor"

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self._history = History()
        self._markers: list[Marker] = []
        self._gpu_names: dict[int, str] = {}
        self._shown_keys: list[str] | None = None
        self._fetched: tuple[float, float, float] | None = None  # since, until, span it was fetched for
        self._wanted: tuple[float, float] | None = None
        self._asked_once = False
        self._build()
        self._fetch_timer = QTimer(self)
        self._fetch_timer.setSingleShot(True)
        self._fetch_timer.setInterval(FETCH_MS)
        self._fetch_timer.timeout.connect(self._fetch)
        state, bridge = context.state, context.bridge
        state.telemetryChanged.connect(self._take_sample)
        bridge.markerAdded.connect(self._take_marker)
        bridge.messageChanged.connect(self._answers.take)
        bridge.connected.connect(self._connected)
        for sample in state.recent:
            self._take_sample(sample)

    # ---- building

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._head())
        self._machine = Machine(self)
        self._machine_area = QScrollArea(self)
        self._machine_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it takes the keyboard
        self._machine_area.setFrameShape(QFrame.Shape.NoFrame)
        self._machine_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._machine_area.setWidgetResizable(True)
        self._machine_area.setWidget(self._machine)
        layout.addWidget(self._machine_area)
        self._stack = TrackStack(self._history, self)
        self._stack.viewChanged.connect(self._view_changed)
        self._stack.followingChanged.connect(self._following_changed)
        self._stack.setAccessibleName(tr("Graphs"))
        graphs = QWidget(self)
        inner = QVBoxLayout(graphs)
        inner.setContentsMargins(24, 0, 24, 4)
        inner.addWidget(self._stack)
        self._splitter = QSplitter(Qt.Orientation.Vertical, self)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setHandleWidth(1)
        self._splitter.addWidget(graphs)
        self._splitter.addWidget(self._answers_area())
        self._splitter.setStretchFactor(0, 1)
        self._splitter.setStretchFactor(1, 0)
        layout.addWidget(self._splitter, 1)

    def _head(self) -> QWidget:
        head = QWidget(self)
        head.setFixedHeight(48)
        row = QHBoxLayout(head)
        row.setContentsMargins(24, 0, 16, 0)
        row.setSpacing(8)
        row.addWidget(Label(tr("Monitor"), "title"))
        self._rate = FlatCombo(
            [(str(rate), _rate_words(rate)) for rate in RATES],
            label=tr("Samples per second"),
            current="2.0",
            style="secondary",
        )
        self._rate.chosen.connect(self._set_rate)
        row.addWidget(self._rate)
        row.addStretch(1)
        self._live = Button(tr("Back to now"), compact=True, icon_name="play")
        self._live.clicked.connect(self._stack_follow)
        self._live.hide()
        row.addWidget(self._live)
        self._ranges = Segments(
            [(key, tr(words)) for key, words in RANGES], label=tr("Stretch of time"), current="600"
        )
        self._ranges.chosen.connect(lambda key: self._stack.set_span(float(key)))
        row.addWidget(self._ranges)
        self._pause = IconButton("pause", tr("Pause the graphs"))
        self._pause.clicked.connect(self._toggle_pause)
        row.addWidget(self._pause)
        self._choose = IconButton("sliders", tr("Choose the graphs"))
        self._choose.clicked.connect(self._open_chooser)
        row.addWidget(self._choose)
        self._export = IconButton("download", tr("Export"))
        self._export.clicked.connect(self._open_export)
        row.addWidget(self._export)
        return head

    def _answers_area(self) -> QWidget:
        area = QWidget(self)
        layout = QVBoxLayout(area)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(Hairline())
        head = QHBoxLayout()
        head.setContentsMargins(24, 8, 24, 6)
        head.setSpacing(8)
        head.addWidget(Label(tr("Answers"), "section"))
        self._answers_note = ElidedLabel("", "secondary", "text3")
        head.addWidget(self._answers_note, 1)
        layout.addLayout(head)
        self._answers = AnswersModel(self)
        self._table = AnswersTable(self._answers)
        self._table.picked.connect(self._show_answer)
        self._table.show_gpu_columns(False)
        body = QHBoxLayout()
        body.setContentsMargins(16, 0, 16, 8)
        body.addWidget(self._table)
        layout.addLayout(body, 1)
        area.setMinimumHeight(96)
        for signal in (self._answers.modelReset, self._answers.rowsInserted):
            signal.connect(self._word_answers)
        self._word_answers()
        return area

    # ---- what comes in

    def _take_sample(self, sample: TelemetrySample) -> None:
        if not self._history.append(sample.at, sample_columns(sample)):
            return
        names = {gpu.index: gpu.name for gpu in sample.gpus}
        if names != self._gpu_names and (names or not self._stack.isVisible()):
            self._gpu_names = names or self._gpu_names
            self._table.show_gpu_columns(bool(self._gpu_names))
        if self.isVisible():
            self._show_now(sample)

    def _show_now(self, sample: TelemetrySample) -> None:
        self._machine.show_sample(sample)
        height = self._machine.wanted_height(most_rows=MOST_MACHINE_ROWS)
        if height != self._machine_area.height():
            self._machine_area.setFixedHeight(height)
        self._place_tracks()
        self._stack.advance()

    def _place_tracks(self) -> None:
        tracks = available_tracks(self._history.names, self._gpu_names)
        chosen = self._shown_keys if self._shown_keys is not None else default_keys(tracks)
        wanted = [track for track in tracks if track.key in chosen]
        if [track.key for track in wanted] != self._placed_keys:
            self._placed_keys = [track.key for track in wanted]
            self._stack.set_tracks(wanted)

    _placed_keys: list[str] = []  # noqa: RUF012 - replaced, never changed in place

    def _take_marker(self, marker: Marker) -> None:
        self._markers.append(marker)
        del self._markers[:-MOST_MARKERS]
        self._show_markers()

    def _show_markers(self) -> None:
        self._stack.set_events(
            [
                TimeEvent(at=marker.at, label=marker_words(marker), icon=EVENT_ICONS.get(marker.kind, "info"))
                for marker in self._markers
            ]
        )

    def _word_answers(self) -> None:
        count = self._answers.rowCount()
        self._answers_note.setText(
            tr("click one to see its stretch of the graph")
            if count
            else tr("none yet: each answer appears here with its speed and cost")
        )

    # ---- asking the service

    def shown(self) -> None:
        if not self._asked_once:
            self._asked_once = True
            self._ask_all()
        if self.context.state.telemetry is not None:
            self._show_now(self.context.state.telemetry)
        self._stack.refresh()

    def focus_main(self) -> None:
        self._stack.setFocus()

    def regions(self) -> list[QWidget]:
        return [self._ranges, self._stack, self._table]

    def _ask_all(self) -> None:
        now = time.time()
        operations = self.context.operations
        operations.run(
            self, lambda client: client.markers(now - DAY_SECONDS, now + 60), done=self._take_markers
        )
        operations.run(self, lambda client: client.answers(limit=200), done=self._answers.replace)
        operations.run(self, lambda client: client.preferences().get("telemetry_hertz"), done=self._take_rate)
        self._fetched = None
        self._view_changed(*self._stack.range())

    def _take_markers(self, markers: tuple[Marker, ...]) -> None:
        newer = [m for m in self._markers if not markers or m.at > markers[-1].at]
        self._markers = [*markers, *newer][-MOST_MARKERS:]
        self._show_markers()

    def _take_rate(self, hertz: object) -> None:
        if isinstance(hertz, (int, float)) and float(hertz) in RATES:
            self._rate.set_current(str(float(hertz)))

    def _view_changed(self, since: float, until: float) -> None:
        span = until - since
        key = str(round(span))
        if self._ranges.current() != key:
            self._ranges.set_current(key)  # a span of no segment's leaves none chosen
        if self._fetched is not None:
            low, high, fetched_span = self._fetched
            fine_enough = span >= fetched_span / 4
            if low <= since and (until <= high or self._stack.following) and fine_enough:
                return
        self._wanted = (since, until)
        self._fetch_timer.start()

    def _connected(self, connected: bool) -> None:
        if connected and self._asked_once:
            self._ask_all()

    def _fetch(self) -> None:
        if self._wanted is None:
            return
        since, until = self._wanted
        span = until - since
        # Half a stretch more on the left, so that dragging shows something at once; always up to now, so that what
        # streams in goes on without a hole.
        low, high = since - span / 2, time.time()
        points = int(min(20_000, FETCH_POINTS * max(1.0, (high - low) / (1.5 * span))))
        self.context.operations.run(
            self,
            lambda client: client.telemetry(low, high, points=points),
            done=lambda history: self._take_history(history, span),
        )

    def _take_history(self, history: TelemetryHistory, span: float) -> None:
        self._fetched = (history.since, history.until, span)
        self._history.replace(history.at, history.columns, interval_seconds=history.interval_seconds)
        self._place_tracks()
        self._stack.refresh()

    # ---- what the person does

    def _set_rate(self, key: str) -> None:
        hertz = float(key)
        self.context.operations.run(self, lambda client: client.set_telemetry_rate(hertz))

    def _toggle_pause(self) -> None:
        if self._stack.following:
            self._stack.pause()
        else:
            self._stack.follow()

    def _stack_follow(self) -> None:
        self._stack.follow()

    def _following_changed(self, following: bool) -> None:
        self._live.setVisible(not following)
        self._pause.set_icon("pause" if following else "play")
        self._pause.set_label(tr("Pause the graphs") if following else tr("Go on"))

    def _show_answer(self, message: Message) -> None:
        facts = message.facts
        if facts is None:
            return
        seconds = facts.timings.prefill_seconds + facts.timings.decode_seconds
        self._stack.show_stretch(message.created_at, message.created_at + max(seconds, 0.5))

    def _open_chooser(self) -> None:
        menu = Menu(self)
        tracks = available_tracks(self._history.names, self._gpu_names)
        chosen = self._shown_keys if self._shown_keys is not None else default_keys(tracks)
        for track in tracks:
            action = menu.addAction(track.title)
            action.setCheckable(True)
            action.setChecked(track.key in chosen)
            action.toggled.connect(lambda on, key=track.key: self._choose_track(key, on))
        menu.addSeparator()
        reset = menu.addAction(tr("Show the usual ones"))
        reset.triggered.connect(self._choose_usual)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._choose.mapToGlobal(QPoint(0, self._choose.height() + 4)))

    def _choose_track(self, key: str, on: bool) -> None:
        tracks = available_tracks(self._history.names, self._gpu_names)
        chosen = self._shown_keys if self._shown_keys is not None else default_keys(tracks)
        kept = [each for each in chosen if each != key]
        self._shown_keys = [*kept, key] if on else kept
        self._place_tracks()
        self.save_layout()

    def _choose_usual(self) -> None:
        self._shown_keys = None
        self._place_tracks()
        self.save_layout()

    def _open_export(self) -> None:
        menu = Menu(self)
        menu.addAction(tr("Samples of this stretch as CSV…")).triggered.connect(self._export_samples)
        menu.addAction(tr("Answers as CSV…")).triggered.connect(self._export_answers)
        menu.addAction(tr("Picture as PNG…")).triggered.connect(self._export_picture)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._export.mapToGlobal(QPoint(0, self._export.height() + 4)))

    def _export_samples(self) -> None:
        since, until = self._stack.range()
        path = self._ask_file("pult-samples.csv", "CSV (*.csv)")
        if path is not None:
            self.context.operations.run(
                self,
                lambda client: _write(path, client.telemetry_csv(since, until).encode()),
                done=self._told_saved,
            )

    def _export_answers(self) -> None:
        path = self._ask_file("pult-answers.csv", "CSV (*.csv)")
        if path is not None:
            text = self._answers.as_csv()
            self.context.operations.run(self, lambda _: _write(path, text.encode()), done=self._told_saved)

    def _export_picture(self) -> None:
        path = self._ask_file("pult-monitor.png", "PNG (*.png)")
        if path is not None:
            path = path if path.suffix else path.with_suffix(".png")
            image = self.grab().toImage()

            def save() -> Path:
                if not image.save(str(path)):
                    raise StorageFailed("{path} could not be written. Choose another folder.", path=str(path))
                return path

            self.context.operations.run(self, lambda _: save(), done=self._told_saved)

    def _ask_file(self, name: str, kinds: str) -> Path | None:
        folder = self.context.settings.text("export_folder") or str(Path.home())
        chosen, _ = QFileDialog.getSaveFileName(self, tr("Export"), str(Path(folder) / name), kinds)
        if not chosen:
            return None
        self.context.settings.put("export_folder", str(Path(chosen).parent))
        return Path(chosen)

    def _told_saved(self, path: Path) -> None:
        self.context.toast(tr("Saved {name}", name=path.name))

    # ---- remembered

    def save_layout(self) -> None:
        settings = self.context.settings
        settings.put("monitor_tracks", self._shown_keys)
        settings.put("monitor_range", self._ranges.current() or settings.get("monitor_range", "600"))
        settings.put("monitor_split", list(self._splitter.sizes()))

    def restore_layout(self) -> None:
        settings = self.context.settings
        keys: list[object] = settings.get("monitor_tracks", [])
        self._shown_keys = [str(key) for key in keys] or None
        span = settings.get("monitor_range", "600")
        if span in dict(RANGES):
            self._ranges.set_current(span)
            self._stack.set_span(float(span))
        sizes = settings.get("monitor_split", [])
        if len(sizes) == 2 and all(isinstance(size, int) and size > 0 for size in sizes):
            self._splitter.setSizes(sizes)
        else:
            self._splitter.setSizes([700, 190])


def marker_words(marker: Marker) -> str:
    """Word a marker in the language in force: its kind, and what it was about."""
    words = {
        "load": tr("Load {what}", what=marker.label),
        "eject": tr("Eject {what}", what=marker.label),
        "stop": tr("Stop"),
        "experts": tr("{count} experts", count=marker.label),
        "preset": tr("Preset {what}", what=marker.label),
    }
    return words.get(marker.kind, marker.label)


def _rate_words(rate: float) -> str:
    if rate < 1:
        return tr("a sample every {seconds} s", seconds=number(1 / rate))
    return ntr("{n} sample per second", "{n} samples per second", round(rate))


def _write(path: Path, content: bytes) -> Path:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageFailed(
            "{path} could not be written: {reason}. Choose another folder.",
            path=str(path),
            reason=error.strerror or type(error).__name__,
        ) from error
    return path
