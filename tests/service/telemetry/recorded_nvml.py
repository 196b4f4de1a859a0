"""A stand-in for the pynvml module that answers from a script, with pynvml's own error classes and constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 1 << 30


@dataclass
class Card:
    """One GPU's answers. A value may be an NVML error code wrapped in `Refusal`."""

    name: str = "NVIDIA H200"
    uuid: str = "GPU-11111111-2222"
    answers: dict[str, Any] = field(default_factory=dict)
    slices: tuple[Card, ...] = ()
    lost: bool = False


@dataclass(frozen=True)
class Refusal:
    code: int


USUAL: dict[str, Any] = {
    "MemoryInfo": SimpleNamespace(total=141 * GIB, used=19 * GIB, free=122 * GIB),
    "UtilizationRates": SimpleNamespace(gpu=87, memory=41),
    "PowerUsage": 412_345,
    "EnforcedPowerLimit": 700_000,
    "Temperature": 54,
    "ClockInfo": 1980,
    "CurrPcieLinkGeneration": 5,
    "CurrPcieLinkWidth": 16,
    "CurrentClocksEventReasons": 0x4 | 0x20,
    "PcieThroughput": 2048,
    "ComputeRunningProcesses": [
        SimpleNamespace(pid=11, usedGpuMemory=3 * GIB),
        SimpleNamespace(pid=4711, usedGpuMemory=18 * GIB),
    ],
}


class RecordedNvml:
    """Use as `GpuReader(library=lambda: recorded)`. `calls` counts what was asked."""

    def __init__(self, *cards: Card, start: int | None = None) -> None:
        self.cards = list(cards)
        self.start = start
        self.calls: dict[str, int] = {}
        self.opened = 0
        self.closed = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML", "nvmlInit")) and not name.startswith("nvmlDevice"):
            return getattr(pynvml, name)
        if name.startswith("nvmlDeviceGet"):
            what = name.removeprefix("nvmlDeviceGet")
            if what == "CurrentClocksThrottleReasons":
                raise AttributeError(name)
            return lambda card, *rest: self._answer(card, what)
        raise AttributeError(name)

    def nvmlInit(self) -> None:
        if self.start is not None:
            raise pynvml.NVMLError(self.start)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> Card:
        if self.cards[number].lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.cards[number]

    def nvmlDeviceGetName(self, card: Card) -> str:
        return card.name

    def nvmlDeviceGetUUID(self, card: Card) -> bytes:
        return card.uuid.encode()  # older libraries answer bytes

    def nvmlDeviceGetMigMode(self, card: Card) -> tuple[int, int]:
        if not card.slices:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, number: int) -> Card:
        if number >= len(card.slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return card.slices[number]

    def _answer(self, card: Card, what: str) -> Any:
        self.calls[what] = self.calls.get(what, 0) + 1
        if card.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        told = card.answers.get(what, USUAL.get(what))
        if isinstance(told, Refusal):
            raise pynvml.NVMLError(told.code)
        return told
