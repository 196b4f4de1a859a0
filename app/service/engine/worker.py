"""The worker process: one engine behind a pipe. Frames come on stdin and go out on what was stdout.

Three threads: the main one works (load, generate, count, one after the other), one reads stdin (cancel and
ping act at once, the end of stdin ends the process whatever the engine is doing), one beats twice a second.

`PULT_FAULT=<sigsegv|sigabrt|sigkill|hang>:<load|prefill|decode>` makes the worker fail in that way at that
point. It exists so that the supervisor's sentences are tried on real deaths.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from app.service.engine.base import Engine, StopFlag
from app.shared import messages
from app.shared.engine import AnswerDelta, AnswerStarted, TokenEvent
from app.shared.errors import EngineFailed, ErrorInfo, PultError

BEAT_SECONDS = 0.5
_LEAVE_SECONDS = 2.0
_LOG_LINE_LENGTH = 4000

Level = Literal["debug", "info", "warning", "error"]
_Work = messages.Load | messages.Eject | messages.Generate | messages.Count


@runtime_checkable
class _Alive(Protocol):
    """What an engine may tell of itself while it works; those that do not are judged by their frames."""

    @property
    def steps(self) -> int: ...
    @property
    def busy(self) -> str | None: ...


class FrameWriter:
    """Writes frames from any thread. A broken pipe means that nobody listens any more: the process ends."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.sent = 0  # heartbeats not counted: they are no sign of progress

    def send(self, message: BaseModel) -> None:
        """Write one message."""
        try:
            with self._lock:
                messages.write_frame(self._stream, message)
                self.sent += not isinstance(message, messages.Heartbeat)
        except (OSError, ValueError):
            os._exit(0)

    def log(self, level: Level, source: str, text: str) -> None:
        """Pass on one line of a log."""
        self.send(messages.Log(level=level, source=source, text=text[:_LOG_LINE_LENGTH]))


