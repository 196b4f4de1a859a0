"""The desk: what is free, what ejecting frees, what loads teach, and arithmetic where there is no dry run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.forecast.layout import DeviceLayout, Gpu, Layout, gpus_first
from app.service.engine.base import StopFlag
from app.service.engine.llama import breakdown
from app.service.engine.supervisor import SupervisedEngine
from app.service.forecast import desk as desk_module
from app.service.forecast.desk import ForecastDesk
from app.service.forecast.dry_run_process import NoDryRun
from app.service.forecast.machine import GpuNow, Machine, anonymous_bytes
from app.service.forecast.record import USUAL_GPU_BYTES, USUAL_RAM_BYTES, LoadRecords
from app.shared.engine import EngineState, EngineStatus, LoadedModel, LoadPlan, SettingValue
from app.shared.errors import BadRequest, BadValue, EngineFailed, ModelFileMissing
from app.shared.events import EngineChanged
from app.shared.settings import ModelFacts
from app.shared.telemetry import GpuSample
from app.shared.units import GIB, MIB
from tests.models_for_tests import tiny_moe
from tests.service.doubles import wait_until

FACTS = ModelFacts(architecture="qwen3moe", layers=2, experts=8, trained_context=512)


class ScriptedDryRun:
    """A dry run in this process: `layouts` by context, or a reason why there is none."""

    def __init__(self) -> None:
        self.gpus: tuple[Gpu, ...] = (Gpu(name="CUDA0", description="NVIDIA H200"),)
        self.gpu_offload: bool | None = True
        self.pid: int | None = None
        self.why_not: NoDryRun | None = None
        self.asked: list[Mapping[str, SettingValue]] = []
        self.retired = 0

    def layout(self, path: str, values: Mapping[str, SettingValue]) -> Layout:
        self.asked.append(dict(values))
        if self.why_not is not None:
            raise self.why_not
        context = int(values.get("context", 8192))
        gpu = DeviceLayout(
            name="CUDA0", kind="gpu", weights_bytes=4 * GIB, kv_bytes=context * MIB, compute_bytes=GIB
        )
        ram = DeviceLayout(name="RAM", kind="ram", weights_bytes=GIB, mapped_bytes=GIB, output_bytes=MIB)
        return Layout(exact=True, devices=gpus_first([ram, gpu]), context=context)

    def retire(self) -> None:
        self.retired += 1
        self.pid = None

    def close(self) -> None:
        self.retire()


class ScriptedMachine(Machine):
    """24 GiB of VRAM of which others hold 1; `held` is what each process holds of it."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.others = GIB
        self.tells_processes = True

    def gpus(self, known: Any = (), *, pid: int | None = None) -> dict[str, GpuNow]:
        mine = self.held.get(pid) if pid is not None and self.tells_processes else None
        used = self.others + sum(self.held.values())
        return {"CUDA0": GpuNow("CUDA0", "NVIDIA H200", 24 * GIB, used, mine)}

    def close(self) -> None:
        return

    @staticmethod
    def ram() -> tuple[int, int]:
        return 32 * GIB, 64 * GIB


class Bench:
    """A desk with everything around it scripted."""

    def __init__(self, folder: Path) -> None:
        self.state = EngineState()
        self.dry = ScriptedDryRun()
        self.machine = ScriptedMachine()
        self.said: list[str] = []
        self.path = str(tiny_moe(folder / "moe.gguf"))
        self.records = folder / "forecasts.json"
        self.desk = self.new_desk()

    def new_desk(self) -> ForecastDesk:
        return ForecastDesk(
            state=lambda: self.state,
            records=self.records,
            log=lambda level, text: self.said.append(text),
            dry_run=self.dry,  # type: ignore[arg-type]  # the part of it that the desk uses
            machine=self.machine,
        )

    def ask(self, **values: SettingValue) -> Any:
        return self.desk.forecast(LoadPlan(model_path=self.path, values=values))

    def tell(self, state: EngineState) -> None:
        self.state = state
        self.desk.heard(EngineChanged(engine=state))

    def load(self, holds: int, **values: SettingValue) -> None:
        """Load as the engine's desk tells it; the worker is this process."""
        pid, before = os.getpid(), len(self.desk.error().records)
        retired = self.dry.retired
        self.tell(EngineState(status=EngineStatus.LOADING))
        wait_until(lambda: self.dry.retired > retired)
        self.machine.held[pid] = holds
        model = LoadedModel(id="m", name="m", path=self.path, values=values)
        self.tell(EngineState(status=EngineStatus.READY, model=model, worker_pid=pid))
        wait_until(lambda: len(self.desk.error().records) >= before + 2)

    def eject(self) -> None:
        self.machine.held.clear()
        self.tell(EngineState())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(desk_module, "SETTLE_SECONDS", 0.0)
    made = Bench(tmp_path)
    yield made
    made.desk.close()


