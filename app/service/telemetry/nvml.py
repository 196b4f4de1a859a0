"""NVIDIA's management library: the only module that imports it.

Every value is read by itself and is None where the driver does not say it; a machine without GPU, library or
driver gets one sentence instead of rows. The caller asks from one thread.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from app.shared.telemetry import GpuSample

T = TypeVar("T")

_log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0  # after the driver or a GPU went away
PCIE_SHARE = 0.25  # of the tick: NVML measures PCIe for 20 ms a direction, and blocks meanwhile
PCIE_SECONDS = 1.0  # a PCIe reading is shown this long before the next one

# nvml.h, "Clocks event reasons": why the clocks are lower than they could be. Idle and application clocks are choices.
THROTTLE_REASONS = {
    0x0000000000000004: "power limit",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000010: "sync boost",
    0x0000000000000020: "temperature",
    0x0000000000000040: "hardware temperature",
    0x0000000000000080: "power brake",
    0x0000000000000100: "display clocks",
}


@dataclass
class _Gpu:
    """One row: a GPU, or one MIG slice of it, whose power, clocks and PCIe are the whole card's."""

    index: int
    handle: Any
    card: Any  # the physical GPU's handle
    uuid: str
    name: str
    lost: bool = False
    unsupported: set[str] = field(default_factory=set)
    pcie: tuple[float | None, float | None] = (None, None)
    pcie_at: float = float("-inf")


