"""From the service to Qt: one thread reads `/events`; the window hears merged signals, 60 a second at most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QElapsedTimer, QObject, Qt, QTimer, Signal, Slot

from app.ui.excepthooks import report_exception

if TYPE_CHECKING:
    from app.shared.events import Event

FLUSH_MS = 16
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class EventSource(Protocol):
    """What the bridge needs of a client."""

    def events(self, stop: threading.Event) -> Iterator[Event]: ...


class Bridge(QObject):
    """Signals of everything the service says. Order is kept; answer text and log lines come as lists."""

    stateReplaced = Signal(object)  # noqa: N815 - events.State
    engineChanged = Signal(object)  # noqa: N815 - EngineState
    answerText = Signal(object)  # noqa: N815 - list[AnswerText], one per message
    messageChanged = Signal(object)  # noqa: N815 - Message
    chatChanged = Signal(object)  # noqa: N815 - Chat
    chatRemoved = Signal(str)  # noqa: N815
    foldersChanged = Signal(object)  # noqa: N815 - tuple[Folder, ...]
    presetsChanged = Signal()  # noqa: N815
    modelsChanged = Signal()  # noqa: N815
    telemetry = Signal(object)  # TelemetrySample
    markerAdded = Signal(object)  # noqa: N815 - Marker
    logLines = Signal(object)  # noqa: N815 - list[LogLine]
    problem = Signal(object)  # ErrorInfo
    connected = Signal(bool)
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pending: list[Event | bool] = []
        self._lock = threading.Lock()
        self._woken = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._since_flush = QElapsedTimer()
        self._since_flush.start()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._flush)
        self._wake.connect(self._plan_flush, Qt.ConnectionType.QueuedConnection)

    def start(self, source: Callable[[], EventSource]) -> None:
        """Listen from now on. `source()` is called on the bridge thread per connection; it may wait or fail."""
        if self._thread is not None:
            raise RuntimeError("the bridge listens already")
        self._thread = threading.Thread(target=self._listen, args=(source,), name="pult-events", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Say no more from now on; `stop` waits for the thread."""
        self._stop.set()

    def stop(self, *, seconds: float = 5.0) -> None:
        """Stop listening and wait for the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)
        self._timer.stop()

    def offer(self, event: Event | bool) -> None:
        """Take an event (or True/False: connected or not) from any thread."""
        if self._stop.is_set():
            return
        with self._lock:
            self._pending.append(event)
            if self._woken:
                return
            self._woken = True
        self._wake.emit()

    def _listen(self, source: Callable[[], EventSource]) -> None:
        failures, told = 0, ""
        while not self._stop.is_set():
            heard = False
            try:
                for event in source().events(self._stop):
                    if not heard:
                        heard, failures = True, 0
                        self.offer(True)
                    self.offer(event)
                    if self._stop.is_set():
                        return
            except Exception as error:  # noqa: BLE001 - the border of a thread; every way a connection ends leads to the next try
                if not self._stop.is_set() and str(error) != told:
                    told = str(error)
                    report_exception(error)
            if heard:
                self.offer(False)
            self._stop.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1

    @Slot()
    def _plan_flush(self) -> None:
        rest = FLUSH_MS - self._since_flush.elapsed()
        if rest <= 0:
            self._flush()
        elif not self._timer.isActive():
            self._timer.start(int(rest))

    @Slot()
    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
            self._woken = False
        self._since_flush.restart()
        deliver_in_order(self, pending)


def deliver_in_order(bridge: Bridge, pending: list[Event | bool]) -> None:
    """Emit the events; runs of answer text and of log lines become one signal each."""
    texts: dict[str, Any] = {}
    lines: list[Any] = []

    def emit_runs() -> None:
        if texts:
            bridge.answerText.emit(list(texts.values()))
            texts.clear()
        if lines:
            bridge.logLines.emit(list(lines))
            lines.clear()

    for event in pending:
        if isinstance(event, bool):
            emit_runs()
            bridge.connected.emit(event)
            continue
        match event.type:
            case "answer":
                earlier = texts.get(event.message_id)
                if earlier is not None:
                    event = event.model_copy(
                        update={"text": earlier.text + event.text, "thought": earlier.thought + event.thought}
                    )
                texts[event.message_id] = event
            case "log":
                lines.append(event)
            case "telemetry":
                bridge.telemetry.emit(event.sample)
            case "marker":
                bridge.markerAdded.emit(event.marker)
            case "presets":
                bridge.presetsChanged.emit()
            case "models":
                bridge.modelsChanged.emit()
            case "state":
                emit_runs()
                bridge.stateReplaced.emit(event)
            case "engine":
                emit_runs()
                bridge.engineChanged.emit(event.engine)
            case "message":
                emit_runs()
                bridge.messageChanged.emit(event.message)
            case "chat":
                bridge.chatChanged.emit(event.chat)
            case "chat_removed":
                bridge.chatRemoved.emit(event.chat_id)
            case "folders":
                bridge.foldersChanged.emit(event.folders)
            case "problem":
                bridge.problem.emit(event.error)
    emit_runs()