class Worker:
    """Carries out requests with `engine` until it is told to quit."""

    def __init__(self, engine: Engine, frames: FrameWriter) -> None:
        self._engine = engine
        self._frames = frames
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._stops: dict[str, StopFlag] = {}
        self._cancelled_early: deque[str] = deque(maxlen=16)  # most of these have ended: nobody asks again
        self._lock = threading.Lock()
        self._phase: str | None = None
        self._left = threading.Event()
        self._fault = _Fault.from_environment()

    def run(self, requests: BinaryIO) -> None:
        """Work until `requests` ends or says quit."""
        threading.Thread(target=self._listen, args=(requests,), name="control", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        try:
            while (work := self._work.get()) is not None:
                self._carry_out(work)
            self._engine.close()
        finally:
            self._left.set()

    # The control thread

    def _listen(self, requests: BinaryIO) -> None:
        try:
            while (frame := messages.read_frame(requests)) is not None:
                request = messages.REQUEST.validate_json(frame)
                match request:
                    case messages.Quit():
                        break
                    case messages.Cancel():
                        self._cancel(request.id)
                    case messages.Ping():
                        self._frames.send(messages.Done(id=request.id))
                    case _:
                        stop = StopFlag()
                        with self._lock:
                            self._stops[request.id] = stop
                            if request.id in self._cancelled_early:
                                stop.set()
                        self._work.put(request)
        except (OSError, ValueError) as problem:
            self._frames.log("error", "worker", f"A request could not be read, the worker ends: {problem}")
        self._leave()

    def _cancel(self, request_id: str) -> None:
        """Stop a request that waits, runs, or is still to come: a cancel may be sent ahead of it."""
        with self._lock:
            stop = self._stops.get(request_id)
            if stop is None:
                self._cancelled_early.append(request_id)
            else:
                stop.set()

    def _leave(self) -> None:
        """End the process: in order if the engine lets go soon, at once if it does not."""
        with self._lock:
            for stop in self._stops.values():
                stop.set()
        self._work.put(None)
        self._left.wait(_LEAVE_SECONDS)
        os._exit(0)

    def _beat(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            steps, busy, engine = self._frames.sent, self._phase, self._engine
            if isinstance(engine, _Alive):
                steps, busy = engine.steps, engine.busy or busy
            self._frames.send(messages.Heartbeat(steps=steps, busy=busy))

    # The main thread

    def _carry_out(self, work: _Work) -> None:
        with self._lock:
            stop = self._stops[work.id]
        try:
            self._frames.send(self._outcome(work, stop))
        except PultError as problem:
            self._frames.send(messages.Failed(id=work.id, error=problem.info()))
        except Exception as problem:  # noqa: BLE001  # the process border: reported, with its traceback
            self._frames.log("error", "worker", traceback.format_exc())
            self._frames.send(messages.Failed(id=work.id, error=_unforeseen(problem)))
        finally:
            self._phase = None
            with self._lock:
                del self._stops[work.id]

    def _outcome(self, work: _Work, stop: StopFlag) -> messages.Done:
        match work:
            case messages.Load():
                self._phase = "load"
                self._fault.at("load")
                model = self._engine.load(work.plan, progress=self._progress(work.id), stop=stop)
                return messages.Done(id=work.id, model=model)
            case messages.Generate():
                self._phase = "prefill"
                for event in self._watched(self._engine.generate(work.request, stop=stop)):
                    self._frames.send(messages.Token.model_construct(type="token", id=work.id, event=event))
                return messages.Done(id=work.id)
            case messages.Count():
                counts = self._engine.count(work.messages, tools=work.tools, thinking=work.thinking)
                return messages.Done(id=work.id, counts=counts)
            case messages.Eject():
                self._engine.eject()
                return messages.Done(id=work.id)

    def _watched(self, events: Iterator[TokenEvent]) -> Iterator[TokenEvent]:
        for event in events:
            if isinstance(event, AnswerStarted):
                self._fault.at("prefill")
            elif isinstance(event, AnswerDelta):
                self._phase = "decode"
                self._fault.at("decode")
            yield event

    def _progress(self, request_id: str) -> Callable[[float], None]:
        sent = -1.0

        def report(fraction: float) -> None:
            nonlocal sent
            if fraction >= 1.0 or fraction - sent >= 0.005:
                sent = fraction
                self._frames.send(messages.Progress(id=request_id, fraction=fraction))

        return report


class _Fault:
    """The failure that PULT_FAULT asks for; none in ordinary life."""

    def __init__(self, kind: str, phase: str) -> None:
        self._kind = kind
        self._phase = phase

    @classmethod
    def from_environment(cls) -> _Fault:
        kind, _, phase = os.environ.get("PULT_FAULT", "").partition(":")
        return cls(kind, phase)

    def at(self, phase: str) -> None:
        """Fail, if this is where."""
        if not self._kind or phase != self._phase:
            return
        match self._kind:
            case "sigsegv":
                ctypes.string_at(0)
            case "sigabrt":
                os.abort()
            case "sigkill":
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
            case "hang":
                while True:
                    time.sleep(3600)


def _unforeseen(problem: Exception) -> ErrorInfo:
    return EngineFailed(
        "The engine failed in a way it did not foresee: {reason}. The log has the details.",
        reason=f"{type(problem).__name__}: {problem}"[:300],
    ).info()


def take_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdout's pipe for frames and let everything that prints go to stderr, so that no library can
    break one."""
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return os.fdopen(os.dup(0), "rb"), outgoing


def _make_engine(name: str, frames: FrameWriter) -> tuple[Engine, messages.Ready]:
    kind, _, detail = name.partition(":")
    if kind == "fake":
        from app.service.engine.fake import FakeEngine

        fake = FakeEngine(float(detail)) if detail else FakeEngine()
        return fake, messages.Ready(pid=os.getpid(), engine="fake")
    if kind != "llama":
        raise EngineFailed("There is no engine named {name}. There are llama and fake.", name=name)
    from app.service.engine.llama import native
    from app.service.engine.llama.engine import LlamaEngine

    engine = LlamaEngine(frames.log)
    return engine, messages.Ready(
        pid=os.getpid(), engine=native.version(), devices=native.devices(), gpu_offload=native.can_offload()
    )


def main() -> int:
    """Run the worker as `--worker engine [--engine llama|fake[:tokens per second]]` on the command line
    asks."""
    parser = argparse.ArgumentParser(prog="pult --worker engine", add_help=False)
    parser.add_argument("--engine", default="llama")
    parser.add_argument("--study", choices=("experts",))
    options, _ = parser.parse_known_args()
    if options.study == "experts":
        from app.service.engine.llama.experts_study import main as study

        return study()
    requests, outgoing = take_stdio()
    # Ctrl+C in a terminal reaches every process of the group; the service decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = FrameWriter(outgoing)
    try:
        engine, ready = _make_engine(options.engine, frames)
    except PultError as problem:
        sys.stderr.write(f"{problem.sentence}\n")
        return 1
    frames.send(ready)
    Worker(engine, frames).run(requests)
    return 0
