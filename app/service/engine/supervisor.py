"""The worker's guardian: starts it, speaks with it over pipes, notices when it dies or hangs, and says so in a sentence.

Keeps to `Engine`. Every request ends in exactly one outcome: its result, its error, or the obituary of the process that was
to answer it. A worker that died is started again by the next load.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.service.engine.base import LoadProgress, StopFlag
from app.service.engine.obituary import Circumstances, MemoryWatch, hung, obituary
from app.service.engine.worker_process import Answer, End, LogSink, Patience, WorkerProcess
from app.shared import messages
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    TokenCounts,
    TokenEvent,
)
from app.shared.errors import Cancelled, EngineDied, EngineFailed, NoModelLoaded, PultError, from_info
from app.shared.launch import hidden_window_flags, program_command


class SupervisedEngine:
    """An engine in a process of its own. `engine` is "llama" or "fake[:tokens per second]".

    `log` gets the worker's lines; `died` is called, from a thread of its own, when the worker ends while nothing is asked of it.
    """

    def __init__(
        self,
        engine: str = "llama",
        *,
        log: LogSink = lambda level, source, text: None,
        died: Callable[[PultError], None] | None = None,
        patience: Patience | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._log = log
        self._died = died
        self._given_patience = patience
        self._environment = environment
        self._worker: WorkerProcess | None = None
        self._loaded: LoadedModel | None = None
        self._hello: messages.Ready | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def _patience(self) -> Patience:
        return (
            self._given_patience or Patience()
        )  # read anew: PULT_HANG_SECONDS holds from the next worker on

    @property
    def loaded(self) -> LoadedModel | None:
        return self._loaded

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        worker = self._worker
        return worker.process.pid if worker is not None and worker.gone is None else None

    @property
    def engine_name(self) -> str | None:
        """Which llama.cpp the worker runs, in its own words; None before the first start."""
        return self._hello.engine if self._hello is not None else None

    def load(self, plan: LoadPlan, *, progress: LoadProgress, stop: StopFlag) -> LoadedModel:
        if self._closed:
            raise EngineFailed("The engine was closed. Start Pult again to load a model.")
        self._loaded = None
        name = Path(plan.model_path).stem if plan.model_path else "the model"
        try:
            worker = self._started(plan, stop)
            worker.plan, worker.phase = plan, "load"
            request = messages.Load(id=_fresh_id(), plan=plan)
            for reply in self._ask(worker, request, stop):
                match reply:
                    case messages.Progress():
                        progress(reply.fraction)
                    case messages.Done():
                        if reply.model is None:
                            raise EngineFailed(
                                "The engine loaded {name} and did not say what it is.", name=name
                            )
                        self._loaded = reply.model
                        return reply.model
        except EngineDied:
            if stop.is_set():  # ended because it would not stop: what was wished has come about
                raise Cancelled("Loading {name} was cancelled.", name=name) from None
            raise
        finally:
            if self._worker is not None:
                self._worker.phase = None
        raise EngineFailed("Loading {name} ended without a result. The log has the details.", name=name)

    def eject(self) -> None:
        """End the worker: that alone gives every byte back, the device's context included."""
        self._loaded = None
        worker, self._worker = self._worker, None
        if worker is not None:
            self._end(worker)

    def close(self) -> None:
        self._closed = True
        self.eject()

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        worker = self._need()
        if stop.is_set():  # no use in having the prompt read first
            yield AnswerFinished(finish_reason="cancelled", text="")
            return
        finished = False
        worker.phase = "prefill"
        own_stop = _EitherStop(stop)
        asking = self._ask(worker, messages.Generate(id=_fresh_id(), request=request), own_stop)
        try:
            for reply in asking:
                if not isinstance(reply, messages.Token):
                    continue
                match reply.event:
                    case AnswerStarted():
                        worker.phase = "prefill"
                    case AnswerDelta():
                        worker.phase = "decode"
                    case AnswerFinished():
                        finished = True
                yield reply.event
        except GeneratorExit:
            own_stop.set()
            for _ in asking:
                pass  # the worker's outcome must be taken before the next request
            raise
        finally:
            worker.phase = None
        if not finished:
            raise EngineFailed("The engine ended an answer without saying how. The log has the details.")

    def count(
        self, messages_: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        worker = self._need()
        worker.phase = "count"
        request = messages.Count(
            id=_fresh_id(), messages=tuple(messages_), tools=tuple(tools), thinking=thinking
        )
        try:
            for reply in self._ask(worker, request, StopFlag()):
                if isinstance(reply, messages.Done) and reply.counts is not None:
                    return reply.counts
        finally:
            worker.phase = None
        raise EngineFailed("The engine did not count the tokens. The log has the details.")

    # Asking

    def _need(self) -> WorkerProcess:
        worker = self._worker
        if self._loaded is None or worker is None or worker.gone is not None:
            raise NoModelLoaded("No model is loaded. Load one first.")
        return worker

    def _ask(
        self,
        worker: WorkerProcess,
        request: messages.Load | messages.Generate | messages.Count,
        stop: StopFlag | _EitherStop,
    ) -> Iterator[messages.Reply]:
        """Send `request` and yield its replies up to and with `Done`; raise its error or the worker's obituary."""
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with worker.lock:
            if worker.gone is not None:
                raise worker.gone.error
            worker.waiting[request.id] = answers
        worker.moved()
        worker.send(request)
        stopped_at: float | None = None
        try:
            while True:
                if stopped_at is None and stop.is_set():
                    stopped_at = time.monotonic()
                    worker.send(messages.Cancel(id=request.id))
                try:
                    answer = answers.get(timeout=0.05)
                except queue.Empty:
                    self._check_alive(worker, stopped_at)
                    continue
                match answer:
                    case End():
                        self._loaded = None
                        raise answer.error
                    case messages.Failed():
                        raise from_info(answer.error)
                    case messages.Done():
                        yield answer
                        return
                    case _:
                        yield answer
        finally:
            with worker.lock:
                worker.waiting.pop(request.id, None)

    def _check_alive(self, worker: WorkerProcess, stopped_at: float | None) -> None:
        """Kill the worker when it has made no step for too long; its reader then delivers the sentence."""
        if worker.hung_words is not None:
            return
        now = time.monotonic()
        phase = worker.busy or worker.phase
        still = now - worker.moved_at
        limit = self._patience.for_phase(phase)
        if stopped_at is not None and now - stopped_at > self._patience.stop:
            still, limit = max(still, now - stopped_at), self._patience.stop
        if still <= limit:
            return
        worker.hung_words = hung(
            self._circumstances(worker), seconds=still, asked_to_stop=stopped_at is not None
        )
        worker.process.kill()

    # The process

    def _started(self, plan: LoadPlan, stop: StopFlag) -> WorkerProcess:
        worker = self._worker
        if worker is not None and worker.gone is None:
            return worker
        worker = self._spawn()
        worker.plan, worker.phase = plan, "start"
        self._worker = worker
        end = time.monotonic() + self._patience.start
        while not worker.ready.wait(0.05):
            if worker.gone is not None:
                raise worker.gone.error
            if stop.is_set():
                self.eject()
                raise Cancelled("Loading was cancelled.")
            if time.monotonic() > end:
                worker.hung_words = hung(
                    self._circumstances(worker), seconds=self._patience.start, asked_to_stop=False
                )
                worker.process.kill()
        if worker.gone is not None:
            raise worker.gone.error
        self._hello = worker.hello
        return worker

    def _spawn(self) -> WorkerProcess:
        command = program_command("--worker", "engine", "--engine", self._engine)
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1", **(self._environment or {})}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                creationflags=hidden_window_flags(),
            )
        except OSError as error:
            raise EngineFailed(
                "The engine's process cannot be started: {reason}. Check memory and the installation.",
                reason=error.strerror or type(error).__name__,
            ) from error
        worker = WorkerProcess(process, MemoryWatch.begin())
        for work, name in ((self._read, "engine frames"), (self._read_stderr, "engine stderr")):
            worker.threads.append(threading.Thread(target=work, args=(worker,), name=name, daemon=True))
        worker.threads.append(
            threading.Thread(target=worker.write_frames, name="engine requests", daemon=True)
        )
        for thread in worker.threads:
            thread.start()
        return worker

    def _end(self, worker: WorkerProcess) -> None:
        worker.leaving = True
        worker.send(messages.Quit())
        worker.hang_up()
        try:
            worker.process.wait(self._patience.quit)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait(10)
        for thread in worker.threads:
            if thread is not threading.current_thread():
                thread.join(5)

    def _read(self, worker: WorkerProcess) -> None:
        """The reader thread: frames in, each to whom it belongs; at the end the obituary to all who wait."""
        stream = worker.process.stdout
        assert stream is not None
        try:
            while (frame := messages.read_frame(stream)) is not None:  # type: ignore[arg-type]  # BinaryIO
                self._take(worker, messages.REPLY.validate_json(frame))
        except ValueError as error:
            self._log(
                "error", "worker", f"The worker sent something that is not a message, and is ended: {error}"
            )
            worker.process.kill()
        except OSError as error:
            self._log("error", "worker", f"The worker's pipe broke: {error}")
        finally:
            self._bury(worker)

    def _take(self, worker: WorkerProcess, reply: messages.Reply) -> None:
        match reply:
            case messages.Ready():
                worker.hello = reply
                worker.ready.set()
            case messages.Heartbeat():
                if reply.steps != worker.steps or reply.busy != worker.busy:
                    worker.moved()
                worker.steps, worker.busy = reply.steps, reply.busy
            case messages.Log():
                worker.engine_log.append(reply.text)
                self._log(reply.level, reply.source, reply.text)
            case _:
                worker.moved()
                with worker.lock:
                    answers = worker.waiting.get(reply.id)
                if answers is not None:
                    answers.put(reply)

    def _read_stderr(self, worker: WorkerProcess) -> None:
        stream = worker.process.stderr
        assert stream is not None
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                worker.stderr.append(text[:2000])
                self._log("warning", "worker", text[:2000])

    def _bury(self, worker: WorkerProcess) -> None:
        process = worker.process
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on: of no use any more
            process.kill()
            process.wait(10)
        worker.hang_up()
        for thread in worker.threads:
            if thread is not threading.current_thread():
                thread.join(2)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        error = worker.hung_words or obituary(self._circumstances(worker), process.returncode)
        with worker.lock:
            worker.gone = End(error)
            waiting = list(worker.waiting.values())
        for answers in waiting:
            answers.put(worker.gone)
        worker.ready.set()
        if not worker.leaving:
            self._log("error", "worker", error.sentence)
            if self._worker is worker:
                self._loaded = None
            if not waiting and worker.hello is not None and worker.phase is None and self._died is not None:
                self._died(error)

    def _circumstances(self, worker: WorkerProcess) -> Circumstances:
        return Circumstances(
            plan=worker.plan,
            model=self._loaded,
            phase=worker.busy or worker.phase,
            stderr=tuple(worker.stderr),
            engine_log=tuple(worker.engine_log),
            memory=worker.memory,
            restarts=not self._closed,
        )


class _EitherStop:
    """The caller's stop flag, or our own wish when the caller walks away from the iterator."""

    def __init__(self, outer: StopFlag) -> None:
        self._outer = outer
        self._own = False

    def set(self) -> None:
        self._own = True

    def is_set(self) -> bool:
        return self._own or self._outer.is_set()


def _fresh_id() -> str:
    return uuid.uuid4().hex