def test_the_first_forecast_says_what_it_does_not_know_yet(bench: Bench) -> None:
    told = bench.ask(context=1024)
    gpu, ram = told.devices
    assert told.exact and told.verdict == "fits" and told.error is None
    assert gpu.other_bytes == USUAL_GPU_BYTES and not gpu.other_measured
    assert gpu.free_bytes == 23 * GIB and gpu.capacity_bytes == 24 * GIB
    assert gpu.total_bytes == 6 * GIB + USUAL_GPU_BYTES and gpu.margin_bytes == 17 * GIB - USUAL_GPU_BYTES
    assert ram.free_bytes == 32 * GIB and ram.other_bytes > USUAL_RAM_BYTES + MIB


@pytest.mark.parametrize("tells", [True, False])
def test_a_load_teaches_what_comes_on_top(bench: Bench, tells: bool) -> None:
    """Also where the driver does not say which process holds what: then the difference to before counts."""
    bench.machine.tells_processes = tells
    bench.load(6 * GIB + 700 * MIB, context=1024)
    error = bench.desk.error()
    first = {record.device: record for record in error.records}["CUDA0"]
    assert first.measured_bytes == 6 * GIB + 700 * MIB and first.forecast_bytes == 6 * GIB + USUAL_GPU_BYTES
    assert any("on CUDA0: forecast" in text for text in bench.said)
    bench.eject()
    again = bench.ask(context=2048).devices[0]
    assert again.other_bytes == 700 * MIB and again.other_measured
    bench.load(7 * GIB + 700 * MIB, context=2048)
    last = [record for record in bench.desk.error().records if record.device == "CUDA0"][-1]
    assert last.error_percent == 0.0
    device = bench.desk.error().devices[0]
    assert device.device == "CUDA0" and device.count == 2
    assert device.last_percent == 0.0 and device.worst_percent == pytest.approx(first.error_percent)
    assert bench.ask(context=2048).error.devices == bench.desk.error().devices


@pytest.mark.parametrize("tells", [True, False])
def test_what_ejecting_frees_counts_as_free(bench: Bench, tells: bool) -> None:
    bench.machine.tells_processes = tells
    before = bench.ask(context=8192).devices
    bench.load(20 * GIB, context=8192)
    gpu, ram = bench.ask(context=8192).devices
    assert gpu.free_bytes == before[0].free_bytes == 23 * GIB
    held = anonymous_bytes(os.getpid())
    assert held is not None and ram.free_bytes == pytest.approx(32 * GIB + held, rel=0.02)
    bench.eject()
    wait_until(lambda: bench.desk._loaded.gpu_bytes == {})
    assert bench.ask(context=8192).devices[0].free_bytes == 23 * GIB


def test_what_the_dry_run_itself_holds_counts_as_free(bench: Bench) -> None:
    bench.dry.pid = 4242
    bench.machine.held[4242] = 500 * MIB
    assert bench.ask(context=1024).devices[0].free_bytes == 23 * GIB


def test_a_dry_run_asked_for_at_once_is_not_taken_for_the_load(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the load has been measured: its driver context would count as the engine's."""
    monkeypatch.setattr(desk_module, "SETTLE_SECONDS", 0.2)
    bench.machine.tells_processes = False
    lay_out = bench.dry.layout

    def holding(path: str, values: Mapping[str, SettingValue]) -> Layout:
        bench.machine.held[4242] = 500 * MIB
        return lay_out(path, values)

    monkeypatch.setattr(bench.dry, "layout", holding)
    bench.tell(EngineState(status=EngineStatus.LOADING))
    wait_until(lambda: bench.dry.retired == 1)
    bench.machine.held[os.getpid()] = 7 * GIB
    model = LoadedModel(id="m", name="m", path=bench.path, values={"context": 1024})
    bench.tell(EngineState(status=EngineStatus.READY, model=model, worker_pid=os.getpid()))
    assert bench.ask(context=2048).exact
    wait_until(lambda: len(bench.desk.error().records) == 2)
    assert bench.desk.error().records[0].measured_bytes == 7 * GIB


def test_a_load_ends_the_dry_run_and_is_not_disturbed(bench: Bench) -> None:
    bench.tell(EngineState(status=EngineStatus.LOADING))
    wait_until(lambda: bench.dry.retired == 1)
    told = bench.ask(context=1024)
    assert not told.exact and not bench.dry.asked
    assert "a model is being loaded" in told.sentences[-1].text


def test_arithmetic_says_that_it_is(bench: Bench) -> None:
    bench.dry.why_not = NoDryRun("it ended with signal 9")
    told = bench.ask(context=1024)
    assert not told.exact and [device.name for device in told.devices] == ["CUDA0", "RAM"]
    assert told.verdict == "fits" and told.sentences[-1].text.startswith("This is arithmetic, not")
    assert told.devices[0].kv_bytes == 2 * 1024 * 2 * 64 * 4


def test_values_that_end_the_dry_run_are_not_said_to_fit(bench: Bench) -> None:
    bench.dry.why_not = NoDryRun("it ended with signal 6: GGML_ASSERT(obj_new) failed", died=True)
    told = bench.ask(context=1024)
    assert told.verdict == "unknown" and not told.exact and len(told.sentences) == 1
    assert "would most likely end the engine too" in told.sentences[0].text
    with pytest.raises(EngineFailed, match="GGML_ASSERT"):
        bench.desk.fit(LoadPlan(model_path=bench.path), FACTS)


def test_absurd_contexts_are_left_to_arithmetic(bench: Bench) -> None:
    told = bench.ask(context=2**31 - 1)
    assert not bench.dry.asked and told.verdict == "does_not_fit"
    assert "would take gigabytes to lay out" in told.sentences[-1].text


def test_what_would_be_refused_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequest, match="remote server"):
        bench.desk.forecast(LoadPlan())
    bench.dry.why_not = NoDryRun("none")
    with pytest.raises(ModelFileMissing):
        bench.desk.forecast(LoadPlan(model_path="/nowhere.gguf"))


