"""What is remembered: the ring, the thinning, the day on disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.service.telemetry.history_file import BUCKET_SECONDS, HistoryFile
from app.service.telemetry.ring import Columns, Ring, thinned
from app.shared.telemetry import Marker


def test_the_ring_keeps_an_hour_and_marks_what_was_not_said() -> None:
    ring = Ring(keep_seconds=100.0)
    for second in range(5000):
        numbers = {"cpu": float(second)} | ({"decode": 50.0} if second >= 4950 else {})
        ring.append(1000.0 + second, numbers)
    assert ring.oldest == 1000.0 + 4899
    rows = ring.between(0, 1e12)
    assert len(rows) == 101
    assert rows.columns["cpu"].tolist() == [float(i) for i in range(4899, 5000)]
    assert np.isnan(rows.columns["decode"][:51]).all() and (rows.columns["decode"][51:] == 50).all()
    assert ring.between(1000.0 + 4990, 1000.0 + 4992).at.tolist() == [5990.0, 5991.0, 5992.0]
    assert len(ring.between(1000.0 + 4990, 1000.0 + 4992, outside=1)) == 5


def test_a_clock_set_back_starts_anew() -> None:
    ring = Ring()
    ring.append(100.0, {"a": 1.0})
    ring.append(50.0, {"b": 2.0})
    rows = ring.between(0, 1000)
    assert rows.at.tolist() == [50.0] and set(rows.columns) == {"b"}


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=400),
    st.integers(min_value=4, max_value=60),
)
def test_thinning_keeps_extremes_order_and_size(values: list[float | None], points: int) -> None:
    at = np.arange(len(values), dtype=np.float64) + 1e9
    column = np.array([np.nan if v is None else v for v in values])
    rows = thinned(Columns(at, {"x": column}), points=points)
    assert len(rows) <= max(points, 4) + 1
    assert (np.diff(rows.at) > 0).all()
    said = column[np.isfinite(column)]
    kept = rows.columns["x"][np.isfinite(rows.columns["x"])]
    assert set(kept) <= set(said)
    if len(said):
        assert (kept.min(), kept.max()) == (said.min(), said.max())


def test_thinning_leaves_gaps_empty() -> None:
    at = np.concatenate([np.arange(0, 500), np.arange(5000, 5500)]).astype(np.float64)
    rows = thinned(Columns(at, {"x": np.ones(1000)}), points=100)
    assert not ((rows.at > 600) & (rows.at < 4900)).any()


def test_thinning_keeps_a_peak_where_it_was() -> None:
    values = np.zeros(10_000)
    values[6_789] = 99.0
    rows = thinned(Columns(np.arange(10_000.0), {"x": values}), points=200)
    peak = rows.at[int(np.argmax(rows.columns["x"]))]
    assert abs(peak - 6_789) <= 101


def test_the_file_keeps_each_buckets_extremes_in_their_order(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "telemetry" / "history.db")
    for tick, value in enumerate([5.0, 9.0, 1.0, 4.0]):  # rises, then falls: the largest came first
        file.append(1000.0 + tick * 0.5, {"cpu": value, "ram": 7.0})
    file.append(1000.0 + BUCKET_SECONDS, {"cpu": 3.0})
    file.close()
    again = HistoryFile(tmp_path / "telemetry" / "history.db")
    rows = again.between(0, 2000)
    assert rows.columns["cpu"].tolist() == [9.0, 1.0, 3.0, 3.0]
    assert rows.columns["ram"][:2].tolist() == [7.0, 7.0] and np.isnan(rows.columns["ram"][2:]).all()
    assert (np.diff(rows.at) > 0).all()
    again.close()


def test_the_open_bucket_is_on_disk_before_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    file = HistoryFile(path)
    file.append(1000.0, {"cpu": 1.0})
    file.append(1000.5, {"cpu": 8.0})
    other = sqlite3.connect(path)  # as another process would see it after kill -9
    (count,) = other.execute("SELECT count(*) FROM buckets WHERE until = 1000.5").fetchone()
    other.close()
    assert count == 1
    file.close()


def test_a_day_is_kept_and_no_more(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history.db")
    for hour in range(30):
        file.append(hour * 3600.0, {"cpu": float(hour)})
    rows = file.between(0, 30 * 3600.0)
    assert rows.columns["cpu"].min() >= 4.0
    file.close()


def test_markers_are_kept(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history.db")
    file.add_marker(Marker(at=5.0, kind="load", label="Qwen3"))
    file.add_marker(Marker(at=3.0, kind="stop", label="stopped"))
    file.close()
    again = HistoryFile(tmp_path / "history.db")
    assert [marker.kind for marker in again.markers(0, 10)] == ["stop", "load"]
    assert again.markers(4, 10) == (Marker(at=5.0, kind="load", label="Qwen3"),)
    again.close()
