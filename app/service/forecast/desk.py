"""Where forecasts come from: the dry run where it can be had, arithmetic where not, held against this machine as it is now.

Hears every engine event: when a load begins the dry-run process is ended, so that it holds nothing the load needs; when it is
done, what was forecast is held against what NVML and the system measure, and the difference is learnt.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.forecast.arithmetic import ModelWeights, arithmetic_layout, read_weights
from app.forecast.fit import fit
from app.forecast.layout import DeviceLayout, Gpu, Layout
from app.forecast.verdict import DeviceMemory, forecast_of
from app.service.forecast.dry_run_process import DryRunProcess, NoDryRun, environment_off
from app.service.forecast.machine import GpuNow, Machine, anonymous_bytes, is_cuda
from app.service.forecast.record import LearntLoad, LoadRecords
from app.shared.engine import EngineState, EngineStatus, LoadPlan, SettingValue
from app.shared.errors import BadRequest, EngineFailed, PultError
from app.shared.events import EngineChanged, Event
from app.shared.forecast import FitAnswer, Forecast, ForecastError, ForecastRecord, Keep, Sentence, sentence
from app.shared.settings import ModelFacts, Stage, settings

_REMEMBERED_FILES = 4
_NEEDED_FOR_A_LOOK_BYTES = 1024**3  # a dry run after the load wants a driver context of its own on the GPU
_DEADLY = (
    "The dry run of these values ended its process ({reason}). "
    "Loading them would most likely end the engine too; change the last value. The figures are arithmetic."
)
SETTLE_SECONDS = 0.2
MEASURING_SECONDS = 2.0
MOST_DRY_TOKENS = (
    2**24
)  # llama.cpp keeps a cell for each token also in a dry run: 2³¹ took 24 s and most of the RAM
Level = Literal["debug", "info", "warning", "error"]
_SAMPLERS = frozenset(
    [
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repeat_penalty",
        "repeat_last",
        "presence_penalty",
        "frequency_penalty",
    ]
)


@dataclass
class _Loaded:
    """What the present load is known to hold; asked about when it would be ejected."""

    gpu_bytes: dict[str, int] = field(default_factory=dict)
    before: dict[str, GpuNow] = field(default_factory=dict)  # the GPUs before the load


@dataclass(frozen=True)
class _LaidOut:
    """A layout, what is to be said about how it came about, and whether a dry run died of the question."""

    layout: Layout
    notes: tuple[Sentence, ...] = ()
    deadly: bool = False


class ForecastDesk:
    """Forecasts, fits, and learns. Safe from any thread; `close` ends its process and its thread.

    `state` tells the engine's state, `log` takes level and text.
    """

    def __init__(
        self,
        *,
        state: Callable[[], EngineState],
        records: Path,
        log: Callable[[Level, str], None] = lambda level, text: None,
        dry_run: DryRunProcess | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._state, self._log = state, log
        self._dry = dry_run or DryRunProcess(log=lambda text: log("warning", text))
        self._machine = machine or Machine()
        self._records = LoadRecords(records, log=lambda text: log("warning", text))
        self._files: OrderedDict[tuple[str, int, int], ModelWeights] = OrderedDict()
        self._files_lock = threading.Lock()
        self._loaded = _Loaded()
        self._dry_gpu_bytes: dict[
            str, int
        ] = {}  # what the dry-run process holds, where the driver will not say
        self._events: queue.SimpleQueue[EngineState | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last_status = EngineStatus.EMPTY
        self._measured_yet = threading.Event()  # cleared from a load's end until it has been measured
        self._measured_yet.set()
        self._closed = False

    def forecast(self, plan: LoadPlan) -> Forecast:
        """Return what loading `plan` would take and whether it fits. Raises what the load would raise for bad values."""
        began = time.perf_counter()
        path = _path_of(plan)
        found = self._layout(path, plan.values)
        memory = self._memory(found.layout, path)
        made = forecast_of(found.layout, memory, model_path=path, values=plan.values, notes=found.notes)
        if found.deadly:  # the memory may be there, but nobody can say that it fits
            made = made.model_copy(update={"verdict": "unknown", "sentences": found.notes})
        return made.model_copy(update={"error": self._brief_error(), "seconds": time.perf_counter() - began})

    def fit(
        self, plan: LoadPlan, facts: ModelFacts, *, keep: Keep = "context", margin_bytes: int | None = None
    ) -> FitAnswer:
        """Return the settings nearest to the plan's that fit; what is free is read once, so that all are held against the same."""
        path = _path_of(plan)
        layout = self._layout(path, plan.values).layout
        memory = self._memory(layout, path)
        for gpu in self._known_gpus():  # layers may move to devices that the first layout left empty
            memory.setdefault(gpu.name, self._gpu_memory(gpu.name, path, self._machine.gpus(self._dry.gpus)))

        def measure(values: dict[str, SettingValue]) -> Forecast:
            found = self._layout(path, values)
            if found.deadly:
                reason = str(found.notes[0].values["reason"])
                raise EngineFailed(_DEADLY, remedies=("edit_preset", "log"), reason=reason)
            return forecast_of(found.layout, memory, model_path=path, values=values, notes=found.notes)

        answer = fit(
            plan.values,
            facts,
            measure,
            keep=keep,
            margin_bytes=margin_bytes,
            has_gpu=any(device.kind == "gpu" for device in layout.devices) or bool(self._known_gpus()),
        )
        told = answer.forecast.model_copy(update={"error": self._brief_error()})
        return answer.model_copy(update={"forecast": told})

    def error(self) -> ForecastError:
        """Return how far forecasts have been off on this machine."""
        return self._records.error()

    def heard(self, event: Event) -> None:
        """Take an event of the hub; never waits."""
        if not isinstance(event, EngineChanged) or self._closed:
            return
        status, before = event.engine.status, self._last_status
        self._last_status = status
        if status == before:
            return
        if status is EngineStatus.LOADING or before is EngineStatus.LOADING or status is EngineStatus.EMPTY:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="forecast", daemon=True)
                self._thread.start()
            if status is EngineStatus.READY:
                self._measured_yet.clear()
            self._events.put(event.engine)

    def close(self) -> None:
        """End the dry-run process and stop learning."""
        self._closed = True
        self._dry.close()
        self._measured_yet.set()
        self._events.put(None)
        if self._thread is not None:
            self._thread.join(10.0)
        self._machine.close()

    # Layouts

    def _layout(self, path: str, values: Mapping[str, SettingValue]) -> _LaidOut:
        """Return the dry run's layout, else arithmetic's with the reason why."""
        if environment_off():
            reason = "PULT_NO_DRY_RUN is set"
        elif _tokens(values) > MOST_DRY_TOKENS:
            reason = f"llama.cpp would take gigabytes to lay out more than {MOST_DRY_TOKENS:,} tokens"
        elif self._state().status is EngineStatus.LOADING:
            reason = "a model is being loaded, which the dry run must not disturb"
        else:
            try:
                return _LaidOut(self._dry_layout(path, _layout_values(values)))
            except NoDryRun as why:
                reason = why.reason
                if why.died:
                    note = sentence(_DEADLY, reason=reason)
                    return _LaidOut(self._arithmetic(path, values), (note,), deadly=True)
        note = sentence("This is arithmetic, not llama.cpp's own layout: {reason}.", reason=reason)
        return _LaidOut(self._arithmetic(path, values), (note,))

    def _dry_layout(self, path: str, values: dict[str, SettingValue]) -> Layout:
        if threading.current_thread() is not self._thread:
            self._measured_yet.wait(MEASURING_SECONDS)  # the process would be counted as the load's
        if self._dry.pid is not None:
            return self._dry.layout(path, values)
        before = self._machine.gpus(self._dry.gpus)
        layout = self._dry.layout(path, values)
        after = self._machine.gpus(self._dry.gpus)
        self._dry_gpu_bytes = {
            name: max(0, gpu.used_bytes - before[name].used_bytes)
            for name, gpu in after.items()
            if name in before
        }
        return layout

    def _arithmetic(self, path: str, values: Mapping[str, SettingValue]) -> Layout:
        return arithmetic_layout(self._weights(path), values, self._known_gpus())

    def _known_gpus(self) -> tuple[Gpu, ...]:
        """llama.cpp's GPUs, or, before it said which it has, NVIDIA's."""
        if self._dry.gpu_offload is not None:
            return self._dry.gpus
        return tuple(
            Gpu(
                name=gpu.name,
                description=gpu.description,
                free_bytes=gpu.free_bytes,
                capacity_bytes=gpu.total_bytes,
            )
            for gpu in self._machine.gpus().values()
        )

    def _weights(self, path: str) -> ModelWeights:
        file = Path(path)
        try:
            status = file.stat()
        except OSError:
            return read_weights(file)  # it words what is wrong
        key = (path, status.st_mtime_ns, status.st_size)
        with self._files_lock:
            if key not in self._files:
                while len(self._files) >= _REMEMBERED_FILES:
                    self._files.popitem(last=False)
                self._files[key] = read_weights(file)
            return self._files[key]

    # Memory

    def _memory(self, layout: Layout, path: str) -> dict[str, DeviceMemory]:
        gpus = self._machine.gpus(self._dry.gpus)
        return {
            device.name: self._ram_memory(path)
            if device.kind == "ram"
            else self._gpu_memory(device.name, path, gpus)
            for device in layout.devices
        }

    def _ram_memory(self, path: str) -> DeviceMemory:
        free, total = self._machine.ram()
        pid = self._engine_pid()
        held = anonymous_bytes(pid) if pid is not None else None
        overhead, measured = self._records.overhead_bytes("RAM", "ram", path, driver=bool(self._dry.gpus))
        return DeviceMemory(
            free_bytes=min(total, free + (held or 0)),
            capacity_bytes=total,
            overhead_bytes=overhead,
            overhead_measured=measured,
        )

    def _gpu_memory(self, name: str, path: str, gpus: Mapping[str, GpuNow]) -> DeviceMemory:
        overhead, measured = self._records.overhead_bytes(name, "gpu", path)
        now = gpus.get(name)
        if now is None:
            told = next((gpu for gpu in self._dry.gpus if gpu.name == name), None)
            return DeviceMemory(
                free_bytes=None if told is None else told.free_bytes,
                capacity_bytes=None if told is None else told.capacity_bytes,
                overhead_bytes=overhead,
                overhead_measured=measured,
            )
        return DeviceMemory(
            free_bytes=min(
                now.total_bytes, now.free_bytes + self._freed_by_eject(name) + self._held_by_dry_run(name)
            ),
            capacity_bytes=now.total_bytes,
            description=now.description,
            overhead_bytes=overhead,
            overhead_measured=measured,
        )

    def _freed_by_eject(self, name: str) -> int:
        pid = self._engine_pid()
        if pid is None:
            return 0
        mine = self._machine.gpus(self._dry.gpus, pid=pid).get(name)
        if mine is not None and mine.process_bytes is not None:
            return mine.process_bytes
        return self._loaded.gpu_bytes.get(name, 0)

    def _held_by_dry_run(self, name: str) -> int:
        pid = self._dry.pid
        if pid is None:
            return 0
        mine = self._machine.gpus(self._dry.gpus, pid=pid).get(name)
        if mine is not None and mine.process_bytes is not None:
            return mine.process_bytes
        return self._dry_gpu_bytes.get(name, 0)

    def _engine_pid(self) -> int | None:
        state = self._state()
        return None if state.model is not None and state.model.remote_url else state.worker_pid

    def _brief_error(self) -> ForecastError | None:
        told = self._records.error()
        return ForecastError(devices=told.devices) if told.devices else None

    # Learning, on a thread of its own

    def _follow(self) -> None:
        while (state := self._events.get()) is not None:
            try:
                self._take(state)
            except PultError as error:
                self._log("warning", f"The forecast could not be held against the load: {error.sentence}")
            except Exception as error:  # noqa: BLE001 - the border of this thread: learning must not end with one load
                self._log("error", f"Learning from a load failed: {type(error).__name__}: {error}")
            finally:
                self._measured_yet.set()

    def _take(self, state: EngineState) -> None:
        match state.status:
            case EngineStatus.LOADING:
                self._dry.retire()
                if (
                    state.worker_pid is None
                ):  # otherwise an engine is there already and the last reading stands
                    self._loaded = _Loaded(before=self._machine.gpus(self._dry.gpus))
            case EngineStatus.READY if state.model is not None and state.model.path and state.worker_pid:
                time.sleep(SETTLE_SECONDS)
                self._learn(state, state.worker_pid)
            case EngineStatus.EMPTY | EngineStatus.FAILED:
                self._loaded = _Loaded()

    def _learn(self, state: EngineState, pid: int) -> None:
        model = state.model
        assert model is not None and model.path is not None
        measured = self._measured(pid)
        ram = anonymous_bytes(pid)
        self._measured_yet.set()
        if self._closed or self._state().worker_pid != pid:
            return
        scarce = any(
            gpu.free_bytes < _NEEDED_FOR_A_LOOK_BYTES for gpu in self._machine.gpus(self._dry.gpus).values()
        )
        layout = (
            self._arithmetic(model.path, model.values)
            if scarce
            else self._layout(model.path, model.values).layout
        )
        self._dry.retire()
        learnt = []
        for device in layout.devices:
            got = ram if device.kind == "ram" else measured.get(device.name)
            if got is None:
                continue
            self._loaded.gpu_bytes[device.name] = got
            learnt.append(self._compared(device, layout, model.path, got))
        self._records.add(learnt)
        for load in learnt:
            record = load.record
            self._log(
                "info",
                f"Memory of {Path(record.model).name} on {record.device}: forecast {record.forecast_bytes:,} bytes,"
                f" measured {record.measured_bytes:,}, {record.error_percent:+.2f}%"
                + ("." if record.exact else " (arithmetic)."),
            )

    def _compared(self, device: DeviceLayout, layout: Layout, path: str, measured: int) -> LearntLoad:
        """A GPU holds everything at once; in RAM, scratch buffers stay untouched until long prompts, and mapped weights are files."""
        account = device.weights_bytes + device.kv_bytes + device.output_bytes + device.vocabulary_bytes
        account += device.compute_bytes if device.kind == "gpu" else -device.mapped_bytes
        overhead, _ = self._records.overhead_bytes(
            device.name, device.kind, path, driver=bool(self._dry.gpus)
        )
        record = ForecastRecord(
            at=time.time(),
            model=path,
            device=device.name,
            kind=device.kind,
            exact=layout.exact,
            forecast_bytes=account + overhead,
            measured_bytes=measured,
            context=layout.context,
        )
        return LearntLoad(record=record, overhead_bytes=measured - account)

    def _measured(self, pid: int) -> dict[str, int]:
        """Return what the process holds of each GPU: the driver's word, else the difference to before the load."""
        found: dict[str, int] = {}
        for name, gpu in self._machine.gpus(self._dry.gpus, pid=pid).items():
            before = self._loaded.before.get(name)
            if gpu.process_bytes is not None:
                found[name] = gpu.process_bytes
            elif before is not None and is_cuda(name):
                found[name] = max(0, gpu.used_bytes - before.used_bytes)
        return found


def _path_of(plan: LoadPlan) -> str:
    if plan.model_path is None:
        raise BadRequest(
            "Only a model file can be forecast; a remote server's memory is its own. Choose a file."
        )
    return plan.model_path


def _tokens(values: Mapping[str, SettingValue]) -> int:
    told = values.get("context")
    return int(told) if isinstance(told, (int, float)) else 0


def _layout_values(values: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """What a layout depends on: load and context settings, and the samplers that may run in the graph."""
    table = settings()
    return {
        key: value
        for key, value in values.items()
        if key in table and (table[key].stage is not Stage.SAMPLE or key in _SAMPLERS)
    }
