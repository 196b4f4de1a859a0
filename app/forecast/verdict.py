"""From a layout to a forecast: what each device still has, what comes on top, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.forecast.layout import DeviceLayout, Layout
from app.shared.engine import SettingValue
from app.shared.forecast import VERDICTS, DeviceForecast, Forecast, Sentence, Verdict, sentence
from app.shared.units import MIB

# Less than this left counts as tight: the desktop, other programs and long prompts need some of it.
TIGHT_GPU_BYTES, TIGHT_GPU_SHARE = 256 * MIB, 0.02
TIGHT_RAM_BYTES, TIGHT_RAM_SHARE = 512 * MIB, 0.05
_SHARES = {
    "weights_bytes": "weights",
    "kv_bytes": "KV cache",
    "compute_bytes": "compute buffers",
    "adapters_bytes": "adapters",
    "other_bytes": "driver and program",
}


@dataclass(frozen=True)
class DeviceMemory:
    """What is known of one device's memory; `free_bytes` counts what ejecting the present model would free."""

    free_bytes: int | None = None
    capacity_bytes: int | None = None
    description: str = ""
    overhead_bytes: int = 0  # what a load takes beyond llama.cpp's own account
    overhead_measured: bool = False
    adapters_bytes: int = 0


def tight_margin_bytes(kind: str, capacity_bytes: int | None) -> int:
    """Return the margin below which a device counts as tight."""
    least, share = (TIGHT_GPU_BYTES, TIGHT_GPU_SHARE) if kind == "gpu" else (TIGHT_RAM_BYTES, TIGHT_RAM_SHARE)
    return max(least, int(share * (capacity_bytes or 0)))


def forecast_of(
    layout: Layout,
    memory: Mapping[str, DeviceMemory],
    *,
    model_path: str,
    values: Mapping[str, SettingValue],
    notes: Sequence[Sentence] = (),
) -> Forecast:
    """Return the forecast of a layout on a machine with this memory; a device that is not in `memory` has verdict unknown."""
    devices = tuple(_device(device, memory.get(device.name, DeviceMemory())) for device in layout.devices)
    worst: Verdict = min((device.verdict for device in devices), key=VERDICTS.index, default="unknown")
    return Forecast(
        model_path=model_path,
        values=dict(values),
        exact=layout.exact,
        verdict=worst,
        devices=devices,
        context=layout.context,
        sentences=(*_verdict_sentences(devices, worst), *layout.notes, *notes),
    )


def _device(layout: DeviceLayout, memory: DeviceMemory) -> DeviceForecast:
    other = memory.overhead_bytes + layout.output_bytes + layout.vocabulary_bytes
    total = layout.weights_bytes + layout.kv_bytes + layout.compute_bytes + memory.adapters_bytes + other
    margin = None if memory.free_bytes is None else memory.free_bytes - total
    verdict: Verdict = "unknown"
    if margin is not None:
        enough = tight_margin_bytes(layout.kind, memory.capacity_bytes)
        verdict = "does_not_fit" if margin < 0 else "tight" if margin < enough else "fits"
    return DeviceForecast(
        name=layout.name,
        kind=layout.kind,
        description=layout.description or memory.description,
        weights_bytes=layout.weights_bytes,
        kv_bytes=layout.kv_bytes,
        compute_bytes=layout.compute_bytes,
        adapters_bytes=memory.adapters_bytes,
        other_bytes=other,
        other_measured=memory.overhead_measured,
        mapped_bytes=layout.mapped_bytes,
        total_bytes=total,
        free_bytes=memory.free_bytes,
        capacity_bytes=memory.capacity_bytes,
        margin_bytes=margin,
        verdict=verdict,
        fits=None if margin is None else margin >= 0,
    )


def _verdict_sentences(devices: Sequence[DeviceForecast], worst: Verdict) -> list[Sentence]:
    told: list[Sentence] = []
    for device in devices:
        if device.verdict != worst or device.free_bytes is None or device.margin_bytes is None:
            continue
        shares = {words: int(getattr(device, name)) for name, words in _SHARES.items()}
        largest = max(shares, key=lambda words: shares[words])
        match worst:
            case "does_not_fit":
                told.append(
                    sentence(
                        "{device} would need {total_bytes} and has {free_bytes} free: {missing_bytes} are missing. "
                        "Most of it is {largest}.",
                        device=device.name,
                        total_bytes=device.total_bytes,
                        free_bytes=device.free_bytes,
                        missing_bytes=-device.margin_bytes,
                        largest=largest,
                    )
                )
                if device.kind == "ram" and device.mapped_bytes >= -device.margin_bytes:
                    told.append(
                        sentence(
                            "{mapped_bytes} of it are mapped from the file, so it can load and will read from the disk "
                            "again and again.",
                            mapped_bytes=device.mapped_bytes,
                        )
                    )
            case "tight":
                told.append(
                    sentence(
                        "{device} would have {margin_bytes} left of {free_bytes}: other programs may push it over.",
                        device=device.name,
                        margin_bytes=device.margin_bytes,
                        free_bytes=device.free_bytes,
                    )
                )
            case _:
                told.append(
                    sentence(
                        "{device} would have {margin_bytes} left.",
                        device=device.name,
                        margin_bytes=device.margin_bytes,
                    )
                )
    if worst == "unknown":
        names = ", ".join(device.name for device in devices if device.verdict == "unknown")
        told.append(sentence("How much is free on {devices} is not known here.", devices=names))
    return told