class GpuReader:
    """Reads all NVIDIA GPUs. `note` says why there are none; it tries again every ten seconds."""

    def __init__(
        self,
        *,
        library: Callable[[], ModuleType] = lambda: importlib.import_module("pynvml"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._import = library
        self._clock = clock
        self._nvml: Any = None
        self._gpus: list[_Gpu] = []
        self._again_at = float("-inf")
        self._in_use = False
        self._next_pcie = 0
        self.note: str | None = None

    def read(self, *, engine_pid: int | None, interval_seconds: float) -> tuple[GpuSample, ...]:
        """Return every GPU as it is now. A GPU that stopped answering stays as a row with `lost`."""
        if not self._in_use or (any(gpu.lost for gpu in self._gpus) and self._clock() >= self._again_at):
            self._open()
        if not self._in_use:
            return tuple(self._lost_row(gpu) for gpu in self._gpus)
        self._read_pcie(interval_seconds * PCIE_SHARE)
        return tuple(self._row(gpu, engine_pid) for gpu in self._gpus)

    def close(self) -> None:
        """Let go of the library."""
        if self._in_use:
            self._in_use = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    # ---- opening

    def _open(self) -> None:
        """Open the library and list the GPUs; on failure leave a note and the old rows as lost."""
        if self._clock() < self._again_at:
            return
        self._again_at = self._clock() + RETRY_SECONDS
        self.close()
        try:
            self._nvml = self._import()
        except (ImportError, OSError) as error:
            _log.warning("NVIDIA's management library cannot be used: %s", error)
            self.note = "NVIDIA's management library for Python is not installed. GPUs are not measured."
            return
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            self.note = self._why_not(error)
            return
        self._in_use = True
        try:
            found = list(self._list())
        except self._nvml.NVMLError as error:
            self.note = self._why_not(error)
            self.close()
            return
        seen = {gpu.uuid for gpu in found}
        for gone in (gpu for gpu in self._gpus if gpu.uuid not in seen):
            gone.lost = True
            found.append(gone)
        self._gpus = found
        self.note = (
            None if found else "The NVIDIA driver works but lists no GPU. Only RAM and CPU are measured."
        )

    def _list(self) -> Iterable[_Gpu]:
        nvml = self._nvml
        row = 0
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                card = nvml.nvmlDeviceGetHandleByIndex(number)
                name, uuid = _words(nvml.nvmlDeviceGetName(card)), _words(nvml.nvmlDeviceGetUUID(card))
            except nvml.NVMLError:
                continue  # fallen off the bus, or not ours to see; a row seen before stays as lost
            slices = self._mig_slices(card)
            if slices is None:
                yield _Gpu(row, card, card, uuid, name)
                row += 1
                continue
            for handle in slices:
                with contextlib.suppress(nvml.NVMLError):
                    slice_name = _words(nvml.nvmlDeviceGetName(handle))
                    slice_uuid = _words(nvml.nvmlDeviceGetUUID(handle))
                    yield _Gpu(row, handle, card, slice_uuid, slice_name)
                    row += 1

    def _mig_slices(self, card: Any) -> list[Any] | None:
        """Return the handles of a card's MIG slices; None if it is not divided."""
        nvml = self._nvml
        try:
            present, _ = nvml.nvmlDeviceGetMigMode(card)
            if present != nvml.NVML_DEVICE_MIG_ENABLE:
                return None
            most = nvml.nvmlDeviceGetMaxMigDeviceCount(card)
        except nvml.NVMLError:
            return None
        slices = []
        for number in range(most):
            with contextlib.suppress(nvml.NVMLError):  # slots that hold no slice answer "not found"
                slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, number))
        return slices

    def _why_not(self, error: Exception) -> str:
        nvml = self._nvml
        code = getattr(error, "value", None)
        if code == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return "No NVIDIA driver is installed. Only RAM and CPU are measured."
        if code == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
            return "The NVIDIA driver is installed but not running. Only RAM and CPU are measured."
        if code == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return "The NVIDIA driver was updated and the old one still runs; restart the computer. GPUs are not measured."
        if code == nvml.NVML_ERROR_NO_PERMISSION:
            return "The NVIDIA driver does not let this user read its GPUs. Only RAM and CPU are measured."
        _log.warning("NVML does not start: %s", error)
        return "The NVIDIA driver does not answer; the log says why. Only RAM and CPU are measured."

    # ---- reading

    def _ask(self, gpu: _Gpu, what: str, read: Callable[[], T]) -> T | None:
        """Return one value, None if the driver has none; notes what it never has, and a GPU that is gone."""
        if gpu.lost or what in gpu.unsupported:
            return None
        nvml = self._nvml
        try:
            return read()
        except AttributeError:
            gpu.unsupported.add(what)  # an older library without this function
        except nvml.NVMLError as error:
            code = getattr(error, "value", None)
            if code in (
                nvml.NVML_ERROR_GPU_IS_LOST,
                nvml.NVML_ERROR_UNINITIALIZED,
                nvml.NVML_ERROR_DRIVER_NOT_LOADED,
            ):
                gpu.lost = True
                self._again_at = self._clock() + RETRY_SECONDS
            elif code in (
                nvml.NVML_ERROR_NOT_SUPPORTED,
                nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
                nvml.NVML_ERROR_NO_PERMISSION,
                nvml.NVML_ERROR_INVALID_ARGUMENT,
            ):
                gpu.unsupported.add(what)
        return None

    def _row(self, gpu: _Gpu, engine_pid: int | None) -> GpuSample:
        nvml, handle, card = self._nvml, gpu.handle, gpu.card
        memory = self._ask(gpu, "memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        load = self._ask(gpu, "load", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        power = self._ask(gpu, "power", lambda: nvml.nvmlDeviceGetPowerUsage(card))
        limit = self._ask(gpu, "limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(card))
        temperature = self._ask(
            gpu, "temperature", lambda: nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU)
        )
        sm = self._ask(gpu, "sm", lambda: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM))
        memory_clock = self._ask(gpu, "mem", lambda: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_MEM))
        generation = self._ask(gpu, "generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(card))
        width = self._ask(gpu, "width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(card))
        reasons = self._ask(gpu, "reasons", lambda: self._reasons(card))
        engine = (
            None
            if engine_pid is None
            else self._ask(gpu, "pids", lambda: self._memory_of(handle, engine_pid))
        )
        if gpu.lost:
            return self._lost_row(gpu)
        return GpuSample(
            index=gpu.index,
            uuid=gpu.uuid,
            name=gpu.name,
            memory_total_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            engine_memory_bytes=engine,
            utilisation_percent=None if load is None else float(load.gpu),
            memory_utilisation_percent=None if load is None else float(load.memory),
            power_watts=None if power is None else power / 1000.0,
            power_limit_watts=None if limit is None else limit / 1000.0,
            temperature_celsius=None if temperature is None else float(temperature),
            sm_clock_mhz=None if sm is None else float(sm),
            memory_clock_mhz=None if memory_clock is None else float(memory_clock),
            pcie_rx_bytes_per_second=gpu.pcie[0],
            pcie_tx_bytes_per_second=gpu.pcie[1],
            pcie_generation=generation,
            pcie_width=width,
            throttle_reasons=reasons or (),
        )

    @staticmethod
    def _lost_row(gpu: _Gpu) -> GpuSample:
        return GpuSample(index=gpu.index, uuid=gpu.uuid, name=gpu.name, lost=True)

    def _reasons(self, card: Any) -> tuple[str, ...]:
        nvml = self._nvml
        ask = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        bits = int((ask or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(card))
        return tuple(words for bit, words in THROTTLE_REASONS.items() if bits & bit)

    def _memory_of(self, handle: Any, pid: int) -> int | None:
        for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == pid:
                used = process.usedGpuMemory  # None under Windows' display driver model
                return None if used is None else int(used)
        return None  # not on this GPU, or in another process namespace (containers)

    def _read_pcie(self, budget_seconds: float) -> None:
        """Refresh the PCIe readings that are due, in turn, until the budget is spent; at least one."""
        nvml, started = self._nvml, self._clock()
        for _ in range(len(self._gpus)):
            gpu = self._gpus[self._next_pcie % len(self._gpus)]
            self._next_pcie = (self._next_pcie + 1) % len(self._gpus)
            if self._clock() - gpu.pcie_at < PCIE_SECONDS or "pcie" in gpu.unsupported:
                continue
            gpu.pcie = (
                self._pcie(gpu, nvml.NVML_PCIE_UTIL_RX_BYTES),
                self._pcie(gpu, nvml.NVML_PCIE_UTIL_TX_BYTES),
            )
            gpu.pcie_at = self._clock()
            if self._clock() - started >= budget_seconds:
                return

    def _pcie(self, gpu: _Gpu, counter: int) -> float | None:
        told = self._ask(gpu, "pcie", lambda: self._nvml.nvmlDeviceGetPcieThroughput(gpu.card, counter))
        return None if told is None else told * 1024.0  # NVML tells KB/s


def _words(told: str | bytes) -> str:
    return told.decode(errors="replace") if isinstance(told, bytes) else told
