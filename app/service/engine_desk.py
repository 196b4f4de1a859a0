"""The desk where everyone asks for the engine: it owns the one engine there is, its state and the queue before it.

Loads run on their own thread; a new load cancels the one under way and stops answers. Answers and counts take turns in the
order they came. The state is replaced whole, so reading it never waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.service.engine.base import Engine, StopFlag
from app.service.engine.experts_range import check_experts
from app.service.turnstile import Turnstile
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    EngineState,
    EngineStatus,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    PrefillProgress,
    SettingValue,
    TokenCounts,
    TokenEvent,
)
from app.shared.errors import (
    BadValue,
    Busy,
    Cancelled,
    Conflict,
    EngineDied,
    EngineFailed,
    NoModelLoaded,
    Overloaded,
    PultError,
)
from app.shared.events import EngineChanged, Event
from app.shared.settings import Stage, check_values, find
from app.shared.telemetry import EngineSample

PROGRESS_SECONDS = 1 / 30
COUNT_PATIENCE_SECONDS = 2.0
WAITING_LIMIT = 32


@dataclass(eq=False)
class LoadJob:
    """One load under way; `wait` ends when it has succeeded or failed."""

    plan: LoadPlan
    stop: StopFlag = field(default_factory=StopFlag)
    finished: threading.Event = field(default_factory=threading.Event)
    error: PultError | None = None

    def wait(self, timeout_seconds: float | None = None) -> bool:
        return self.finished.wait(timeout_seconds)


class EngineDesk:
    """Owns the engine. `local` makes the engine for files, `remote` the one for servers; both are made on first need.

    `worker_pid` tells the local engine's process, if it has one; `opened` hears of every file that was loaded; `reads_files`
    is False for an engine that needs no real file. Every method is safe from any thread.
    """

    def __init__(
        self,
        *,
        local: Callable[[], Engine],
        remote: Callable[[], Engine],
        publish: Callable[[Event], None],
        add_marker: Callable[[str, str], object] = lambda kind, label: None,
        worker_pid: Callable[[Engine], int | None] = lambda engine: getattr(engine, "pid", None),
        opened: Callable[[str], None] = lambda path: None,
        reads_files: bool = True,
    ) -> None:
        self._make_local, self._make_remote = local, remote
        self._publish, self._add_marker = publish, add_marker
        self._worker_pid, self._opened = worker_pid, opened
        self.reads_files = reads_files
        self._lock = threading.RLock()
        self._turnstile = Turnstile()
        self._state = EngineState()
        self._engine: Engine | None = None
        self._engine_is_remote = False
        self._job: LoadJob | None = None
        self._last_plan: LoadPlan | None = None
        self._desk_values: dict[str, SettingValue] = {}
        self._experts_used: int | None = None  # by the last answer, or as loaded
        self._answers: set[StopFlag] = set()
        self._sample = EngineSample()
        self._ended_speeds: dict[str, float] = {}
        self._closed = False

    def state(self) -> EngineState:
        """Return the present state; never waits."""
        return self._state

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._state.worker_pid

    @property
    def values(self) -> dict[str, SettingValue]:
        """The sample-stage values that the next answers use beyond the loaded preset's."""
        return dict(self._desk_values)

    @property
    def engine_name(self) -> str | None:
        """The engine's own words about its version, once it has started."""
        name = getattr(self._engine, "engine_name", None)
        return name if isinstance(name, str) else None

    def sample(self) -> EngineSample:
        """Return what the engine does now, for telemetry; called once a tick.

        An answer that began and ended between two ticks is told by its own measured speeds, in one sample.
        """
        with self._lock:
            sample, ended = self._sample, self._ended_speeds
            self._ended_speeds = {}
        return (
            sample.model_copy(update=ended) if ended and sample.decode_tokens_per_second is None else sample
        )

    # Loading

    def load(self, plan: LoadPlan) -> LoadJob:
        """Start loading `plan` and return at once. A load under way is cancelled first; answers are stopped.

        The plan's experts per token take the place of a number chosen since the last load.
        """
        with self._lock:
            self._desk_values.pop("experts", None)
        return self._load(plan)

    def _load(self, plan: LoadPlan) -> LoadJob:
        job = LoadJob(plan)
        with self._lock:
            if self._closed:
                raise Conflict("The service is stopping. Start it again to load a model.")
            before = self._job
            self._job = job
            self._last_plan = plan
            if before is not None:
                before.stop.set()
            self._stop_answers()
            name = _plan_name(plan)
            self._set(
                EngineState(
                    status=EngineStatus.LOADING, loading=name, progress=0.0, worker_pid=self._state.worker_pid
                )
            )
        self._add_marker("load", name)
        threading.Thread(target=self._run_load, args=(job,), name="load", daemon=True).start()
        return job

    def refused(self, error: PultError) -> None:
        """Show why a load was refused before it began, unless something is loaded or being loaded."""
        with self._lock:
            if self._state.status in (EngineStatus.EMPTY, EngineStatus.FAILED):
                self._set(
                    EngineState(status=EngineStatus.FAILED, error=error.info(), worker_pid=self._pid_now())
                )

    def cancel(self) -> EngineState:
        """Cancel the load under way, or else stop the answers being written."""
        with self._lock:
            if self._job is not None:
                self._job.stop.set()
            else:
                self._stop_answers()
        return self._state

    def reload(self) -> LoadJob:
        """Load the last plan again; what was chosen for the next answers stays chosen."""
        if self._last_plan is None:
            raise NoModelLoaded(
                "Nothing has been loaded yet, so there is nothing to reload. Load a model first."
            )
        return self._load(self._last_plan)

    def eject(self) -> EngineState:
        """Stop answers, free the model and return when its memory is free. Cancels a load under way."""
        with self._lock:
            if self._job is not None:
                self._job.stop.set()
                self._job = None
            had = self._state.model
            self._stop_answers()
            self._set(
                self._state.model_copy(
                    update={"status": EngineStatus.EJECTING, "progress": None, "error": None}
                )
            )
        self._turnstile.enter()
        try:
            if self._engine is not None:
                self._engine.eject()
            with self._lock:
                if self._job is None:
                    self._set(EngineState(worker_pid=self._pid_now()))
        finally:
            self._turnstile.leave()
        if had is not None:
            self._add_marker("eject", had.name)
        return self._state

    def set_values(self, values: dict[str, SettingValue | None]) -> EngineState:
        """Change values for the next answers; None goes back to the preset's. Raises `BadValue`.

        They are those of the sample stage, and `experts` where the model switches them without a reload.
        """
        checked = check_values({key: value for key, value in values.items() if value is not None})
        now = self._state.model
        for key in values:
            knob = find(key)
            if knob is not None and knob.key == "experts" and now is not None and now.switches_experts:
                _check_experts(checked.get("experts"), now)
            elif knob is not None and knob.stage is not Stage.SAMPLE:
                raise BadValue(
                    "{label} acts only when the model is loaded. Change it in the preset and reload.",
                    key=knob.key,
                    label=knob.label,
                    remedies=("edit_preset", "reload"),
                )
        with self._lock:
            for key, value in values.items():
                knob = find(key)
                if value is None and knob is not None:
                    self._desk_values.pop(knob.key, None)
            self._desk_values.update(checked)
            model = self._state.model
            if model is not None:
                self._set(self._state.model_copy(update={"model": self._with_values(model)}))
        return self._state

    # Answers

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        """Yield one answer when its turn has come. Desk values stand behind the request's own.

        Raises what `Engine.generate` raises, `NoModelLoaded` and `Busy`.
        """
        _check_own_experts(request.values.get("experts"), self.ready_model())
        with self._lock:
            if len(self._answers) >= WAITING_LIMIT:
                raise Overloaded(
                    "{count} answers are waiting for the engine, which is the limit. Ask again when some are done.",
                    count=len(self._answers),
                )
            self._answers.add(stop)
        entered = False
        try:
            entered = self._turnstile.enter(stop)
            if not entered:
                yield AnswerFinished(finish_reason="cancelled", text="")
                return
            model = self.ready_model()
            engine = self._engine
            assert engine is not None
            self._status(EngineStatus.ANSWERING)
            values = {**self._desk_values, **request.values}
            events = engine.generate(request.model_copy(update={"values": values}), stop=stop)
            with _closing(events):  # before the turn is given on, whatever becomes of our own caller
                for event in events:
                    self._measure(event, model)
                    if isinstance(event, AnswerStarted):
                        self._mark_experts(values)
                    yield event
            if stop.is_set():
                self._add_marker("stop", model.name)
        except PultError as error:
            self._after_failure(error)
            raise
        finally:
            with self._lock:
                self._answers.discard(stop)
            self._sample = EngineSample(
                model=self._sample.model,
                context_used_tokens=self._sample.context_used_tokens,
                context_size_tokens=self._sample.context_size_tokens,
            )
            if entered:
                if self._state.status is EngineStatus.ANSWERING:
                    self._status(EngineStatus.READY)
                self._turnstile.leave()

    def count(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        """Count tokens with the loaded model. Raises `Busy` when an answer holds the engine for over two seconds."""
        self.ready_model()
        if not self._turnstile.enter(patience_seconds=COUNT_PATIENCE_SECONDS):
            raise Busy("The engine is writing an answer and counts again when it is done.")
        try:
            self.ready_model()
            assert self._engine is not None
            if thinking is None and isinstance(self._desk_values.get("thinking"), bool):
                thinking = bool(self._desk_values["thinking"])
            return self._engine.count(messages, tools=tools, thinking=thinking)
        except PultError as error:
            self._after_failure(error)
            raise
        finally:
            self._turnstile.leave()

    def engine_died(self, error: PultError) -> None:
        """Take note that the worker ended while nobody was asking for anything."""
        with self._lock:
            if self._state.status in (EngineStatus.READY, EngineStatus.EMPTY):
                self._after_failure(error)

    def close(self) -> None:
        """Stop everything and end the engine's process."""
        with self._lock:
            self._closed = True
            if self._job is not None:
                self._job.stop.set()
            self._stop_answers()
            engine = self._engine
        entered = self._turnstile.enter(patience_seconds=5.0)
        if engine is not None:
            engine.close()  # also when someone still holds the turn: then it ends what that one waits for
        if entered:
            self._turnstile.leave()

    # Inside

    def _run_load(self, job: LoadJob) -> None:
        entered = self._turnstile.enter(job.stop)
        error: PultError | None = None
        model: LoadedModel | None = None
        try:
            if not entered or job.stop.is_set():
                raise Cancelled("Loading {name} was cancelled.", name=_plan_name(job.plan))
            engine = self._engine_for(job.plan)
            model = engine.load(
                job.plan, progress=lambda fraction: self._progress(job, fraction), stop=job.stop
            )
        except PultError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - the border of this thread: whatever it was becomes the load's error
            error = EngineFailed(
                "Loading {name} failed unexpectedly: {what}. The log has the details.",
                name=_plan_name(job.plan),
                what=f"{type(problem).__name__}: {problem}"[:300],
            )
        finally:
            self._loaded(job, model, error)
            if entered:
                self._turnstile.leave()
            job.finished.set()

    def _loaded(self, job: LoadJob, model: LoadedModel | None, error: PultError | None) -> None:
        job.error = error
        with self._lock:
            if self._job is not job:
                return  # a newer load or an eject speaks now
            self._job = None
            pid = self._pid_now()
            if model is not None:
                self._experts_used = model.experts_used
                chosen = self._desk_values.get("experts")
                if not model.switches_experts or not _may_use(chosen, model):
                    self._desk_values.pop("experts", None)
                self._sample = EngineSample(
                    model=model.name, context_used_tokens=0, context_size_tokens=model.context
                )
                self._set(
                    EngineState(status=EngineStatus.READY, model=self._with_values(model), worker_pid=pid)
                )
            elif isinstance(error, Cancelled):
                self._sample = EngineSample()
                self._set(EngineState(worker_pid=pid))
            else:
                self._sample = EngineSample()
                told = error.info() if error else None
                self._set(EngineState(status=EngineStatus.FAILED, error=told, worker_pid=pid))
        if model is not None and job.plan.model_path is not None:
            self._opened(job.plan.model_path)
        elif error is not None and not isinstance(error, Cancelled):
            self._add_marker("error", error.sentence)

    def _engine_for(self, plan: LoadPlan) -> Engine:
        is_remote = plan.remote is not None
        if self._engine is not None and self._engine_is_remote != is_remote:
            self._engine.close()
            self._engine = None
        if self._engine is None:
            self._engine = self._make_remote() if is_remote else self._make_local()
            self._engine_is_remote = is_remote
        return self._engine

    def _progress(self, job: LoadJob, fraction: float) -> None:
        with self._lock:
            if self._job is not job or job.stop.is_set():
                return
            before = self._state.progress or 0.0
            if fraction < 1 and fraction - before < 0.004:
                return
            self._set(
                self._state.model_copy(update={"progress": min(1.0, fraction), "worker_pid": self._pid_now()})
            )

    def ready_model(self) -> LoadedModel:
        """Return what is loaded; raises `Busy` while that changes and `NoModelLoaded`."""
        state = self._state
        match state.status:
            case EngineStatus.LOADING:
                raise Busy(
                    "{name} is still loading. Ask again when it is ready.", name=state.loading or "The model"
                )
            case EngineStatus.EJECTING:
                raise Busy("The model is being ejected. Load one and ask again.")
            case EngineStatus.FAILED:
                raise NoModelLoaded(
                    "No model is loaded: {reason}",
                    reason=state.error.sentence if state.error else "the last load failed.",
                    remedies=state.error.remedies if state.error else ("choose_model",),
                )
        if state.model is None:
            raise NoModelLoaded("No model is loaded. Load one first.")
        return state.model

    def _after_failure(self, error: PultError) -> None:
        """A dead worker takes its model with it; any other failure leaves the model where it is."""
        if not isinstance(error, EngineDied):
            return
        with self._lock:
            if self._job is None:
                self._sample = EngineSample()
                self._set(EngineState(status=EngineStatus.FAILED, error=error.info()))
        self._add_marker("error", error.sentence)

    def _stop_answers(self) -> None:
        for stop in self._answers:
            stop.set()

    def _status(self, status: EngineStatus) -> None:
        with self._lock:
            if self._state.status in (EngineStatus.READY, EngineStatus.ANSWERING):
                self._set(self._state.model_copy(update={"status": status}))

    def _measure(self, event: TokenEvent, model: LoadedModel) -> None:
        match event:
            case AnswerStarted():
                self._prefill_started = time.monotonic()
            case PrefillProgress():
                seconds = time.monotonic() - self._prefill_started
                speed = event.done_tokens / seconds if seconds > 0.05 else None
                self._sample = EngineSample(
                    model=model.name, prefill_tokens_per_second=speed, context_size_tokens=model.context
                )
            case AnswerDelta():
                used = event.context_used_tokens
                self._sample = EngineSample(
                    model=model.name,
                    decode_tokens_per_second=event.decode_tokens_per_second,
                    context_used_tokens=used if used is not None else self._sample.context_used_tokens,
                    context_size_tokens=model.context,
                )
            case AnswerFinished():
                speeds = {
                    "decode_tokens_per_second": event.timings.tokens_per_second,
                    "prefill_tokens_per_second": event.timings.prefill_tokens_per_second,
                }
                with self._lock:
                    self._ended_speeds = {name: speed for name, speed in speeds.items() if speed is not None}

    _prefill_started = 0.0

    def _with_values(self, model: LoadedModel) -> LoadedModel:
        own = (
            self._engine.loaded.values if self._engine is not None and self._engine.loaded is not None else {}
        )
        update: dict[str, object] = {"values": {**own, **self._desk_values}}
        if model.switches_experts:
            update["experts_used"] = self._desk_values.get("experts", self._experts_loaded())
        return model.model_copy(update=update)

    def _experts_loaded(self) -> int | None:
        engine = self._engine
        return engine.loaded.experts_used if engine is not None and engine.loaded is not None else None

    def _mark_experts(self, values: dict[str, SettingValue]) -> None:
        """Mark the moment at which an answer begins with another number of experts than the one before."""
        model = self._state.model
        if model is None or not model.switches_experts:
            return
        count = values.get("experts", self._experts_loaded())
        if isinstance(count, int) and count != self._experts_used:
            self._experts_used = count
            self._add_marker("experts", str(count))

    def _pid_now(self) -> int | None:
        return None if self._engine is None else self._worker_pid(self._engine)

    def _set(self, state: EngineState) -> None:
        self._state = state
        self._publish(EngineChanged(engine=state))


@contextlib.contextmanager
def _closing(events: Iterator[TokenEvent]) -> Iterator[None]:
    try:
        yield
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


def _check_experts(count: SettingValue | None, model: LoadedModel) -> None:
    if isinstance(count, int):
        check_experts(count, model.experts, model.experts_limit)


def _check_own_experts(count: SettingValue | None, model: LoadedModel) -> None:
    """Refuse a number for one answer where the model cannot be switched."""
    if count is not None and not model.switches_experts and count != model.experts_used:
        raise BadValue(
            "Experts per token acts only when {name} is loaded, so it cannot be given for one answer. Load it with "
            "{value}.",
            key="experts",
            name=model.name,
            value=str(count),
            remedies=("edit_preset", "reload"),
        )
    _check_experts(count, model)


def _may_use(count: SettingValue | None, model: LoadedModel) -> bool:
    try:
        _check_experts(count, model)
    except BadValue:
        return False
    return True


def _plan_name(plan: LoadPlan) -> str:
    if plan.remote is not None:
        return plan.remote.name or plan.remote.url
    return Path(plan.model_path).stem if plan.model_path else "the model"
