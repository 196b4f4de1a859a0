"""Columns over time: appending, fetching, thinning, gaps."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.shared.history import History, bucketed, thin


def filled(count: int, *, start: float = 1000.0, step: float = 0.5) -> History:
    history = History()
    for i in range(count):
        assert history.append(start + i * step, {"value": float(i)})
    return history


def test_rows_must_rise_and_missing_values_are_gaps() -> None:
    history = filled(3)
    assert not history.append(1001.0, {"value": 9.0})
    assert history.append(1001.5, {"other": 1.0})
    assert math.isnan(history.column("value")[-1])
    assert history.latest("value") is None
    assert history.latest("other") == 1.0
    assert np.isnan(history.column("other")[:3]).all()


def test_old_rows_go_when_the_capacity_is_passed() -> None:
    history = History(capacity=1000)
    for i in range(3000):
        history.append(float(i), {"value": float(i)})
    assert 1000 <= len(history) <= 1125
    assert history.latest("value") == 2999.0
    assert (np.diff(history.at) > 0).all()
    assert (history.column("value") == history.at).all()


def test_fetched_rows_replace_what_they_cover_and_keep_what_is_newer() -> None:
    history = filled(10)  # 1000 … 1004.5
    history.replace(
        [990.0, 995.0, 1002.0], {"value": [1.0, None, 3.0], "new": [7.0, 8.0, 9.0]}, interval_seconds=0.5
    )
    assert history.at.tolist() == [990.0, 995.0, 1002.0, 1002.5, 1003.0, 1003.5, 1004.0, 1004.5]
    assert history.column("value")[0] == 1.0
    assert math.isnan(history.column("value")[1])
    assert history.column("value")[3] == 5.0
    assert math.isnan(history.column("new")[3])
    assert history.append(1005.0, {"value": 1.0})


def test_a_pause_in_the_samples_breaks_the_line() -> None:
    at = np.array([0.0, 0.5, 1.0, 9.0, 9.5])
    line = thin(at, np.ones(5), points=100, gap_seconds=1.25)
    assert np.isnan(line.values).sum() == 1
    assert line.at[3] == 5.0


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=2000),
    st.integers(4, 300),
)
def test_thinning_keeps_every_extreme_and_the_order(values: list[float], points: int) -> None:
    at, column = np.arange(len(values), dtype=float), np.array(values)
    line = thin(at, column, points=points, gap_seconds=1e9)
    assert len(line.at) <= max(points, 4) + 2
    assert (np.diff(line.at) >= 0).all()
    finite = column[np.isfinite(column)]
    if len(finite):
        kept = line.values[np.isfinite(line.values)]
        assert kept.max() == finite.max()
        assert kept.min() == finite.min()
    rows, columns = bucketed(at, {"value": column}, points=points)
    assert len(rows) == len(columns["value"]) <= max(points, 4) + 2
    assert (np.diff(rows) >= 0).all()


def test_a_value_is_found_near_its_time_only() -> None:
    history = filled(4)
    assert history.at_time("value", 1000.6, within_seconds=1.0) == 1.0
    assert history.at_time("value", 1010.0, within_seconds=1.0) is None
    assert history.at_time("nothing", 1000.0, within_seconds=1.0) is None
    assert History().at_time("value", 0.0, within_seconds=1.0) is None
