"""What stays of the samples: the last hour in memory at full rate, a day on disk as lows and highs of ten seconds."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.shared.history import Floats, History, bucketed
from app.shared.telemetry import Marker, TelemetryHistory

MEMORY_SECONDS = 3600.0
DISK_SECONDS = 24 * 3600.0
BUCKET_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (at REAL PRIMARY KEY, numbers TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS markers (at REAL NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS markers_at ON markers (at);
"""


class Record:
    """Samples and markers over time. Thread-safe. Raises `sqlite3.Error` where the disk refuses; memory goes on."""

    def __init__(self, folder: Path, *, hertz: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._memory = History(capacity=int(MEMORY_SECONDS * 10))
        self._memory.interval_seconds = 1 / hertz
        self._bucket_start: float | None = None
        self._bucket_row = 0
        self._trimmed_at = 0.0
        self._db = _opened(folder / "history.db")

    @property
    def interval_seconds(self) -> float:
        return self._memory.interval_seconds

    @interval_seconds.setter
    def interval_seconds(self, seconds: float) -> None:
        self._memory.interval_seconds = seconds

    def close(self) -> None:
        """Write the bucket under way and let the file go."""
        with self._lock:
            try:
                self._write_bucket()
            finally:
                self._db.close()

    def add(self, at: float, numbers: Mapping[str, float]) -> None:
        """Keep a sample; every ten seconds the bucket goes to the disk."""
        with self._lock:
            rows = len(self._memory)
            if not self._memory.append(at, numbers):
                return  # the clock was set back; what is drawn must rise
            if len(self._memory) < rows:
                self._bucket_row = max(0, self._bucket_row - (rows - len(self._memory) + 1))
            if self._bucket_start is None:
                self._bucket_start = at
            elif at - self._bucket_start >= BUCKET_SECONDS:
                self._bucket_start = at
                self._write_bucket()

    def add_marker(self, marker: Marker) -> None:
        """Keep a marker."""
        with self._lock, self._db:
            self._db.execute("INSERT INTO markers VALUES (?, ?, ?)", (marker.at, marker.kind, marker.label))

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        """Return the markers between two Unix times, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT at, kind, label FROM markers WHERE at BETWEEN ? AND ? ORDER BY at", (since, until)
            ).fetchall()
        return tuple(Marker(at=at, kind=kind, label=label) for at, kind, label in rows)

    def history(self, since: float, until: float, points: int) -> TelemetryHistory:
        """Return the stretch thinned to about `points` rows."""
        at, columns = self._stretch(since, until)
        thin_at, thin_columns = bucketed(at, columns, points=points)
        return TelemetryHistory(
            since=since,
            until=until,
            interval_seconds=self._memory.interval_seconds,
            at=tuple(thin_at.tolist()),
            columns={
                name: tuple(None if value != value else value for value in values.tolist())
                for name, values in sorted(thin_columns.items())
            },
        )

    def rows(self, since: float, until: float) -> Iterator[tuple[float, dict[str, float]]]:
        """Yield the stretch unthinned, as far as it is kept: lows and highs of ten seconds older than an hour."""
        at, columns = self._stretch(since, until)
        for row, moment in enumerate(at.tolist()):
            yield (
                moment,
                {name: float(values[row]) for name, values in columns.items() if values[row] == values[row]},
            )

    def values(self, name: str, since: float, until: float) -> tuple[Floats, Floats]:
        """Return times and values of a column from memory; NaN where it is missing. Copies."""
        with self._lock:
            times = self._memory.at
            inside = (times >= since) & (times <= until)
            return times[inside].copy(), self._memory.column(name)[inside].copy()

    def column_names(self) -> frozenset[str]:
        """Return the columns in memory."""
        with self._lock:
            return self._memory.names

    def _stretch(self, since: float, until: float) -> tuple[Floats, dict[str, Floats]]:
        with self._lock:
            times = self._memory.at
            oldest = float(times[0]) if len(times) else time.time() + 1.0
            stored = self._db.execute(
                "SELECT at, numbers FROM samples WHERE at >= ? AND at <= ? AND at < ? ORDER BY at",
                (since, until, oldest),
            ).fetchall()
            merged = History(capacity=10_000_000)
            for at, numbers in stored:
                merged.append(at, json.loads(numbers))
            inside = (times >= since) & (times <= until)
            kept_at = times[inside].copy()
            kept = {name: self._memory.column(name)[inside].copy() for name in self._memory.names}
        if not len(merged):
            return kept_at, kept
        import numpy as np

        names = merged.names | kept.keys()
        missing = np.full(len(kept_at), np.nan)
        columns = {name: np.concatenate([merged.column(name), kept.get(name, missing)]) for name in names}
        return np.concatenate([merged.at, kept_at]), columns

    def _write_bucket(self) -> None:
        times = self._memory.at[self._bucket_row :]
        columns = {name: self._memory.column(name)[self._bucket_row :] for name in self._memory.names}
        self._bucket_row = len(self._memory)
        if not len(times):
            return
        at, thinned = bucketed(times, columns, points=2)
        rows = [
            (
                float(moment),
                json.dumps(
                    {name: round(float(v[row]), 3) for name, v in thinned.items() if v[row] == v[row]},
                    separators=(",", ":"),
                ),
            )
            for row, moment in enumerate(at)
        ]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?)", rows)
            if times[-1] - self._trimmed_at > 600:
                self._trimmed_at = float(times[-1])
                oldest = self._trimmed_at - DISK_SECONDS
                self._db.execute("DELETE FROM samples WHERE at < ?", (oldest,))
                self._db.execute("DELETE FROM markers WHERE at < ?", (oldest,))


def _opened(file: Path) -> sqlite3.Connection:
    """Open the day's file; a damaged one is set aside, because samples are worth less than a service that starts."""
    try:
        return _prepared(file)
    except sqlite3.DatabaseError:
        file.replace(file.with_name(file.name + ".damaged"))
        return _prepared(file)


def _prepared(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, timeout=2.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
