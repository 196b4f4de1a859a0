"""Which tracks there are, from the columns the history holds, and how each words its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from app.shared.history import History
from app.shared.units import GIB, MIB
from app.ui.charts import Trace, Track
from app.ui.i18n import memory, number, percent, tr

Head = Callable[[History, float, float], tuple[str, str, str]]
NOTHING = "–"
PROCESSES = ("engine", "service", "window")


def available_tracks(columns: Iterable[str], gpu_names: dict[int, str]) -> list[Track]:
    """Return every track these columns can fill, in the order of the page."""
    known = set(columns)
    tracks = [_decode(), _prefill(), _context()]
    for index in sorted(gpu_names):
        tracks += _gpu_tracks(index, several=len(gpu_names) > 1)
    tracks += [_ram(), _cpu(), _processes()]
    return [
        track
        for track in tracks
        if track.key in ("decode", "prefill", "context")
        or any(trace.column in known for trace in track.traces)
    ]


def default_keys(tracks: Iterable[Track]) -> list[str]:
    """Return the keys that are shown before the person chose: six at most without scrolling."""
    keys = [track.key for track in tracks]
    gpus = [key for key in keys if key.startswith("gpu")]
    if not gpus:
        return keys
    if len({key.split(".")[0] for key in gpus}) > 1:
        shown = {"decode", "ram"}
        return [key for key in keys if key in shown or key.endswith((".memory", ".load"))]
    wanted = {"decode", "context", "ram"}
    return [
        key
        for key in keys
        if key in wanted or (key in gpus and key.split(".")[1] in ("memory", "load", "power"))
    ]


def _decode() -> Track:
    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        values = history.values("decode", since, until)
        busy = values[values > 0]
        line = tr("no answer in this stretch")
        if len(busy):
            line = tr(
                "max {max}, median {median}",
                max=number(float(busy.max()), decimals=0),
                median=number(float(np.median(busy)), decimals=0),
            )
        return _shown(history.latest("decode"), 1), tr("tokens/s"), line

    return Track(
        key="decode",
        title=tr("Decode speed"),
        traces=(Trace(column="decode"),),
        words=lambda value: f"{number(value, decimals=1)} {tr('tokens/s')}",
        tick=short_number,
        head=head,
    )


def _prefill() -> Track:
    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        values = history.values("prefill", since, until)
        busy = values[values > 0]
        line = tr("max {max}", max=number(float(busy.max()), decimals=0)) if len(busy) else ""
        return _shown(history.latest("prefill"), 0), tr("tokens/s"), line

    return Track(
        key="prefill",
        title=tr("Prefill speed"),
        traces=(Trace(column="prefill"),),
        words=lambda value: f"{number(value, decimals=0)} {tr('tokens/s')}",
        tick=short_number,
        head=head,
    )


def _context() -> Track:
    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        used, size = history.latest("context_used"), history.latest("context_size")
        if size is None or size <= 0:
            return NOTHING, "", tr("no model is loaded")
        unit = tr("of {size}", size=number(round(size)))
        return _shown(used, 0), unit, tr("{share} full", share=percent((used or 0) / size))

    return Track(
        key="context",
        title=tr("Context"),
        traces=(Trace(column="context_used"),),
        words=lambda value: f"{number(round(value))} {tr('tokens')}",
        tick=short_number,
        head=head,
        top_column="context_size",
    )


def _gpu_tracks(index: int, *, several: bool) -> list[Track]:
    column = f"gpu{index}."

    def title(name: str) -> str:
        return f"{name}, GPU {index}" if several else name

    def vram(history: History, since: float, until: float) -> tuple[str, str, str]:
        total, own = history.latest(column + "memory_total"), history.latest(column + "engine_memory")
        unit = tr("of {size} GiB", size=_gib(total)) if total else tr("GiB")
        line = tr("engine {size}", size=memory(own)) if own is not None else ""
        return _gib(history.latest(column + "memory")), unit, line

    def load(history: History, since: float, until: float) -> tuple[str, str, str]:
        values = history.values(column + "load", since, until)
        return _shown(history.latest(column + "load"), 0), "%", _median_max(values)

    def power(history: History, since: float, until: float) -> tuple[str, str, str]:
        limit = history.latest(column + "power_limit")
        unit = tr("of {limit} W", limit=number(round(limit))) if limit else tr("W")
        line = _joules_per_token(history, index, since, until)
        return _shown(history.latest(column + "power"), 0), unit, line

    def heat(history: History, since: float, until: float) -> tuple[str, str, str]:
        values = history.values(column + "temperature", since, until)
        line = tr("max {max}", max=number(float(values.max()), decimals=0)) if len(values) else ""
        return _shown(history.latest(column + "temperature"), 0), "°C", line

    def clock(history: History, since: float, until: float) -> tuple[str, str, str]:
        own = history.latest(column + "memory_clock")
        line = tr("memory {clock} MHz", clock=number(round(own))) if own is not None else ""
        return _shown(history.latest(column + "sm_clock"), 0), tr("MHz"), line

    def pcie(history: History, since: float, until: float) -> tuple[str, str, str]:
        sent = history.latest(column + "pcie_tx")
        line = tr("sent {rate} GB/s", rate=number(sent / 1e9, decimals=1)) if sent is not None else ""
        got = history.latest(column + "pcie_rx")
        return (number(got / 1e9, decimals=1) if got is not None else NOTHING), tr("GB/s"), line

    return [
        Track(
            key=column + "memory",
            title=tr("VRAM, GPU {index}", index=str(index)),
            traces=(Trace(column=column + "memory", scale=1 / GIB),),
            words=lambda value: memory(value * GIB),
            tick=short_number,
            head=vram,
            top_column=column + "memory_total",
        ),
        Track(
            key=column + "load",
            title=title(tr("GPU load")),
            traces=(Trace(column=column + "load"),),
            words=lambda value: percent(value / 100),
            tick=lambda value: percent(value / 100),
            head=load,
            top=100.0,
        ),
        Track(
            key=column + "power",
            title=title(tr("Power")),
            traces=(Trace(column=column + "power"),),
            words=lambda value: f"{number(round(value))} {tr('W')}",
            tick=short_number,
            head=power,
        ),
        Track(
            key=column + "temperature",
            title=title(tr("Temperature")),
            traces=(Trace(column=column + "temperature"),),
            words=lambda value: f"{number(round(value))} °C",
            tick=short_number,
            head=heat,
        ),
        Track(
            key=column + "sm_clock",
            title=title(tr("SM clock")),
            traces=(Trace(column=column + "sm_clock"),),
            words=lambda value: f"{number(round(value))} {tr('MHz')}",
            tick=short_number,
            head=clock,
        ),
        Track(
            key=column + "pcie_rx",
            title=title(tr("PCIe")),
            traces=(
                Trace(column=column + "pcie_rx", scale=1e-9, name=tr("received")),
                Trace(column=column + "pcie_tx", scale=1e-9, name=tr("sent")),
            ),
            words=lambda value: f"{number(value, decimals=1)} {tr('GB/s')}",
            tick=short_number,
            head=pcie,
        ),
    ]


def _ram() -> Track:
    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        total, swap = history.latest("ram_total"), history.latest("swap")
        unit = tr("of {size} GiB", size=_gib(total)) if total else tr("GiB")
        line = tr("swap {size}", size=memory(swap) if swap else "0") if swap is not None else ""
        return _gib(history.latest("ram")), unit, line

    return Track(
        key="ram",
        title=tr("RAM"),
        traces=(Trace(column="ram", scale=1 / GIB),),
        words=lambda value: memory(value * GIB),
        tick=short_number,
        head=head,
        top_column="ram_total",
    )


def _cpu() -> Track:
    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        return _shown(history.latest("cpu"), 0), "%", _median_max(history.values("cpu", since, until))

    return Track(
        key="cpu",
        title=tr("CPU"),
        traces=(Trace(column="cpu"),),
        words=lambda value: percent(value / 100),
        tick=lambda value: percent(value / 100),
        head=head,
        top=100.0,
    )


def _processes() -> Track:
    names = {"engine": tr("engine"), "service": tr("service"), "window": tr("window")}

    def head(history: History, since: float, until: float) -> tuple[str, str, str]:
        parts = []
        for role in PROCESSES[1:]:
            value = history.latest(role + ".rss")
            if value is not None:
                parts.append(f"{names[role]} {number(round(value / MIB))}")
        # One unit for both, whole: the line has the room of the head and values must not be cut.
        line = f"{', '.join(parts)} {tr('MiB')}" if parts else ""
        own = history.latest("engine.rss")
        if own is None:
            return NOTHING, "", line
        return number(own / GIB, decimals=2), tr("GiB, engine"), line

    return Track(
        key="processes",
        title=tr("Pult's processes"),
        traces=tuple(Trace(column=f"{role}.rss", scale=1 / GIB, name=names[role]) for role in PROCESSES),
        words=lambda value: memory(value * GIB),
        tick=short_number,
        head=head,
    )


def short_number(value: float) -> str:
    """Return a number fit for a 44 px axis: `0.5`, `200`, `8k`, `1.5M`."""
    if value == 0:
        return "0"
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (10 if unit == "k" else 1):
            amount = value / size
            return number(amount, decimals=0 if amount == round(amount) else 1) + unit
    decimals = 0 if value == round(value) else max(1, -math.floor(math.log10(abs(value))))
    return number(value, decimals=decimals)


def _shown(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else number(value, decimals=decimals)


def _gib(value: float | None) -> str:
    return NOTHING if value is None else number(value / GIB, decimals=1)


def _median_max(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    if not len(values):
        return ""
    return tr(
        "median {median}, max {max}",
        median=number(float(np.median(values)), decimals=0),
        max=number(float(values.max()), decimals=0),
    )


def _joules_per_token(history: History, index: int, since: float, until: float) -> str:
    """Word this card's energy per decoded token over the samples in which tokens came; nothing if none did."""
    at = history.at
    inside = (at >= since) & (at <= until)
    speed, power = history.column("decode")[inside], history.column(f"gpu{index}.power")[inside]
    both = np.isfinite(speed) & np.isfinite(power) & (speed > 0)
    if not both.any():
        return ""
    joules = float(power[both].sum() / speed[both].sum())
    return tr("{joules} J per token", joules=number(joules, decimals=1))
