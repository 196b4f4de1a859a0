"""The sampler: its beat, what it publishes, what it answers, and that neither disk nor driver stops it."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from app.service.telemetry.history_file import HistoryFile
from app.service.telemetry.nvml import GpuReader
from app.service.telemetry.sampler import Sampler
from app.shared.errors import BadValue
from app.shared.events import Event, MarkerAdded, Problem, Telemetry
from app.shared.telemetry import EngineSample
from tests.service.telemetry.recorded_nvml import GIB, Card, RecordedNvml


class Listener:
    """Keeps what is published and wakes who waits for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def samples(self) -> list[Telemetry]:
        return [event for event in self.events if isinstance(event, Telemetry)]

    def wait(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(done, seconds), "it did not come"


@pytest.fixture
def listener() -> Listener:
    return Listener()


Maker = Callable[..., Sampler]


@pytest.fixture
def make(tmp_path: Path, listener: Listener) -> Iterator[Maker]:
    made: list[Sampler] = []

    def build(
        *cards: Card,
        clock: Callable[[], float] = time.time,
        engine: EngineSample | None = None,
        folder: Path | None = None,
    ) -> Sampler:
        nvml = RecordedNvml(*cards)
        sampler = Sampler(
            publish=listener,
            engine_pid=lambda: os.getpid(),
            engine_sample=lambda: engine or EngineSample(),
            folder=folder or tmp_path / "telemetry",
            gpus=GpuReader(library=lambda: cast(ModuleType, nvml)),
            clock=clock,
        )
        made.append(sampler)
        return sampler

    yield build
    for sampler in made:
        sampler.stop()


def test_samples_come_at_the_rate_and_do_not_drift(make: Maker, listener: Listener) -> None:
    sampler = make()
    sampler.set_rate(10)
    started = time.time()
    sampler.start()
    listener.wait(lambda: len(listener.samples()) >= 13)
    at = [event.sample.at for event in listener.samples()]
    # Each tick lies near its own place on the beat, however late the ticks before it were.
    late = [moment - started - 0.1 * place for place, moment in enumerate(at[:13])]
    assert max(late) - min(late) < 0.09, late


def test_a_new_rate_acts_at_once(make: Maker, listener: Listener) -> None:
    sampler = make()
    sampler.set_rate(0.2)
    sampler.start()
    listener.wait(lambda: len(listener.samples()) == 1)
    sampler.set_rate(10)
    listener.wait(lambda: len(listener.samples()) >= 4, seconds=2.0)
    assert sampler.rate == 10


@pytest.mark.parametrize("hertz", [0.0, 0.1, 11.0, float("nan"), -1.0])
def test_a_rate_out_of_range_is_refused(make: Maker, hertz: float) -> None:
    with pytest.raises(BadValue, match=r"0\.2 to 10"):
        make().set_rate(hertz)


@pytest.mark.parametrize(("kept", "used"), [(5, 5.0), (0.2, 0.2), (99, 2.0), ("fast", 2.0), (None, 2.0)])
def test_a_remembered_rate_is_used_if_it_is_one(tmp_path: Path, kept: object, used: float) -> None:
    sampler = Sampler(
        publish=lambda event: None,
        engine_pid=lambda: None,
        engine_sample=EngineSample,
        folder=tmp_path,
        hertz=kept,
    )
    assert sampler.rate == used


def test_a_sample_tells_everything(make: Maker) -> None:
    sampler = make(Card(), engine=EngineSample(decode_tokens_per_second=41.5, context_used_tokens=900))
    sampler.add_process("window", os.getppid())
    sample = sampler.sample()
    assert sample.gpus[0].memory_used_bytes == 19 * GIB
    assert {process.role for process in sample.processes} == {"service", "engine", "window"}
    assert all(process.rss_bytes > 1_000_000 for process in sample.processes)
    assert sample.host.memory_total_bytes > sample.host.memory_used_bytes > 0
    assert (
        sample.host.memory_used_bytes + sample.host.memory_available_bytes == sample.host.memory_total_bytes
    )
    assert sample.engine.decode_tokens_per_second == 41.5
    assert sample.gpu_note is None
    assert make().sample().gpu_note is not None


def test_processes_that_are_gone_drop_out(make: Maker) -> None:
    sampler = make()
    sampler.add_process("window", 2**22 + 12345)  # above any pid
    assert [process.role for process in sampler.sample().processes] == ["service", "engine"]


class Ticking:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def fill(sampler: Sampler, clock: Ticking, seconds: int) -> None:
    for _ in range(seconds):
        sampler._tick()
        clock.now += 1.0


def test_history_csv_energy_and_peak(make: Maker) -> None:
    clock = Ticking(1_800_000_000.0)
    start = clock.now
    card = Card(answers={"PowerUsage": 100_000})
    sampler = make(card, clock=clock, engine=EngineSample(decode_tokens_per_second=30.0))
    fill(sampler, clock, 10)
    card.answers["PowerUsage"] = 300_000
    fill(sampler, clock, 10)
    history = sampler.history(start, start + 100, 1000)
    assert history.at == tuple(start + i for i in range(20))
    assert history.columns["gpu0.power"] == (100.0,) * 10 + (300.0,) * 10
    assert history.columns["decode"] == (30.0,) * 20
    assert "prefill" not in history.columns
    assert len(sampler.history(start, start + 100, 6).at) <= 7
    assert sampler.energy_joules(start + 1, start + 5) == pytest.approx(400.0)
    assert sampler.energy_joules(start + 8, start + 11) == pytest.approx(100 + 200 + 300)
    # Shorter than a tick: the samples around it tell.
    assert sampler.energy_joules(start + 14.2, start + 14.4) == pytest.approx(60.0)
    assert sampler.peak_vram_bytes(start + 14.2, start + 14.4) == 19 * GIB
    rows = list(csv.DictReader(io.StringIO("".join(sampler.csv(start, start + 100)))))
    assert len(rows) == 20
    assert rows[0]["time"] == "2027-01-15T08:00:00.000+00:00"
    assert rows[0]["gpu0.memory"] == str(19 * GIB) and rows[12]["gpu0.power"] == "300"


def test_no_gpu_has_no_energy_and_no_peak(make: Maker) -> None:
    clock = Ticking(1000.0)
    sampler = make(clock=clock)
    fill(sampler, clock, 3)
    assert sampler.energy_joules(1000, 1002) is None
    assert sampler.peak_vram_bytes(1000, 1002) is None


def test_a_service_started_again_remembers(make: Maker) -> None:
    before = make()
    before.set_rate(10)
    before.start()
    while before.latest() is None:
        time.sleep(0.01)
    before.add_marker("load", "Qwen3")
    before.stop()
    after = make()
    after.start()
    now = time.time()
    history = after.history(now - 60, now + 1, 100)
    assert history.at and history.at[0] < now
    assert history.columns["ram"][0] is not None
    assert [marker.label for marker in after.markers(now - 60, now + 1)] == ["Qwen3"]
    after.stop()


def test_a_marker_is_published_and_found(make: Maker, listener: Listener) -> None:
    clock = Ticking(50.0)
    sampler = make(clock=clock)
    sampler.add_marker("stop", "stopped")  # not started yet: kept in memory
    assert [event.marker.kind for event in listener.events if isinstance(event, MarkerAdded)] == ["stop"]
    assert [marker.at for marker in sampler.markers(0, 100)] == [50.0]
    assert sampler.markers(60, 100) == ()


def test_a_wrong_stretch_is_refused(make: Maker) -> None:
    sampler = make()
    with pytest.raises(BadValue, match="ends at"):
        sampler.history(10, 5)
    with pytest.raises(BadValue, match="2 to 20,000"):
        sampler.history(5, 10, 1)


def test_a_folder_that_cannot_be_written_is_said_once_and_sampling_goes_on(
    make: Maker, listener: Listener, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    sampler = make(folder=blocked)
    sampler.set_rate(10)
    sampler.start()
    listener.wait(lambda: len(listener.samples()) >= 3)
    problems = [event.error for event in listener.events if isinstance(event, Problem)]
    assert [problem.kind for problem in problems] == ["storage_failed"]
    assert "last hour stays in memory" in problems[0].sentence
    now = time.time()
    assert sampler.history(now - 10, now + 1).at


def test_a_full_disk_is_said_and_recovers(
    make: Maker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = {"now": True}
    write = HistoryFile.append

    def append(self: HistoryFile, at: float, numbers: dict[str, float]) -> None:
        if full["now"]:
            raise sqlite3.OperationalError("database or disk is full")
        write(self, at, numbers)

    monkeypatch.setattr(HistoryFile, "append", append)
    sampler = make()
    sampler.set_rate(10)
    sampler.start()
    listener.wait(lambda: len(listener.samples()) >= 3)
    problems = [event.error for event in listener.events if isinstance(event, Problem)]
    assert len(problems) == 1 and "disk is full" in problems[0].sentence
    full["now"] = False
    seen = len(listener.samples())
    listener.wait(lambda: len(listener.samples()) >= seen + 2)
    assert len([event for event in listener.events if isinstance(event, Problem)]) == 1


def test_a_damaged_file_is_put_aside(make: Maker, tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    folder.mkdir()
    (folder / "history.db").write_bytes(b"no database at all" * 400)
    sampler = make()
    sampler.start()
    sampler.add_marker("load", "x")
    sampler.stop()
    assert list(folder.glob("history.damaged-*"))
    file = HistoryFile(folder / "history.db")
    assert len(file.markers(0, 1e12)) == 1
    file.close()


def test_a_lost_gpu_is_a_problem_and_a_marker_once(make: Maker, listener: Listener) -> None:
    card = Card()
    sampler = make(card)
    sampler._tick()
    card.lost = True
    sampler._tick()
    sampler._tick()
    problems = [event.error.sentence for event in listener.events if isinstance(event, Problem)]
    assert len(problems) == 1 and "GPU 0, NVIDIA H200, stopped answering" in problems[0]
    assert [event.marker.label for event in listener.events if isinstance(event, MarkerAdded)] == [
        "GPU 0 lost"
    ]


def test_a_reader_that_fails_does_not_end_the_thread(
    make: Maker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = make()
    good, broken = sampler.sample, {"now": True}

    def sample() -> object:
        if broken["now"]:
            raise RuntimeError("the kernel said no")
        return good()

    monkeypatch.setattr(sampler, "sample", sample)
    sampler.set_rate(10)
    sampler.start()
    listener.wait(lambda: any(isinstance(event, Problem) for event in listener.events))
    broken["now"] = False
    listener.wait(lambda: bool(listener.samples()))
    problems = [event.error.sentence for event in listener.events if isinstance(event, Problem)]
    assert problems == ["Telemetry failed: RuntimeError: the kernel said no"]
