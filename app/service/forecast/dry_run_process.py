"""The dry-run process and its guardian: started on need, asked one thing at a time, started again when it died.

It never touches the loaded model: it is a process of its own and reads no weights. On a GPU it holds a driver context of
some hundred megabytes, so it is ended when a load begins and after a minute without questions.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.forecast.layout import Gpu, Layout, LayoutReply, LayoutRequest
from app.shared import messages
from app.shared.engine import SettingValue
from app.shared.errors import from_info
from app.shared.launch import hidden_window_flags, program_command

START_SECONDS = 30.0
ANSWER_SECONDS = 60.0
IDLE_SECONDS = 60.0
START_AGAIN_SECONDS = 60.0  # after three starts in a row came to nothing
_STDERR_LINES = 50
_PLACE = re.compile(r"^\S+\.(?:c|cpp|cu|h):\d+: ")  # where in llama.cpp's source: of no use to the person
_REMEMBERED_DEATHS = 64
_MOST_STARTS_IN_A_ROW = 3


class NoDryRun(Exception):
    """There is no layout to be had by dry run; `died` when the process ended over this very question."""

    def __init__(self, reason: str, *, died: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.died = reason, died


@dataclass(eq=False)
class _Child:
    process: subprocess.Popen[bytes]
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=_STDERR_LINES))
    threads: list[threading.Thread] = field(default_factory=list)


class DryRunProcess:
    """Asks the process for layouts. Safe from any thread; questions wait for each other. `log` gets what it wrote when it died."""

    def __init__(
        self,
        *,
        command: Callable[[], list[str]] = lambda: program_command("--worker", "forecast"),
        log: Callable[[str], None] = lambda text: None,
        idle_seconds: float = IDLE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._command, self._log = command, log
        self._idle_seconds, self._answer_seconds = idle_seconds, answer_seconds
        self._lock = threading.RLock()
        self._child: _Child | None = None
        self._ids = itertools.count(1)
        self._deaths: OrderedDict[str, str] = OrderedDict()  # questions that ended it: not asked twice
        self._failed_starts = 0
        self._failed_at = float("-inf")
        self._never: str | None = None  # why this build cannot do it at all
        self._used_at = 0.0
        self._closed = False
        self._idle: threading.Timer | None = None
        self.gpus: tuple[Gpu, ...] = ()
        self.gpu_offload: bool | None = None  # None before the first greeting

    @property
    def pid(self) -> int | None:
        """Its process id, None while there is none."""
        child = self._child
        return child.process.pid if child is not None and child.process.poll() is None else None

    def layout(self, path: str, values: Mapping[str, SettingValue]) -> Layout:
        """Return the layout; raises `NoDryRun`, or the `PultError` that loading with these values would raise."""
        request = LayoutRequest(id=str(next(self._ids)), model_path=path, values=dict(values))
        question = request.model_dump_json(exclude={"id"})
        with self._lock:
            if self._closed:
                raise NoDryRun("the service is stopping")
            if self._never is not None:
                raise NoDryRun(self._never)
            if question in self._deaths:
                raise NoDryRun(self._deaths[question], died=True)
            try:
                reply = self._answered(request, question)
            finally:
                self._used_at = time.monotonic()
                self._watch_idleness()
        if not reply.available:
            self._never = "this build of llama.cpp does not show its memory layout"
            raise NoDryRun(self._never)
        if reply.error is not None:
            raise from_info(reply.error)
        if reply.layout is None:
            raise NoDryRun("it answered without a layout")
        return reply.layout

    def retire(self) -> None:
        """End the process, which gives back what it holds of a GPU; the next question starts it again."""
        with self._lock:
            child, self._child = self._child, None
            if child is not None:
                _end(child)

    def kill(self) -> None:
        """End the process at once, also while it is being asked: who waits for it gets `NoDryRun`."""
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                child.process.kill()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.kill()
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle.join()
                self._idle = None
        self.retire()

    # Inside, with the lock held

    def _answered(self, request: LayoutRequest, question: str) -> LayoutReply:
        """Ask, and once more if the process died: something else may have ended it. Twice means that the question does."""
        reason = ""
        for _ in range(2):
            if self._closed:
                raise NoDryRun("the service is stopping")
            child = self._started()
            reply = self._ask(child, request)
            if reply is not None:
                return reply
            reason = self._bury(child)
        self._deaths[question] = reason
        while len(self._deaths) > _REMEMBERED_DEATHS:
            self._deaths.popitem(last=False)
        raise NoDryRun(reason, died=True)

    def _started(self) -> _Child:
        child = self._child
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:
            self._child = None
            _end(child)
        resting = time.monotonic() - self._failed_at < START_AGAIN_SECONDS
        if self._failed_starts >= _MOST_STARTS_IN_A_ROW and resting:
            raise NoDryRun("the dry-run process does not start; the log says why")
        try:
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                creationflags=hidden_window_flags(),
            )
        except OSError as error:
            self._start_failed()
            self._log(f"The dry-run process cannot be started: {error.strerror or error}.")
            raise NoDryRun("the dry-run process does not start; the log says why") from error
        child = self._child = _Child(process)
        listener = threading.Thread(target=_keep_stderr, args=(child,), name="dry run stderr", daemon=True)
        listener.start()
        child.threads.append(listener)
        greeting = self._reply(child, START_SECONDS)
        if greeting is None:
            self._start_failed()
            raise NoDryRun(self._bury(child))
        self._failed_starts = 0
        self.gpus, self.gpu_offload = greeting.gpus, greeting.gpu_offload
        if not greeting.available:
            self._never = "this build of llama.cpp does not show its memory layout"
            self.retire()
            raise NoDryRun(self._never)
        return child

    def _start_failed(self) -> None:
        """A full GPU has no room for another driver context: that may change, so it is tried again later."""
        self._failed_starts += 1
        self._failed_at = time.monotonic()

    def _ask(self, child: _Child, request: LayoutRequest) -> LayoutReply | None:
        stream = child.process.stdin
        assert stream is not None
        try:
            messages.write_frame(stream, request)  # type: ignore[arg-type]  # Popen's pipes are BinaryIO
        except (OSError, ValueError):
            return None
        return self._reply(child, self._answer_seconds)

    def _reply(self, child: _Child, seconds: float) -> LayoutReply | None:
        """Read one reply; None when the process ended or took too long, in which case it is killed."""
        stream = child.process.stdout
        assert stream is not None
        alarm = threading.Timer(seconds, child.process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            frame = messages.read_frame(stream)  # type: ignore[arg-type]  # Popen's pipes are BinaryIO
            return None if frame is None else LayoutReply.model_validate_json(frame)
        except (OSError, ValueError):
            return None
        finally:
            alarm.cancel()
            alarm.join()

    def _bury(self, child: _Child) -> str:
        """Put a dead process away and return how it ended."""
        self._child = None
        _end(child)
        last = next((line for line in reversed(child.stderr) if line.strip()), "")
        status = child.process.returncode
        how = (
            f"it ended with signal {-status}"
            if status is not None and status < 0
            else f"it ended with status {status}"
        )
        self._log(f"The dry-run process is gone: {how}. {' | '.join(list(child.stderr)[-5:])}")
        said = _PLACE.sub("", last.strip())[:200].rstrip(".")
        return f"{how}: {said}" if said else how

    def _watch_idleness(self) -> None:
        if self._idle is None and not self._closed:
            self._idle = threading.Timer(self._idle_seconds, self._retire_if_idle)
            self._idle.daemon = True
            self._idle.name = "dry run idleness"
            self._idle.start()

    def _retire_if_idle(self) -> None:
        with self._lock:
            self._idle = None
            if self._closed or self._child is None:
                return
            if time.monotonic() - self._used_at >= self._idle_seconds:
                self.retire()
            else:
                self._watch_idleness()


def _keep_stderr(child: _Child) -> None:
    stream = child.process.stderr
    assert stream is not None
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            child.stderr.append(line.decode("utf-8", "replace").rstrip())


def _end(child: _Child) -> None:
    """End a process, living or dead, and close its pipes."""
    process = child.process
    with contextlib.suppress(OSError):
        process.kill()  # it keeps nothing that could be lost
    process.wait()
    for thread in child.threads:
        thread.join(5.0)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def environment_off() -> bool:
    """Whether PULT_NO_DRY_RUN asks for arithmetic alone: for tests, and for machines where the dry run does harm."""
    return os.environ.get("PULT_NO_DRY_RUN", "") not in ("", "0")
