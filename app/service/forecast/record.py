"""What loads on this machine taught: how far forecasts were off, and what comes on top of llama.cpp's own account.

One JSON file in the data folder, written after each load. A file that cannot be read is started anew; one that cannot be
written costs the memory of it, not the load.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median

from pydantic import BaseModel, ConfigDict, ValidationError

from app.shared.atomic_file import write_atomically
from app.shared.errors import StorageFailed
from app.shared.forecast import DeviceError, ForecastError, ForecastRecord
from app.shared.units import MIB

MOST_RECORDS = 200
SHOWN_RECORDS = 50
_OF_THIS_MODEL, _OF_ANY = 5, 20

# Before the first load here: an H200 took 594 MiB for CUDA's context and the first step's buffers; the worker's own program
# took 42 MiB of RAM, and CUDA's part of it 219 MiB more.
USUAL_GPU_BYTES = 600 * MIB
USUAL_RAM_BYTES = 42 * MIB
USUAL_DRIVER_RAM_BYTES = 219 * MIB


class LearntLoad(BaseModel):
    """One device's share of one load: the record, and what was measured beyond llama.cpp's account of it."""

    model_config = ConfigDict(frozen=True)

    record: ForecastRecord
    overhead_bytes: int


class _File(BaseModel):
    version: int = 1
    loads: tuple[LearntLoad, ...] = ()


class LoadRecords:
    """The records, newest last. Safe from any thread. `log` hears of a file that cannot be read or written."""

    def __init__(self, path: Path, *, log: Callable[[str], None] = lambda text: None) -> None:
        self._path, self._log = path, log
        self._lock = threading.Lock()
        self._loads: list[LearntLoad] = self._read()

    def add(self, loads: Sequence[LearntLoad]) -> None:
        """Remember one load's devices."""
        with self._lock:
            self._loads = [*self._loads, *loads][-MOST_RECORDS:]
            text = _File(loads=tuple(self._loads)).model_dump_json()
            try:
                write_atomically(self._path, text)
            except StorageFailed as error:
                self._log(error.sentence)

    def overhead_bytes(self, device: str, kind: str, model: str, *, driver: bool = False) -> tuple[int, bool]:
        """Return what to expect on top of llama.cpp's account, and whether that was measured on this machine.

        `driver`: the engine's program brings a GPU driver along, which takes RAM too.
        """
        with self._lock:
            exact = [load for load in self._loads if load.record.exact and load.record.device == device]
        same = [load.overhead_bytes for load in exact if load.record.model == model][-_OF_THIS_MODEL:]
        found = same or [load.overhead_bytes for load in exact][-_OF_ANY:]
        if found:
            return max(0, int(median(found))), True
        if kind == "gpu":
            return USUAL_GPU_BYTES, False
        return USUAL_RAM_BYTES + (USUAL_DRIVER_RAM_BYTES if driver else 0), False

    def error(self) -> ForecastError:
        """Return the running error by device, and the latest records."""
        with self._lock:
            records = [load.record for load in self._loads][-SHOWN_RECORDS:]
        devices = []
        for device in dict.fromkeys(record.device for record in records):
            mine = [record for record in records if record.device == device]
            errors = [record.error_percent for record in mine]
            devices.append(
                DeviceError(
                    device=device,
                    kind=mine[-1].kind,
                    count=len(mine),
                    mean_percent=fmean(abs(error) for error in errors),
                    worst_percent=max(errors, key=abs),
                    last_percent=errors[-1],
                )
            )
        return ForecastError(devices=tuple(devices), records=tuple(records))

    def _read(self) -> list[LearntLoad]:
        try:
            return list(_File.model_validate_json(self._path.read_bytes()).loads)
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            self._log(
                f"What loads taught about memory cannot be read from {self._path} and starts anew: {error}"
            )
            return []
