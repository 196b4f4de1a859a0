"""Ticks at round values and round clock times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ui.charts.ticks import nice_top, time_ticks, value_ticks


@pytest.mark.parametrize(
    ("top", "ticks"), [(100.0, [0, 50, 100]), (1.0, [0, 0.5, 1.0]), (96.0, [0, 50]), (32768.0, [0, 20000])]
)
def test_values_are_round_and_few(top: float, ticks: list[float]) -> None:
    assert value_ticks(top) == pytest.approx(ticks)


@given(st.floats(1e-6, 1e12))
def test_the_top_shows_the_largest_value_with_air(largest: float) -> None:
    top = nice_top(largest)
    assert largest < top <= largest * 2.5
    assert 1 <= len(value_ticks(top)) <= 3


def test_no_values_still_give_an_axis() -> None:
    assert nice_top(0.0) == 1.0
    assert nice_top(float("nan")) == 1.0
    assert nice_top(5.0, fixed=100.0) == 100.0


@pytest.mark.parametrize("span", [10, 60, 600, 3600, 86400])
def test_times_fall_on_the_clock(span: int) -> None:
    since = 1_790_000_123.4
    ticks = time_ticks(since, since + span, most=8)
    assert 1 <= len(ticks) <= 9
    assert all(since <= at <= since + span for at in ticks)
    if span >= 600:
        assert all(dt.datetime.fromtimestamp(at).second == 0 for at in ticks)
