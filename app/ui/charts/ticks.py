"""Where the ticks stand and what they say; no Qt widgets here."""

from __future__ import annotations

import datetime as dt
import math

TIME_STEPS_SECONDS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)


def nice_step(span: float, most: int) -> float:
    """Return the smallest of 1, 2, 2.5, 5 × 10ⁿ that divides `span` into at most `most` parts."""
    if span <= 0 or most < 1:
        return 1.0
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 2.5, 5.0, 10.0):
        if power * factor >= rough * (1 - 1e-9):
            return power * factor
    return power * 10.0


def value_ticks(top: float, *, most: int = 2) -> list[float]:
    """Return ticks from 0 up to `top`, at most `most` + 1 of them."""
    step = nice_step(top, most)
    return [step * i for i in range(int(top / step + 1e-9) + 1)]


def nice_top(largest: float, *, fixed: float | None = None) -> float:
    """Return the top of an axis from 0 that shows `largest` with some air; `fixed` wins."""
    if fixed is not None:
        return fixed
    if not math.isfinite(largest) or largest <= 0:
        return 1.0
    wanted = largest * 1.08
    power = 10.0 ** math.floor(math.log10(wanted))
    for factor in (1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        if power * factor >= wanted:
            return power * factor
    return power * 10.0


def time_ticks(since: float, until: float, *, most: int) -> list[float]:
    """Return Unix times at round local clock times, at most `most`."""
    span = until - since
    step = next((s for s in TIME_STEPS_SECONDS if span / s <= max(most, 1)), TIME_STEPS_SECONDS[-1])
    # Round in local time, so that hours and half days fall on the clock's own.
    shift = dt.datetime.fromtimestamp(since).astimezone().utcoffset() or dt.timedelta()
    offset = shift.total_seconds()
    first = math.ceil((since + offset) / step) * step - offset
    return [first + step * i for i in range(int((until - first) / step) + 1)] if first <= until else []
