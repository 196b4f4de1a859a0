"""Every NVIDIA GPU, as NVML reports it. The only module that imports pynvml (the package nvidia-ml-py).

Whatever a card or driver does not support is None. No library, no driver, no card, and a card that vanishes are said in
words; none of them raises out of here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from app.shared.telemetry import GpuSample

T = TypeVar("T")

RETRY_SECONDS = 30.0
PCIE_SECONDS = 1.0  # NVML measures each direction for 20 ms per call
NO_LIBRARY = "No NVIDIA driver was found, so there are no GPU graphs."
NO_GPU = "The NVIDIA driver is here but shows no GPU."
THROTTLES = (
    ("nvmlClocksThrottleReasonSwPowerCap", "power limit"),
    ("nvmlClocksThrottleReasonHwSlowdown", "hardware slowdown"),
    ("nvmlClocksThrottleReasonSyncBoost", "sync boost"),
    ("nvmlClocksThrottleReasonSwThermalSlowdown", "temperature"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "temperature"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power brake"),
)


@dataclass
class _Card:
    index: int
    handle: Any
    uuid: str
    name: str
    lost: bool = False
    pcie_read_at: float = 0.0
    pcie: tuple[float | None, float | None] = (None, None)


class Nvml:
    """The GPUs of this machine. `read()` is called once a tick by one thread."""

    def __init__(self, library: Any | None = None) -> None:
        self._nvml = library
        self._cards: list[_Card] = []
        self._open = False
        self._note: str | None = NO_LIBRARY
        self._next_try = 0.0
        self._unsupported: set[tuple[int, str]] = set()

    def read(self, engine_pid: int | None = None) -> tuple[tuple[GpuSample, ...], str | None]:
        """Return all cards, or none and the sentence why. A missing driver is looked for again every 30 s."""
        if not self._open:
            if time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + RETRY_SECONDS
                self._start()
            if not self._open:
                return (), self._note
        samples = tuple(self._sample(card, engine_pid) for card in self._cards)
        if any(card.lost for card in self._cards):
            self._close()  # a card that comes back has a new handle
            lost = ", ".join(f"GPU {card.index}" for card in self._cards if card.lost)
            return (
                samples,
                f"{lost} stopped answering: the driver lost it. It is looked for again every 30 s.",
            )
        return samples, None

    def close(self) -> None:
        """Let NVML go."""
        self._close()

    def _start(self) -> None:
        if self._nvml is None:
            try:
                import pynvml
            except ImportError:
                self._note = "The package nvidia-ml-py is not installed, so there are no GPU graphs."
                return
            self._nvml = pynvml
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            self._note = _why_no_driver(nvml, error)
            return
        try:
            count = int(nvml.nvmlDeviceGetCount())
            self._cards = [self._card(index) for index in range(count)]
        except nvml.NVMLError as error:
            self._note = f"The NVIDIA driver does not list its GPUs: {error}."
            self._shut()
            return
        if not self._cards:
            self._note = NO_GPU
            self._shut()
            return
        self._unsupported.clear()
        self._open = True

    def _card(self, index: int) -> _Card:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)  # type: ignore[union-attr]  # set by _start
        return _Card(
            index=index,
            handle=handle,
            uuid=_text(self._nvml.nvmlDeviceGetUUID(handle)),  # type: ignore[union-attr]  # as above
            name=_text(self._nvml.nvmlDeviceGetName(handle)),  # type: ignore[union-attr]  # as above
        )

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._shut()

    def _shut(self) -> None:
        with contextlib.suppress(self._nvml.NVMLError):  # type: ignore[union-attr]  # open means it is set
            self._nvml.nvmlShutdown()  # type: ignore[union-attr]  # as above

    def _ask(self, card: _Card, what: str, call: Callable[[], T]) -> T | None:
        """Return what NVML says, None if this card does not know; mark the card lost if it is gone."""
        if card.lost or (card.index, what) in self._unsupported:
            return None
        nvml: Any = self._nvml
        try:
            return call()
        except nvml.NVMLError as error:
            code = getattr(error, "value", None)
            if code in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNKNOWN, nvml.NVML_ERROR_UNINITIALIZED):
                card.lost = True
            elif code in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                self._unsupported.add((card.index, what))  # it costs a call each tick to hear the same no
            return None

    def _sample(self, card: _Card, engine_pid: int | None) -> GpuSample:
        nvml, handle = self._nvml, card.handle
        assert nvml is not None
        memory = self._ask(card, "memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        load = self._ask(card, "load", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        power = self._ask(card, "power", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        limit = self._ask(card, "limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        heat = self._ask(
            card, "heat", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        )
        sm = self._ask(card, "sm", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        mem_clock = self._ask(card, "mem", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM))
        generation = self._ask(card, "gen", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle))
        width = self._ask(card, "width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))
        if time.monotonic() - card.pcie_read_at >= PCIE_SECONDS:
            card.pcie_read_at = time.monotonic()
            card.pcie = self._pcie(card, "rx"), self._pcie(card, "tx")
        rx, tx = card.pcie
        own = self._engine_memory(card, engine_pid)
        throttles = self._throttles(card)
        return GpuSample(
            index=card.index,
            uuid=card.uuid,
            name=card.name,
            memory_total_bytes=_whole(getattr(memory, "total", None)),
            memory_used_bytes=_whole(getattr(memory, "used", None)),
            engine_memory_bytes=own,
            utilisation_percent=_real(getattr(load, "gpu", None)),
            memory_utilisation_percent=_real(getattr(load, "memory", None)),
            power_watts=None if power is None else power / 1000,
            power_limit_watts=None if limit is None else limit / 1000,
            temperature_celsius=_real(heat),
            sm_clock_mhz=_real(sm),
            memory_clock_mhz=_real(mem_clock),
            pcie_rx_bytes_per_second=rx,
            pcie_tx_bytes_per_second=tx,
            pcie_generation=_whole(generation),
            pcie_width=_whole(width),
            throttle_reasons=throttles,
            lost=card.lost,
        )

    def _pcie(self, card: _Card, way: str) -> float | None:
        nvml: Any = self._nvml
        counter = nvml.NVML_PCIE_UTIL_RX_BYTES if way == "rx" else nvml.NVML_PCIE_UTIL_TX_BYTES
        kib = self._ask(card, way, lambda: nvml.nvmlDeviceGetPcieThroughput(card.handle, counter))
        return None if kib is None else float(kib) * 1024  # NVML counts in KB over the last 20 ms

    def _engine_memory(self, card: _Card, pid: int | None) -> int | None:
        if pid is None:
            return None
        nvml: Any = self._nvml
        running = self._ask(card, "processes", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(card.handle))
        if running is None:
            return None
        own = [process for process in running if process.pid == pid]
        if not own:
            return None  # not on this card, or the driver shows other pids than ours (containers)
        # None under Windows' WDDM: the driver does not say per process.
        told = [process.usedGpuMemory for process in own]
        return None if any(value is None for value in told) else sum(int(value) for value in told)

    def _throttles(self, card: _Card) -> tuple[str, ...]:
        nvml: Any = self._nvml
        bits = self._ask(
            card, "throttle", lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card.handle)
        )
        if not bits:
            return ()
        words = [word for name, word in THROTTLES if bits & int(getattr(nvml, name, 0))]
        return tuple(dict.fromkeys(words))


def _why_no_driver(nvml: Any, error: Exception) -> str:
    code = getattr(error, "value", None)
    if code in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
        return NO_LIBRARY
    if code == nvml.NVML_ERROR_NO_PERMISSION:
        return "The NVIDIA driver refuses this user, so there are no GPU graphs."
    return f"The NVIDIA driver does not answer: {error}."


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _real(value: Any) -> float | None:
    return None if value is None else float(value)
