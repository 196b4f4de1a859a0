"""The last hour of samples at full rate, in memory, as columns; and how columns are thinned. NaN is "not said"."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Rows over rising Unix times; every column is as long as `at`."""

    at: Floats
    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.at)

    def then(self, later: Columns) -> Columns:
        """Return these rows followed by later ones; a column that one side lacks is NaN there."""
        if not len(later):
            return self
        if not len(self):
            return later
        joined = {
            name: np.concatenate([_column(self, name), _column(later, name)])
            for name in sorted(self.columns.keys() | later.columns.keys())
        }
        return Columns(np.concatenate([self.at, later.at]), joined)


def _column(rows: Columns, name: str) -> Floats:
    found = rows.columns.get(name)
    return found if found is not None else np.full(len(rows), np.nan)


class Ring:
    """Rows of the last `keep_seconds`. Appending costs microseconds; safe from several threads."""

    def __init__(self, *, keep_seconds: float = 3600.0) -> None:
        self.keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._first = self._end = 0
        self._at = np.empty(1024)
        self._columns: dict[str, Floats] = {}

    def append(self, at: float, numbers: Mapping[str, float]) -> None:
        """Add a row; times that do not rise (the clock was set back) start the ring anew."""
        with self._lock:
            if self._end > self._first and at <= self._at[self._end - 1]:
                self._first = self._end = 0
                self._columns.clear()
            while self._first < self._end and self._at[self._first] < at - self.keep_seconds:
                self._first += 1
            if self._end == len(self._at):
                self._make_room()
            self._at[self._end] = at
            for name in numbers.keys() - self._columns.keys():
                self._columns[name] = np.full(len(self._at), np.nan)
            for name, column in self._columns.items():
                column[self._end] = numbers.get(name, np.nan)
            self._end += 1

    def between(self, since: float, until: float, *, outside: int = 0) -> Columns:
        """Return the rows between two times and up to `outside` more on each side."""
        with self._lock:
            at = self._at[self._first : self._end]
            low = max(0, int(np.searchsorted(at, since)) - outside) + self._first
            high = min(len(at), int(np.searchsorted(at, until, side="right")) + outside) + self._first
            columns = {name: column[low:high].copy() for name, column in self._columns.items()}
            return Columns(self._at[low:high].copy(), columns)

    @property
    def oldest(self) -> float | None:
        """The first row's time."""
        with self._lock:
            return float(self._at[self._first]) if self._end > self._first else None

    def _make_room(self) -> None:
        rows = self._end - self._first
        size = len(self._at) if self._first > len(self._at) // 4 else 2 * len(self._at)
        at = np.empty(size)
        at[:rows] = self._at[self._first : self._end]
        for name, column in self._columns.items():
            moved = np.full(size, np.nan)
            moved[:rows] = column[self._first : self._end]
            self._columns[name] = moved
        self._at, self._first, self._end = at, 0, rows


def thinned(rows: Columns, *, points: int) -> Columns:
    """Return at most about `points` rows: each bucket of time keeps every column's smallest and largest value, in the
    order in which they came. A bucket with one row keeps that row; one with none leaves a gap."""
    if len(rows) <= max(points, 4):
        return rows
    buckets = max(2, points // 2)
    width = (rows.at[-1] - rows.at[0]) / buckets
    number = np.minimum(((rows.at - rows.at[0]) / max(width, 1e-9)).astype(np.int64), buckets - 1)
    first = np.flatnonzero(np.diff(number, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    of_bucket = np.cumsum(np.isin(np.arange(len(rows)), first)) - 1
    place = np.arange(len(rows))
    two = last > first
    at = np.stack([rows.at[first], rows.at[last]], axis=1)
    keep = np.stack([np.ones(len(first), dtype=bool), two], axis=1)
    columns: dict[str, Floats] = {}
    for name, values in rows.columns.items():
        low, high = np.fmin.reduceat(values, first), np.fmax.reduceat(values, first)
        low_at = np.minimum.reduceat(np.where(values == low[of_bucket], place, len(rows)), first)
        high_at = np.minimum.reduceat(np.where(values == high[of_bucket], place, len(rows)), first)
        falls = high_at < low_at
        pair = np.stack([np.where(falls, high, low), np.where(falls, low, high)], axis=1)
        columns[name] = pair[keep]
    return Columns(at[keep], columns)
