"""Verdicts and their sentences."""

from __future__ import annotations

import pytest

from app.forecast.layout import DeviceLayout, Layout
from app.forecast.verdict import DeviceMemory, forecast_of, tight_margin_bytes
from app.shared.forecast import Forecast
from app.shared.units import GIB, MIB

LAYOUT = Layout(
    exact=True,
    devices=(
        DeviceLayout(name="CUDA0", kind="gpu", weights_bytes=10 * GIB, kv_bytes=GIB, compute_bytes=200 * MIB),
        DeviceLayout(name="RAM", kind="ram", weights_bytes=4 * GIB, mapped_bytes=4 * GIB, output_bytes=MIB),
    ),
)


def made(gpu_free: int | None, ram_free: int | None = 64 * GIB, *, overhead: int = 600 * MIB) -> Forecast:
    memory = {
        "CUDA0": DeviceMemory(free_bytes=gpu_free, capacity_bytes=24 * GIB, overhead_bytes=overhead),
        "RAM": DeviceMemory(free_bytes=ram_free, capacity_bytes=64 * GIB, overhead_bytes=50 * MIB),
    }
    return forecast_of(LAYOUT, memory, model_path="m.gguf", values={})


@pytest.mark.parametrize(
    ("free", "verdict", "fits"),
    [
        (14 * GIB, "fits", True),
        (11 * GIB + 900 * MIB, "tight", True),
        (11 * GIB + 700 * MIB, "does_not_fit", False),
    ],
)
def test_what_is_left_decides(free: int, verdict: str, fits: bool) -> None:
    told = made(free)
    gpu = told.devices[0]
    assert told.verdict == gpu.verdict == verdict and gpu.fits is fits
    assert gpu.total_bytes == 11 * GIB + 800 * MIB
    assert gpu.margin_bytes == free - gpu.total_bytes


def test_the_worst_device_speaks() -> None:
    told = made(20 * GIB, 2 * GIB)
    assert told.verdict == "does_not_fit" and told.devices[0].verdict == "fits"
    text = told.sentences[0].text
    assert "RAM would need 4.0 GiB" in text or "RAM would need 4.1 GiB" in text
    assert "2.0 GiB free" in text and "Most of it is weights" in text
    assert "mapped from the file" in told.sentences[1].text


def test_nothing_known_is_said_and_not_guessed() -> None:
    told = made(None)
    assert told.verdict == "unknown" and told.devices[0].fits is None and told.devices[0].margin_bytes is None
    assert told.sentences[0].text == "How much is free on CUDA0 is not known here."
    assert made(None, GIB).verdict == "does_not_fit"


def test_large_devices_keep_a_larger_margin() -> None:
    assert tight_margin_bytes("gpu", 8 * GIB) == 256 * MIB
    assert tight_margin_bytes("gpu", 141 * GIB) == int(0.02 * 141 * GIB)
    assert tight_margin_bytes("ram", None) == 512 * MIB


def test_no_sentence_shouts_or_is_left_unfilled() -> None:
    for told in (made(14 * GIB), made(11 * GIB), made(11 * GIB + 900 * MIB), made(None)):
        for line in told.sentences:
            assert "!" not in line.text and "{" not in line.text and line.text.endswith(".")
