"""One worker process as the supervisor sees it: its pipes, what is asked of it, and when it last made a step."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from app.service.engine.obituary import MemoryWatch
from app.shared import messages
from app.shared.engine import LoadPlan
from app.shared.errors import PultError

LogSink = Callable[[Literal["debug", "info", "warning", "error"], str, str], None]
STDERR_LINES = 200


def _hang_seconds(default: float) -> float:
    """PULT_HANG_SECONDS replaces every limit: for slow disks, and for tests."""
    given = os.environ.get("PULT_HANG_SECONDS", "")
    try:
        return max(0.5, float(given)) if given else default
    except ValueError:
        return default


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a worker may make no step before it counts as hung, by what it is doing; seconds."""

    start: float = 60.0
    load: float = field(default_factory=lambda: _hang_seconds(120.0))
    prefill: float = field(default_factory=lambda: _hang_seconds(120.0))
    decode: float = field(default_factory=lambda: _hang_seconds(60.0))
    stop: float = field(default_factory=lambda: _hang_seconds(10.0))  # after it was asked to stop
    quit: float = 3.0

    def for_phase(self, phase: str | None) -> float:
        match phase:
            case "decode":
                return self.decode
            case "prefill":
                return self.prefill
            case _:
                return self.load


@dataclass(frozen=True)
class End:
    """The process is gone; `error` says how."""

    error: PultError


Answer = messages.Reply | End


@dataclass(eq=False)
class WorkerProcess:
    """One process and what is known of it."""

    process: subprocess.Popen[bytes]
    memory: MemoryWatch
    outbox: queue.SimpleQueue[BaseModel | None] = field(default_factory=queue.SimpleQueue)
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=STDERR_LINES))
    engine_log: deque[str] = field(default_factory=lambda: deque(maxlen=STDERR_LINES))
    waiting: dict[str, queue.SimpleQueue[Answer]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: threading.Event = field(default_factory=threading.Event)
    hello: messages.Ready | None = None
    gone: End | None = None
    steps: int = 0
    busy: str | None = None
    moved_at: float = field(default_factory=time.monotonic)  # when it last made a step
    hung_words: PultError | None = None  # set before a hung worker is killed: it becomes the obituary
    leaving: bool = False  # told to quit: its end is no news
    plan: LoadPlan | None = None
    phase: str | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def send(self, message: BaseModel) -> None:
        """Queue a frame. Writing happens on a thread of its own: a frozen worker with a full pipe must not freeze us."""
        self.outbox.put(message)

    def hang_up(self) -> None:
        """Close our end of its stdin after what is queued, which tells a living worker to end."""
        self.outbox.put(None)

    def write_frames(self) -> None:
        """The writer thread. A broken pipe is left to the reader, which sees the end and knows more."""
        stream = self.process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError), stream:
            while (message := self.outbox.get()) is not None:
                messages.write_frame(stream, message)  # type: ignore[arg-type]  # Popen's pipes are BinaryIO

    def moved(self) -> None:
        """Take note of a step."""
        self.moved_at = time.monotonic()
