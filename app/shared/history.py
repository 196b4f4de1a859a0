"""Numbers over time: columns on one rising time axis, thinned to what a screen can show.

What the charts draw from, live and fetched; the service keeps its own in `app/service/telemetry`.
Missing values are NaN here, because a gap must break the line.
Imported where it is used: numpy costs a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAP_INTERVALS = 2.5


@dataclass(frozen=True)
class Thinned:
    """A line ready to draw: times in Unix seconds and values; NaN where the line breaks."""

    at: Floats
    values: Floats


class History:
    """Columns over one rising time axis. Appending is cheap; the oldest rows go when `capacity` is passed."""

    def __init__(self, *, capacity: int = 200_000) -> None:
        self.capacity = capacity
        self.interval_seconds = 0.5
        self._rows = 0
        self._at = np.empty(1024)
        self._columns: dict[str, Floats] = {}

    def __len__(self) -> int:
        return self._rows

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._columns)

    @property
    def at(self) -> Floats:
        """The times, a view: do not keep it."""
        return self._at[: self._rows]

    def column(self, name: str) -> Floats:
        """Return a column's values, a view; all NaN if it never occurred."""
        found = self._columns.get(name)
        return found[: self._rows] if found is not None else np.full(self._rows, np.nan)

    def append(self, at: float, numbers: Mapping[str, float]) -> bool:
        """Add a row; False if it is not later than the last one, which happens when a fetch overtook the stream."""
        if self._rows and at <= self._at[self._rows - 1]:
            return False
        if self._rows >= self.capacity + self.capacity // 8:
            self._keep_last(self.capacity)
        if self._rows == len(self._at):
            self._grow()
        row = self._rows
        self._at[row] = at
        for name in numbers.keys() - self._columns.keys():
            self._columns[name] = np.full(len(self._at), np.nan)
        for name, values in self._columns.items():
            values[row] = numbers.get(name, np.nan)
        self._rows += 1
        return True

    def replace(
        self, at: Iterable[float], columns: Mapping[str, Iterable[float | None]], *, interval_seconds: float
    ) -> None:
        """Put fetched columns in place of everything that is not newer than them."""
        times = np.array(list(at), dtype=np.float64)
        kept = self.at > times[-1] if len(times) else np.ones(self._rows, dtype=bool)
        fetched = {name: _floats(values) for name, values in columns.items()}
        names = self._columns.keys() | fetched.keys()
        count = len(times) + int(kept.sum())
        size = max(1024, 1 << (count + 1).bit_length())
        merged_at = np.empty(size)
        merged_at[:count] = np.concatenate([times, self.at[kept]])
        merged: dict[str, Floats] = {}
        for name in names:
            column = np.full(size, np.nan)
            if name in fetched:
                column[: len(times)] = fetched[name]
            column[len(times) : count] = self.column(name)[kept]
            merged[name] = column
        self._at, self._columns, self._rows = merged_at, merged, count
        self.interval_seconds = interval_seconds

    def latest(self, name: str) -> float | None:
        """Return the newest value of a column; None if the last row has none."""
        values = self.column(name)
        return float(values[-1]) if len(values) and np.isfinite(values[-1]) else None

    def at_time(self, name: str, at: float, *, within_seconds: float) -> float | None:
        """Return the value nearest to a time, None if none lies within `within_seconds`."""
        times = self.at
        if not len(times):
            return None
        index = int(np.searchsorted(times, at))
        near = min(
            (i for i in (index - 1, index) if 0 <= i < len(times)), key=lambda i: abs(float(times[i]) - at)
        )
        value = float(self.column(name)[near])
        return value if abs(float(times[near]) - at) <= within_seconds and np.isfinite(value) else None

    def window(self, name: str, since: float, until: float, *, points: int) -> Thinned:
        """Return a column between two times, one row more on each side, thinned to about `points`."""
        times = self.at
        first = max(0, int(np.searchsorted(times, since)) - 1)
        last = min(len(times), int(np.searchsorted(times, until, side="right")) + 1)
        return thin(
            times[first:last],
            self.column(name)[first:last],
            points=points,
            gap_seconds=self._gap(since, until),
        )

    def values(self, name: str, since: float, until: float) -> Floats:
        """Return the finite values of a column between two times."""
        times = self.at
        first, last = int(np.searchsorted(times, since)), int(np.searchsorted(times, until, side="right"))
        values = self.column(name)[first:last]
        return values[np.isfinite(values)]

    def _gap(self, since: float, until: float) -> float:
        # Fetched stretches may be thinned already: their own usual step counts, not the sampler's.
        times = self.at
        inside = times[(times >= since) & (times <= until)]
        usual = float(np.median(np.diff(inside))) if len(inside) > 2 else self.interval_seconds
        return GAP_INTERVALS * max(self.interval_seconds, usual) + 0.5

    def _grow(self) -> None:
        size = 2 * len(self._at)
        self._at = np.concatenate([self._at, np.empty(size - len(self._at))])
        for name, values in self._columns.items():
            wider = np.full(size, np.nan)
            wider[: len(values)] = values
            self._columns[name] = wider

    def _keep_last(self, count: int) -> None:
        start = self._rows - count
        self._at[:count] = self._at[start : self._rows].copy()
        for values in self._columns.values():
            values[:count] = values[start : self._rows].copy()
            values[count:] = np.nan
        self._rows = count


def _floats(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def peaks(values: Floats, size: int) -> NDArray[np.intp]:
    """Return the rows of each bucket's smallest and largest value, `size` rows to a bucket, two per bucket, in their order."""
    count = len(values)
    padded = np.full(-(-count // size) * size, np.nan)
    padded[:count] = values
    grid = padded.reshape(-1, size)
    finite = np.isfinite(grid)
    low = np.where(finite, grid, np.inf).argmin(axis=1)
    high = np.where(finite, grid, -np.inf).argmax(axis=1)
    pairs = np.stack([np.minimum(low, high), np.maximum(low, high)], axis=1)
    return np.minimum((pairs + (np.arange(len(grid)) * size)[:, None]).ravel(), count - 1)


def bucketed(at: Floats, columns: Mapping[str, Floats], *, points: int) -> tuple[Floats, dict[str, Floats]]:
    """Return all columns thinned to about `points` common rows: two a bucket, its smallest and largest value, in their order."""
    count = len(at)
    if count <= max(points, 4):
        return at, dict(columns)
    size = -(-count // max(2, points // 2))
    starts = np.arange(0, count, size)
    ends = np.minimum(starts + size, count) - 1
    rows = np.stack([starts, ends], axis=1).ravel()
    return at[rows], {name: values[peaks(values, size)] for name, values in columns.items()}


def thin(at: Floats, values: Floats, *, points: int, gap_seconds: float) -> Thinned:
    """Return the line with at most about `points` points: every bucket keeps its smallest and largest value.

    A step of more than `gap_seconds`, or a missing value, becomes NaN, so that the line breaks there.
    """
    count = len(at)
    if count > max(points, 4):
        # A bucket that lost a value somewhere still draws; one without any value is a gap by itself.
        index = peaks(values, -(-count // max(2, points // 2)))
        at, values = at[index], values[index]
        steps = float(np.median(np.diff(at[::2]))) if len(at) > 4 else 0.0
        gap_seconds = max(gap_seconds, GAP_INTERVALS * steps)
    if len(at) > 1:
        breaks = np.flatnonzero(np.diff(at) > gap_seconds)
        if len(breaks):
            at = np.insert(at, breaks + 1, (at[breaks] + at[breaks + 1]) / 2)
            values = np.insert(values, breaks + 1, np.nan)
    return Thinned(at=at, values=values)
