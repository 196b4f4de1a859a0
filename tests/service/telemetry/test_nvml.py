"""GPUs as NVML tells of them: what it says, what it does not say, and what it says when it is gone."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import cast

import pynvml
import pytest

from app.service.telemetry.nvml import GpuReader
from tests.service.telemetry.recorded_nvml import GIB, Card, RecordedNvml, Refusal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def reader(nvml: RecordedNvml, clock: Clock | None = None) -> GpuReader:
    return GpuReader(library=lambda: cast(ModuleType, nvml), clock=clock or Clock())


def test_reads_every_field() -> None:
    gpus = reader(RecordedNvml(Card()))
    (gpu,) = gpus.read(engine_pid=4711, interval_seconds=0.5)
    assert gpus.note is None
    assert (gpu.index, gpu.name, gpu.uuid) == (0, "NVIDIA H200", "GPU-11111111-2222")
    assert (gpu.memory_total_bytes, gpu.memory_used_bytes, gpu.engine_memory_bytes) == (
        141 * GIB,
        19 * GIB,
        18 * GIB,
    )
    assert (gpu.utilisation_percent, gpu.memory_utilisation_percent) == (87.0, 41.0)
    assert (gpu.power_watts, gpu.power_limit_watts, gpu.temperature_celsius) == (412.345, 700.0, 54.0)
    assert (gpu.sm_clock_mhz, gpu.memory_clock_mhz) == (1980.0, 1980.0)
    assert (gpu.pcie_generation, gpu.pcie_width) == (5, 16)
    assert gpu.pcie_rx_bytes_per_second == gpu.pcie_tx_bytes_per_second == 2048 * 1024
    assert gpu.throttle_reasons == ("power limit", "temperature")
    assert not gpu.lost


def test_a_field_that_is_not_supported_is_none_and_not_asked_again() -> None:
    refused = Refusal(pynvml.NVML_ERROR_NOT_SUPPORTED)
    nvml = RecordedNvml(
        Card(answers={"PowerUsage": refused, "PcieThroughput": refused, "Temperature": refused})
    )
    gpus = reader(nvml)
    for _ in range(3):
        (gpu,) = gpus.read(engine_pid=None, interval_seconds=0.5)
    assert (
        gpu.power_watts is None and gpu.temperature_celsius is None and gpu.pcie_rx_bytes_per_second is None
    )
    assert gpu.memory_used_bytes == 19 * GIB
    assert nvml.calls["PowerUsage"] == nvml.calls["Temperature"] == nvml.calls["PcieThroughput"] == 1
    assert nvml.calls["MemoryInfo"] == 3
    assert "ComputeRunningProcesses" not in nvml.calls  # no engine, nothing to ask


def test_a_passing_fault_is_none_once() -> None:
    card = Card(answers={"PowerUsage": Refusal(pynvml.NVML_ERROR_TIMEOUT)})
    gpus = reader(RecordedNvml(card))
    assert gpus.read(engine_pid=None, interval_seconds=0.5)[0].power_watts is None
    card.answers.clear()
    assert gpus.read(engine_pid=None, interval_seconds=0.5)[0].power_watts == 412.345


def test_windows_does_not_tell_a_process_memory() -> None:
    processes = [SimpleNamespace(pid=4711, usedGpuMemory=None)]
    gpus = reader(RecordedNvml(Card(answers={"ComputeRunningProcesses": processes})))
    assert gpus.read(engine_pid=4711, interval_seconds=0.5)[0].engine_memory_bytes is None


def test_pcie_is_measured_once_a_second_and_within_its_budget() -> None:
    clock = Clock()
    nvml = RecordedNvml(*(Card(uuid=f"GPU-{i}") for i in range(4)))
    gpus = reader(nvml, clock)
    gpus.read(engine_pid=None, interval_seconds=0.5)
    assert nvml.calls["PcieThroughput"] == 8
    gpus.read(engine_pid=None, interval_seconds=0.5)
    assert nvml.calls["PcieThroughput"] == 8
    clock.now += 1.1
    # With no time to spend one GPU is still refreshed each tick, in turn.
    for _ in range(4):
        (before, *_) = gpus.read(engine_pid=None, interval_seconds=0.0)
        assert before.pcie_rx_bytes_per_second is not None
    assert nvml.calls["PcieThroughput"] == 16


def test_a_lost_gpu_stays_as_a_row_and_comes_back() -> None:
    clock = Clock()
    card, other = Card(), Card(name="NVIDIA L4", uuid="GPU-other")
    nvml = RecordedNvml(card, other)
    gpus = reader(nvml, clock)
    assert [gpu.lost for gpu in gpus.read(engine_pid=None, interval_seconds=0.5)] == [False, False]
    card.lost = True
    first, second = gpus.read(engine_pid=None, interval_seconds=0.5)
    assert first.lost and first.name == "NVIDIA H200" and first.memory_used_bytes is None
    assert not second.lost and second.memory_used_bytes == 19 * GIB
    clock.now += 11
    rows = {gpu.uuid: gpu.lost for gpu in gpus.read(engine_pid=None, interval_seconds=0.5)}
    assert rows == {"GPU-11111111-2222": True, "GPU-other": False}
    card.lost = False
    clock.now += 11
    rows = {gpu.uuid: gpu.lost for gpu in gpus.read(engine_pid=None, interval_seconds=0.5)}
    assert rows == {"GPU-11111111-2222": False, "GPU-other": False}


def test_mig_slices_are_rows_with_the_cards_power() -> None:
    slices = (
        Card(
            name="NVIDIA H200 MIG 1g.18gb",
            uuid="MIG-1",
            answers={"MemoryInfo": SimpleNamespace(total=18, used=5)},
        ),
        Card(
            name="NVIDIA H200 MIG 3g.71gb",
            uuid="MIG-2",
            answers={"MemoryInfo": SimpleNamespace(total=71, used=9)},
        ),
    )
    whole = Card(uuid="GPU-plain")
    gpus = reader(RecordedNvml(Card(slices=slices), whole))
    rows = gpus.read(engine_pid=None, interval_seconds=0.5)
    assert [(gpu.index, gpu.uuid) for gpu in rows] == [(0, "MIG-1"), (1, "MIG-2"), (2, "GPU-plain")]
    assert [gpu.memory_used_bytes for gpu in rows] == [5, 9, 19 * GIB]
    assert rows[0].power_watts == 412.345


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "No NVIDIA driver is installed"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not running"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart the computer"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "does not let this user"),
        (pynvml.NVML_ERROR_UNKNOWN, "does not answer"),
    ],
)
def test_no_driver_is_a_sentence_and_is_tried_again(code: int, words: str) -> None:
    clock = Clock()
    nvml = RecordedNvml(Card(), start=code)
    gpus = reader(nvml, clock)
    assert gpus.read(engine_pid=None, interval_seconds=0.5) == ()
    assert gpus.note is not None and words in gpus.note and gpus.note.endswith(".")
    nvml.start = None
    assert gpus.read(engine_pid=None, interval_seconds=0.5) == ()  # not yet
    clock.now += 11
    assert len(gpus.read(engine_pid=None, interval_seconds=0.5)) == 1
    assert gpus.note is None


def test_no_library() -> None:
    def missing() -> ModuleType:
        raise ModuleNotFoundError("No module named 'pynvml'")

    gpus = GpuReader(library=missing)
    assert gpus.read(engine_pid=None, interval_seconds=0.5) == ()
    assert gpus.note is not None and "not installed" in gpus.note


def test_a_driver_without_gpus() -> None:
    gpus = reader(RecordedNvml())
    assert gpus.read(engine_pid=None, interval_seconds=0.5) == ()
    assert gpus.note is not None and "lists no GPU" in gpus.note


def test_close_shuts_the_library_once() -> None:
    nvml = RecordedNvml(Card())
    gpus = reader(nvml)
    gpus.read(engine_pid=None, interval_seconds=0.5)
    gpus.close()
    gpus.close()
    assert (nvml.opened, nvml.closed) == (1, 1)
