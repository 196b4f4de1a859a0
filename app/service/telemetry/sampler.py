"""The one thread that looks at the machine, on an absolute schedule so that ticks do not drift."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from app.service.telemetry.host import Processes, read_host
from app.service.telemetry.nvml import Nvml
from app.service.telemetry.record import Record
from app.shared.errors import BadValue, StorageFailed
from app.shared.events import Event, MarkerAdded, Problem, Telemetry
from app.shared.telemetry import (
    EngineSample,
    GpuSample,
    Marker,
    TelemetryHistory,
    TelemetrySample,
    sample_columns,
)

DEFAULT_HERTZ = 2.0
SLOWEST_HERTZ, FASTEST_HERTZ = 0.2, 10.0
DISK_RETRY_SECONDS = 60.0


class Gpus(Protocol):
    """What the sampler needs of NVML."""

    def read(self, engine_pid: int | None = None) -> tuple[tuple[GpuSample, ...], str | None]: ...

    def close(self) -> None: ...


class Sampler:
    """Samples at a rate, publishes every sample, keeps a day of them, and answers for any stretch of time."""

    def __init__(
        self,
        *,
        publish: Callable[[Event], None],
        engine_pid: Callable[[], int | None],
        engine_sample: Callable[[], EngineSample],
        folder: Path,
        gpus: Gpus | None = None,
        hertz: float = DEFAULT_HERTZ,
    ) -> None:
        self._publish = publish
        self._engine_pid = engine_pid
        self._engine_sample = engine_sample
        self._gpus = gpus if gpus is not None else Nvml()
        self._processes = Processes()
        self._processes.set("service", os.getpid())
        self._hertz = hertz
        self._record = Record(folder, hertz=hertz)
        self._latest: TelemetrySample | None = None
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._disk_refused_at: float | None = None
        self._lost: frozenset[str] = frozenset()

    # ---- running

    def start(self) -> None:
        """Begin sampling."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End sampling and write what is not on disk yet."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(10)
        self._gpus.close()
        try:
            self._record.close()
        except sqlite3.Error as error:
            self._tell_disk(error)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self._hertz

    def set_rate(self, hertz: float) -> None:
        """Sample this often from the next tick on. Raises `BadValue` outside 0.2…10."""
        if not SLOWEST_HERTZ <= hertz <= FASTEST_HERTZ:
            raise BadValue(
                "The telemetry rate is {value} per second. It takes {low} to {high}.",
                key="hertz",
                value=hertz,
                low=SLOWEST_HERTZ,
                high=FASTEST_HERTZ,
            )
        with self._wake:
            self._hertz = float(hertz)
            self._record.interval_seconds = 1 / self._hertz
            self._wake.notify_all()

    def latest(self) -> TelemetrySample | None:
        """Return the newest sample; None before the first."""
        return self._latest

    def add_process(self, role: str, pid: int | None) -> None:
        """Watch another process of Pult's, such as the window; None stops."""
        self._processes.set(role, pid)

    def sample_now(self) -> TelemetrySample:
        """Take one sample, keep and publish it."""
        pid = self._engine_pid()
        self._processes.set("engine", pid)
        gpus, note = self._gpus.read(pid)
        sample = TelemetrySample(
            at=time.time(),
            gpus=gpus,
            gpu_note=note,
            host=read_host(),
            processes=self._processes.read(),
            engine=self._engine_sample(),
        )
        self._latest = sample
        self._keep(sample)
        self._publish(Telemetry(sample=sample))
        self._tell_lost(gpus)
        return sample

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self.sample_now()
            with self._wake:
                due += 1 / self._hertz
                now = time.monotonic()
                if due < now:
                    due = now + 1 / self._hertz  # the machine slept or a driver hung: skip, do not catch up
                rate = self._hertz
                while not self._stopping and self._hertz == rate and (rest := due - time.monotonic()) > 0:
                    self._wake.wait(rest)
                if self._stopping:
                    return
                if self._hertz != rate:
                    due = time.monotonic()

    def _keep(self, sample: TelemetrySample) -> None:
        try:
            self._record.add(sample.at, sample_columns(sample))
            self._disk_refused_at = None
        except sqlite3.Error as error:
            self._tell_disk(error)

    def _tell_disk(self, error: sqlite3.Error) -> None:
        now = time.monotonic()
        if self._disk_refused_at is not None and now - self._disk_refused_at < DISK_RETRY_SECONDS:
            return
        self._disk_refused_at = now
        self._publish(
            Problem(
                error=StorageFailed(
                    "The telemetry history cannot be written: {reason}. The graphs go on; the last hour is in memory.",
                    reason=str(error),
                ).info()
            )
        )

    def _tell_lost(self, gpus: tuple[GpuSample, ...]) -> None:
        lost = frozenset(gpu.uuid for gpu in gpus if gpu.lost)
        for gpu in gpus:
            if gpu.uuid in lost - self._lost:
                self.add_marker("error", f"GPU {gpu.index} lost")
        self._lost = lost

    # ---- looking back

    def history(self, since: float, until: float, points: int = 1500) -> TelemetryHistory:
        """Return the samples between two Unix times as columns, thinned to about `points` rows."""
        return self._record.history(since, until, points)

    def csv(self, since: float, until: float) -> Iterator[str]:
        """Yield the stretch as CSV lines, the header first: time in ISO 8601, then the columns by name."""
        rows = list(self._record.rows(since, until))
        names = sorted({name for _, numbers in rows for name in numbers})
        yield _csv_line(["time", "unix_seconds", *names])
        for at, numbers in rows:
            moment = dt.datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
            yield _csv_line([moment, f"{at:.3f}", *(_short(numbers.get(name)) for name in names)])

    def add_marker(self, kind: str, label: str) -> Marker:
        """Mark this moment on the time axis."""
        marker = Marker(at=time.time(), kind=kind, label=label)
        try:
            self._record.add_marker(marker)
        except sqlite3.Error as error:
            self._tell_disk(error)
        self._publish(MarkerAdded(marker=marker))
        return marker

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        """Return the markers between two Unix times."""
        return self._record.markers(since, until)

    def energy_joules(self, since: float, until: float) -> float | None:
        """Return what the GPUs took between two Unix times, idle draw included; None without a power reading.

        Trapezoids over the samples; the edges are extended to the stretch with the nearest reading.
        """
        total: float | None = None
        for name in self._columns_ending(".power"):
            joules = self._integral(name, since, until)
            if joules is not None:
                total = (total or 0.0) + joules
        return total

    def peak_vram_bytes(self, since: float, until: float) -> int | None:
        """Return the most memory in use on all GPUs together at any sample of the stretch; None without a GPU."""
        air = 1 / self._hertz
        names = self._columns_ending(".memory")
        series = [self._record.values(name, since - air, until + air)[1] for name in names]
        series = [values for values in series if len(values) and np.isfinite(values).any()]
        if not series:
            return None
        return int(np.nanmax(np.nansum(np.vstack(series), axis=0)))

    def _columns_ending(self, ending: str) -> list[str]:
        names = self._record.column_names()
        return sorted(name for name in names if name.startswith("gpu") and name.endswith(ending))

    def _integral(self, name: str, since: float, until: float) -> float | None:
        air = 2 / self._hertz
        at, values = self._record.values(name, since - air, until + air)
        finite = np.isfinite(values)
        at, values = at[finite], values[finite]
        if not len(at) or until <= since:
            return None
        grid = np.unique(np.concatenate([at[(at > since) & (at < until)], [since, until]]))
        return float(np.trapezoid(np.interp(grid, at, values), grid))


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"
