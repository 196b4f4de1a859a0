"""The one thread that looks at the machine: on an absolute schedule, so that it neither drifts nor bunches up.

A tick that takes longer than the interval skips the ticks it missed. Each sample is published, kept for an hour in
memory and thinned for a day on disk. A disk that fails costs the day, not the sampling.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeGuard

import numpy as np

from app.service.telemetry.history_file import HistoryFile
from app.service.telemetry.host import HostReader, ProcessReader
from app.service.telemetry.nvml import GpuReader
from app.service.telemetry.ring import Columns, Ring, thinned
from app.shared.errors import BadValue, PultError, StorageFailed
from app.shared.events import Event, MarkerAdded, Problem, Telemetry
from app.shared.telemetry import EngineSample, Marker, TelemetryHistory, TelemetrySample, sample_columns

LOWEST_HERTZ, HIGHEST_HERTZ, USUAL_HERTZ = 0.2, 10.0, 2.0
MOST_POINTS = 20_000
_CSV_ROWS = 500

_log = logging.getLogger(__name__)


class Sampler:
    """Samples GPUs, host, processes and engine at `rate` hertz between `start()` and `stop()`.

    `engine_pid` and `engine_sample` are asked at every tick and must not block. `clock` is Unix time. `hertz` is
    the rate that was remembered; what is no rate gives the usual two.
    """

    def __init__(
        self,
        *,
        publish: Callable[[Event], None],
        engine_pid: Callable[[], int | None],
        engine_sample: Callable[[], EngineSample],
        folder: Path,
        hertz: object = None,
        gpus: GpuReader | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._engine_pid, self._engine_sample = engine_pid, engine_sample
        self._folder = folder
        self._gpus = gpus if gpus is not None else GpuReader()
        self._host, self._processes = HostReader(), ProcessReader()
        self._processes.watch("service", os.getpid())
        self._clock = clock
        self._hertz = float(hertz) if _is_rate(hertz) else USUAL_HERTZ
        self._wake = threading.Condition()
        self._running = False
        self._rate_changed = False
        self._thread: threading.Thread | None = None
        self._ring = Ring()
        self._file: HistoryFile | None = None
        self._file_failed = False
        self._fresh_markers: list[Marker] = []  # those the file could not take
        self._latest: TelemetrySample | None = None
        self._lost: set[str] = set()
        self._fault: str | None = None

    # ---- running

    def start(self) -> None:
        """Begin sampling; the first sample comes at once."""
        if self._thread is not None:
            return
        self._file = self._open_file()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End sampling and write what is held. Returns when the thread has ended."""
        with self._wake:
            self._running = False
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(10.0)
            self._thread = None
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except (sqlite3.Error, OSError) as error:
                self._file_problem(error)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self._hertz

    def set_rate(self, hertz: float) -> None:
        """Sample this often from now on. Raises `BadValue` outside 0.2 to 10."""
        if not _is_rate(hertz):
            raise BadValue(
                "The sampling rate is {value} per second. It takes 0.2 to 10.",
                key="hertz",
                value=float(hertz),
            )
        with self._wake:
            self._hertz = float(hertz)
            self._rate_changed = True
            self._wake.notify_all()

    def add_process(self, role: str, pid: int) -> None:
        """Measure this process too, under its role, until it ends."""
        self._processes.watch(role, pid)

    def latest(self) -> TelemetrySample | None:
        """Return the last sample; None before the first."""
        return self._latest

    def _run(self) -> None:
        due = time.monotonic()
        while self._running:
            self._tick()
            with self._wake:
                interval = 1.0 / self._hertz
                due += interval
                now = time.monotonic()
                if due < now:  # a slow tick or a sleeping computer: skip what was missed, keep the beat
                    due += math.ceil((now - due) / interval) * interval
                while self._running and (rest := due - time.monotonic()) > 0:
                    self._wake.wait(rest)
                    if self._rate_changed:
                        self._rate_changed = False
                        due = time.monotonic()

    def _tick(self) -> None:
        try:
            sample = self.sample()
        except Exception as error:  # noqa: BLE001 - a border: the thread outlives what a driver throws
            fault = f"{type(error).__name__}: {error}"
            if fault != self._fault:
                self._fault = fault
                _log.exception("The sampler could not read the machine.")
                self._publish(Problem(error=PultError("Telemetry failed: {reason}", reason=fault).info()))
            return
        self._fault = None
        self._latest = sample
        numbers = sample_columns(sample)
        self._ring.append(sample.at, numbers)
        self._publish(Telemetry(sample=sample))
        self._tell_lost(sample)
        if self._file is not None:
            try:
                self._file.append(sample.at, numbers)
                self._file_failed = False
            except (sqlite3.Error, OSError) as error:
                self._file_problem(error)

    def sample(self) -> TelemetrySample:
        """Read everything once, now."""
        at = self._clock()  # before NVML's PCIe measurement, which takes 40 ms now and then
        pid = self._engine_pid()
        gpus = self._gpus.read(engine_pid=pid, interval_seconds=1.0 / self._hertz)
        return TelemetrySample(
            at=at,
            gpus=gpus,
            gpu_note=self._gpus.note,
            host=self._host.read(),
            processes=self._processes.read(engine_pid=pid),
            engine=self._engine_sample(),
        )

    def _tell_lost(self, sample: TelemetrySample) -> None:
        lost = {gpu.uuid for gpu in sample.gpus if gpu.lost}
        for gpu in sample.gpus:
            if gpu.lost and gpu.uuid not in self._lost:
                error = PultError(
                    "GPU {index}, {name}, stopped answering. What runs on it will fail; the driver or the computer"
                    " may need a restart. Pult looks for it again every ten seconds.",
                    index=str(gpu.index),
                    name=gpu.name,
                    remedies=("log",),
                )
                self._publish(Problem(error=error.info()))
                self.add_marker("error", f"GPU {gpu.index} lost")
        self._lost = lost

    # ---- what was seen

    def history(self, since: float, until: float, points: int = 1500) -> TelemetryHistory:
        """Return the samples between two Unix times as columns of at most about `points` rows.

        The last hour comes from memory at full rate, what is older from disk. Raises `BadValue` for a wrong stretch.
        """
        _check_stretch(since, until)
        if not 2 <= points <= MOST_POINTS:
            raise BadValue("points is {value}. It takes 2 to 20,000.", key="points", value=points)
        rows = thinned(self._rows(since, until), points=points)
        return TelemetryHistory(
            since=since,
            until=until,
            interval_seconds=1.0 / self._hertz,
            at=tuple(rows.at.tolist()),
            columns={
                name: tuple(None if value != value else value for value in values.tolist())
                for name, values in sorted(rows.columns.items())
                if not np.isnan(values).all()
            },
        )

    def csv(self, since: float, until: float) -> Iterator[str]:
        """Yield the same stretch unthinned as CSV in pieces of some hundred lines.

        Columns: time (ISO 8601, UTC), unix_seconds, then those of `sample_columns`; an empty cell is "not said". Rows
        older than an hour are five seconds' smallest and largest values.
        """
        _check_stretch(since, until)
        rows = self._rows(since, until)
        names = sorted(name for name, values in rows.columns.items() if not np.isnan(values).all())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["time", "unix_seconds", *names])
        for begin in range(0, len(rows), _CSV_ROWS):
            end = min(begin + _CSV_ROWS, len(rows))
            columns = [rows.columns[name][begin:end].tolist() for name in names]
            for place, at in enumerate(rows.at[begin:end].tolist()):
                moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
                cells = (_cell(column[place]) for column in columns)
                writer.writerow([moment, f"{at:.3f}", *cells])
            yield text.getvalue()
            text.seek(0)
            text.truncate()
        yield text.getvalue()

    def _rows(self, since: float, until: float) -> Columns:
        recent = self._ring.between(since, until)
        oldest = self._ring.oldest
        until_disk = until if oldest is None else min(until, oldest)
        if self._file is None or until_disk <= since:
            return recent
        try:
            older = self._file.between(since, until_disk)
        except (sqlite3.Error, OSError) as error:
            self._file_problem(error)
            return recent
        keep = (older.at >= since) & (older.at < until_disk)
        older = Columns(older.at[keep], {name: column[keep] for name, column in older.columns.items()})
        return older.then(recent)

    def energy_joules(self, since: float, until: float) -> float | None:
        """Return the energy all GPUs took between two Unix times; None where power is not measured."""
        rows = self._ring.between(since, until, outside=1)
        powers = [values for name, values in rows.columns.items() if _of_gpu(name, "power")]
        if not powers or until <= since:
            return None
        total = np.sum(np.nan_to_num(np.stack(powers)), axis=0)
        said = np.isfinite(np.stack(powers)).any(axis=0)
        at, watts = rows.at[said], total[said]
        if not len(at):
            return None
        inside = at[(at > since) & (at < until)]
        moments = np.concatenate([[since], inside, [until]])
        return float(np.trapezoid(np.interp(moments, at, watts), moments))

    def peak_vram_bytes(self, since: float, until: float) -> int | None:
        """Return the most memory that was in use on all GPUs together between two Unix times; None without GPUs."""
        rows = self._ring.between(since, until, outside=1)
        used = [values for name, values in rows.columns.items() if _of_gpu(name, "memory")]
        if not used or not len(rows):
            return None
        total = np.nansum(np.stack(used), axis=0)
        return int(total.max()) if total.max() > 0 else None

    # ---- markers

    def add_marker(self, kind: str, label: str) -> Marker:
        """Keep and publish that something happened now."""
        marker = Marker(at=self._clock(), kind=kind, label=label)
        try:
            if self._file is None:
                raise sqlite3.OperationalError("no file is open")
            self._file.add_marker(marker)
        except (sqlite3.Error, OSError):
            self._fresh_markers = [*self._fresh_markers[-999:], marker]
        self._publish(MarkerAdded(marker=marker))
        return marker

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        """Return what happened between two Unix times, oldest first."""
        kept: tuple[Marker, ...] = ()
        if self._file is not None:
            try:
                kept = self._file.markers(since, until)
            except (sqlite3.Error, OSError) as error:
                self._file_problem(error)
        held = (marker for marker in self._fresh_markers if since <= marker.at <= until)
        return tuple(sorted((*kept, *held), key=lambda marker: marker.at))

    # ---- the file

    def _open_file(self) -> HistoryFile | None:
        path = self._folder / "history.db"
        try:
            return HistoryFile(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                self._file_problem(error)
                return None
            # Damaged: put it aside, so that telemetry goes on and the file can still be looked at.
            try:
                path.replace(path.with_suffix(f".damaged-{int(self._clock())}"))
                return HistoryFile(path)
            except (sqlite3.Error, OSError) as second:
                self._file_problem(second)
                return None
        except OSError as error:
            self._file_problem(error)
            return None

    def _file_problem(self, error: Exception) -> None:
        if self._file_failed:
            return  # said already; said again after it worked in between
        self._file_failed = True
        problem = StorageFailed(
            "Telemetry cannot be kept in {folder}: {reason}. The last hour stays in memory; older graphs are missing.",
            folder=str(self._folder),
            reason=str(error).strip().rstrip(".") or type(error).__name__,
        )
        self._publish(Problem(error=problem.info()))


def _is_rate(hertz: object) -> TypeGuard[float]:
    return isinstance(hertz, (int, float)) and LOWEST_HERTZ <= hertz <= HIGHEST_HERTZ  # NaN is not between


def _check_stretch(since: float, until: float) -> None:
    if not (math.isfinite(since) and math.isfinite(until)) or until < since:
        raise BadValue(
            "The stretch of time ends at {until} before it begins at {since}. Both are Unix seconds.",
            key="since",
            since=str(since),
            until=str(until),
        )


def _of_gpu(name: str, what: str) -> bool:
    return name.startswith("gpu") and name.endswith("." + what)


def _cell(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value == int(value) else f"{value:.6g}"
