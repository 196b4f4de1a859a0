"""What this machine's memory looks like now: free and used by device, and what one process holds of it."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from app.forecast.layout import Gpu
from app.service.free_ram import free_ram_bytes
from app.service.telemetry.nvml import GpuReader
from app.shared.telemetry import GpuSample

_CUDA = re.compile(r"^CUDA(\d+)$")


@dataclass(frozen=True)
class GpuNow:
    """One GPU by llama.cpp's name. `process_bytes` is what the asked process holds; None where the driver does not say."""

    name: str
    description: str
    total_bytes: int
    used_bytes: int
    process_bytes: int | None = None

    @property
    def free_bytes(self) -> int:
        return max(0, self.total_bytes - self.used_bytes)


class Machine:
    """Reads memory. Safe from any thread; NVML is asked by one at a time."""

    def __init__(self, reader: GpuReader | None = None) -> None:
        self._reader = reader or GpuReader()
        self._lock = threading.Lock()

    def gpus(self, known: Sequence[Gpu] = (), *, pid: int | None = None) -> dict[str, GpuNow]:
        """Return NVIDIA's GPUs by the names that llama.cpp gives them.

        `known` are llama.cpp's devices: a GPU of another name at that place is not taken for it. Other makes' GPUs are absent.
        """
        with self._lock:
            rows = self._reader.read(engine_pid=pid, interval_seconds=0.0)
        words = {gpu.name: gpu.description for gpu in known}
        found: dict[str, GpuNow] = {}
        for number, row in enumerate(_visible(rows)):
            name = f"CUDA{number}"
            total, used = row.memory_total_bytes, row.memory_used_bytes
            if row.lost or total is None or used is None or words.get(name, row.name) not in (row.name, ""):
                continue
            found[name] = GpuNow(name, row.name, total, used, row.engine_memory_bytes)
        return found

    def close(self) -> None:
        """Let go of NVML."""
        with self._lock:
            self._reader.close()

    @staticmethod
    def ram() -> tuple[int, int]:
        """Return free and all RAM; mapped files count as free, since the system takes them back."""
        return free_ram_bytes(), int(psutil.virtual_memory().total)


def anonymous_bytes(pid: int) -> int | None:
    """Return the RAM that a process holds for itself, mapped files not counted; None when it is gone or hidden.

    Linux: resident less shared (files and shared memory). Windows: private bytes. macOS: unique set size.
    """
    try:
        process = psutil.Process(pid)
        platform: str = sys.platform  # the checker knows only the platform it runs on
        if platform == "linux":
            told = process.memory_info()
            return int(told.rss - told.shared)
        if platform == "win32":
            return int(getattr(process.memory_info(), "private"))  # noqa: B009 - the checker knows only Linux's fields
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return None


def is_cuda(name: str) -> bool:
    """Whether llama.cpp's name is of a device that NVML can be asked about."""
    return _CUDA.match(name) is not None


def _visible(rows: Sequence[GpuSample]) -> list[GpuSample]:
    """Return the rows in CUDA's numbering: CUDA_VISIBLE_DEVICES picks and orders them."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(rows)
    chosen: list[GpuSample] = []
    for word in (part.strip() for part in wanted.split(",")):
        match = [
            row for row in rows if word == str(row.index) or (len(word) > 6 and row.uuid.startswith(word))
        ]
        if not match:
            break  # CUDA ignores everything from the first device that is not there
        chosen.append(match[0])
    return chosen