def test_only_what_changes_the_layout_reaches_the_dry_run(bench: Bench) -> None:
    bench.ask(context=1024, system_prompt="Be brief.", thinking=False, top_k=20)
    assert bench.dry.asked == [{"context": 1024, "top_k": 20}]


def test_fit_finds_the_longest_context(bench: Bench) -> None:
    plan = LoadPlan(model_path=bench.path, values={"context": 32768, "kv_k": "q4_0", "kv_v": "q4_0"})
    answer = bench.desk.fit(plan, FACTS, keep="kv_precision", margin_bytes=GIB)
    gpu = answer.forecast.devices[0]
    assert answer.found and gpu.margin_bytes is not None and GIB <= gpu.margin_bytes < 2 * GIB + GIB
    assert answer.gave_up and answer.forecast.exact


def test_records_survive_the_service_and_damage(bench: Bench, tmp_path: Path) -> None:
    bench.load(6 * GIB + 800 * MIB, context=1024)
    again = bench.new_desk()
    assert [record.device for record in again.error().records] == ["CUDA0", "RAM"]
    again.close()
    bench.records.write_text("{")
    said: list[str] = []
    assert LoadRecords(bench.records, log=said.append).error().records == ()
    assert len(said) == 1
    full = LoadRecords(tmp_path / "moe.gguf" / "no-folder.json", log=said.append)
    full.add([])
    assert len(said) >= 2


def test_cuda_numbers_gpus_as_its_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        note = None

        def read(self, **_: object) -> tuple[GpuSample, ...]:
            return tuple(
                GpuSample(
                    index=n,
                    uuid=f"GPU-{n}abcdefgh",
                    name=f"GPU {n}",
                    memory_total_bytes=n,
                    memory_used_bytes=0,
                )
                for n in range(3)
            )

    machine = Machine(Reader())  # type: ignore[arg-type]  # reading is all that is asked of it

    def names() -> dict[str, str]:
        return {name: gpu.description for name, gpu in machine.gpus().items()}

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert names() == {"CUDA0": "GPU 0", "CUDA1": "GPU 1", "CUDA2": "GPU 2"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert names() == {"CUDA0": "GPU 2", "CUDA1": "GPU 0"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1abcd,9,0")
    assert names() == {"CUDA0": "GPU 1"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    known = (Gpu(name="CUDA0", description="another make"),)
    assert "CUDA0" not in machine.gpus(known)


@pytest.mark.engine
@pytest.mark.skipif(not breakdown.available(), reason="this llama.cpp does not show its layout")
def test_forecasts_are_within_three_percent_of_real_ram(
    tmp_path: Path, new_desk: Callable[..., ForecastDesk]
) -> None:
    """The real worker on a small model: what one load taught serves the next, eight times larger."""
    path = str(tiny_moe(tmp_path / "moe.gguf", layers=4))
    state = EngineState()
    desk = new_desk(state=lambda: state, records=tmp_path / "records.json")
    engine = SupervisedEngine()
    try:
        for context in (8192, 65536):
            plan = LoadPlan(model_path=path, values={"context": context, "threads": 1, "batch_threads": 1})
            state = EngineState(status=EngineStatus.LOADING)
            desk.heard(EngineChanged(engine=state))
            model = engine.load(plan, progress=lambda fraction: None, stop=StopFlag())
            state = EngineState(status=EngineStatus.READY, model=model, worker_pid=engine.pid)
            desk.heard(EngineChanged(engine=state))
            wait_until(lambda seen=context: any(r.context == seen for r in desk.error().records))  # type: ignore[misc]  # bound default
            engine.eject()
            state = EngineState()
            desk.heard(EngineChanged(engine=state))
    finally:
        engine.close()
    first, second = desk.error().records
    assert first.exact and second.exact
    assert second.measured_bytes - first.measured_bytes > 100 * MIB
    assert abs(second.error_percent) < 3.0
    with pytest.raises(BadValue):
        desk.forecast(LoadPlan(model_path=path, values={"experts": 99}))


@pytest.fixture
def new_desk() -> Iterator[Callable[..., ForecastDesk]]:
    made: list[ForecastDesk] = []

    def make(**parts: Any) -> ForecastDesk:
        made.append(ForecastDesk(**parts))
        return made[-1]

    yield make
    for desk in made:
        desk.close()
