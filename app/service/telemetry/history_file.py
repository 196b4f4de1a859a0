"""The last day on disk: every five seconds one row with each column's smallest and largest value; and the markers.

SQLite in WAL mode. The bucket being filled is written along, so a killed service loses its last tick only.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.service.telemetry.ring import Columns, Floats
from app.shared.telemetry import Marker

BUCKET_SECONDS = 5.0
KEEP_SECONDS = 24 * 3600.0
KEEP_MARKERS_SECONDS = 30 * 24 * 3600.0
WRITE_SECONDS = 0.45  # the open bucket is written no oftener
TIDY_SECONDS = 600.0

_CELL = struct.Struct(
    "<Hdd"
)  # a column's number; its smallest and largest value, the one that came first first

_SCHEMA = """
CREATE TABLE IF NOT EXISTS columns (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS buckets (start REAL PRIMARY KEY, until REAL NOT NULL, cells BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS markers (at REAL NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS markers_at ON markers (at);
"""


class _Extent:
    """Smallest and largest value of one column in the open bucket, and which came first."""

    __slots__ = ("high", "high_first", "low")

    def __init__(self, value: float) -> None:
        self.low = self.high = value
        self.high_first = False

    def take(self, value: float) -> None:
        if value < self.low:
            self.low, self.high_first = value, True
        elif value > self.high:
            self.high, self.high_first = value, False

    def pair(self) -> tuple[float, float]:
        return (self.high, self.low) if self.high_first else (self.low, self.high)


class HistoryFile:
    """Writes from the sampler's thread, reads from any. Every method may raise `sqlite3.Error` or `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = self._connect()
        self._db.executescript(_SCHEMA)
        self._numbers = {str(name): int(number) for number, name in self._db.execute("SELECT * FROM columns")}
        self._start = self._until = self._written_at = self._tidied_at = float("-inf")
        self._extents: dict[str, _Extent] = {}

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=2.0, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    def append(self, at: float, numbers: Mapping[str, float]) -> None:
        """Take a sample into the open bucket and write it, half a second apart at the closest."""
        with self._lock:
            if not self._start <= at < self._start + BUCKET_SECONDS:
                self._write()
                self._start, self._extents = at, {}
                if at - self._tidied_at > TIDY_SECONDS:
                    self._tidy(at)
            self._until = at
            for name, value in numbers.items():
                extent = self._extents.get(name)
                if extent is None:
                    self._extents[name] = _Extent(value)
                else:
                    extent.take(value)
            if at - self._written_at >= WRITE_SECONDS or at < self._written_at:
                self._write()

    def _write(self) -> None:
        if not self._extents:
            return
        self._written_at = self._until
        cells = b"".join(
            _CELL.pack(self._number(name), *extent.pair()) for name, extent in self._extents.items()
        )
        self._db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", (self._start, self._until, cells))

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO columns (name) VALUES (?)", (name,))
            (number,) = self._db.execute("SELECT number FROM columns WHERE name = ?", (name,)).fetchone()
            self._numbers[name] = int(number)
        return self._numbers[name]

    def _tidy(self, now: float) -> None:
        self._tidied_at = now
        self._db.execute("DELETE FROM buckets WHERE start < ?", (now - KEEP_SECONDS,))
        self._db.execute("DELETE FROM markers WHERE at < ?", (now - KEEP_MARKERS_SECONDS,))

    def add_marker(self, marker: Marker) -> None:
        """Keep a marker."""
        with self._lock:
            self._db.execute("INSERT INTO markers VALUES (?, ?, ?)", (marker.at, marker.kind, marker.label))

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        """Return the markers between two times, oldest first."""
        with contextlib.closing(self._connect()) as db:
            rows = db.execute(
                "SELECT at, kind, label FROM markers WHERE at BETWEEN ? AND ? ORDER BY at LIMIT 5000",
                (since, until),
            ).fetchall()
        return tuple(Marker(at=at, kind=kind, label=label) for at, kind, label in rows)

    def between(self, since: float, until: float) -> Columns:
        """Return two rows a bucket, with the smallest and the largest value in the order in which they came."""
        with contextlib.closing(self._connect()) as db:
            names = {int(number): str(name) for number, name in db.execute("SELECT * FROM columns")}
            rows = db.execute(
                "SELECT start, until, cells FROM buckets WHERE until >= ? AND start <= ? ORDER BY start",
                (since, until),
            ).fetchall()
        # A bucket of one sample ends when it starts; its second row follows at once and says the same.
        at = np.array(
            [time for start, end, _ in rows for time in (start, max(end, start + 1e-3))], dtype=np.float64
        )
        columns: dict[str, Floats] = {}
        for place, (_, _, cells) in enumerate(rows):
            for number, first, second in _CELL.iter_unpack(cells):
                column = columns.get(names[number])
                if column is None:
                    column = columns[names[number]] = np.full(2 * len(rows), np.nan)
                column[2 * place], column[2 * place + 1] = first, second
        order = np.argsort(at, kind="stable")  # two services at once interleave
        return Columns(at[order], {name: column[order] for name, column in columns.items()})

    def close(self) -> None:
        """Write what is open and close."""
        with self._lock:
            try:
                self._write()
            finally:
                self._db.close()
