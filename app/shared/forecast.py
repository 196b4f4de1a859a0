"""What a model with these settings would take of each device's memory, and whether it fits; sizes in bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.shared.engine import SettingValue
from app.shared.units import Value, value_words

Verdict = Literal["fits", "tight", "does_not_fit", "unknown"]
Keep = Literal["context", "speed", "kv_precision"]
VERDICTS: tuple[Verdict, ...] = ("does_not_fit", "tight", "unknown", "fits")  # worst first


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Sentence(_Frozen):
    """A sentence as template and values, so that the window can word it in the user's language."""

    template: str
    values: dict[str, Value] = {}

    @property
    def text(self) -> str:
        """The English sentence; units come from the values' names as in errors."""
        words = {name: value_words(name, value) for name, value in self.values.items()}
        return self.template.format_map(words) if words else self.template


def sentence(template: str, /, **values: Value) -> Sentence:
    """Return the sentence of this template and these values."""
    return Sentence(template=template, values=values)


class DeviceForecast(_Frozen):
    """One device's share. `total_bytes` is the sum of the parts; `free_bytes` counts what ejecting the present model frees."""

    name: str  # llama.cpp's own: "CUDA0"; "RAM" for everything in the computer's memory
    kind: Literal["gpu", "ram"]
    description: str = ""  # "NVIDIA H200"
    weights_bytes: int
    kv_bytes: int  # attention's cache and the state of recurrent layers
    compute_bytes: int  # scratch buffers, reserved for the largest step of a prompt
    adapters_bytes: int = 0
    other_bytes: int = 0  # the driver's context, buffers of the first step, the program itself
    other_measured: bool = False  # learnt on this machine; otherwise a round figure from elsewhere
    mapped_bytes: int = 0  # part of the weights: pages of the file, which the system may drop and read again
    total_bytes: int
    free_bytes: int | None = None
    capacity_bytes: int | None = None
    margin_bytes: int | None = None  # free less total; negative when it does not fit
    verdict: Verdict = "unknown"
    fits: bool | None = None  # None where nobody knows what is free


class Forecast(_Frozen):
    """The whole answer. `exact`: llama.cpp laid it out itself in a dry run; otherwise it is arithmetic and says so."""

    model_path: str
    values: dict[str, SettingValue] = {}
    exact: bool
    verdict: Verdict
    devices: tuple[DeviceForecast, ...]
    context: int | None = None  # tokens
    sentences: tuple[Sentence, ...] = ()  # the verdict first, then what limits the answer
    error: ForecastError | None = None  # how far forecasts on this machine have been off
    seconds: float | None = None  # how long it took


class ForecastRecord(_Frozen):
    """One load: what was forecast for a device and what was measured after it."""

    at: float  # Unix seconds
    model: str
    device: str
    kind: Literal["gpu", "ram"]
    exact: bool
    forecast_bytes: int
    measured_bytes: int
    context: int | None = None

    @property
    def error_percent(self) -> float:
        """Forecast less measured, in percent of measured; positive when too much was forecast."""
        return 100.0 * (self.forecast_bytes - self.measured_bytes) / max(1, self.measured_bytes)


class DeviceError(_Frozen):
    """The running error of one device over its last loads."""

    device: str
    kind: Literal["gpu", "ram"]
    count: int
    mean_percent: float  # of the errors' sizes
    worst_percent: float
    last_percent: float


class ForecastError(_Frozen):
    """How good the forecasts on this machine have been; empty before the first load."""

    devices: tuple[DeviceError, ...] = ()
    records: tuple[ForecastRecord, ...] = ()  # oldest first


class FitAnswer(_Frozen):
    """Settings that fit with a margin, and what was given up for it, in sentences.

    `found` False: nothing fits; `values` are then the smallest that were tried. `changed` holds only what differs from
    what was asked.
    """

    found: bool
    keep: Keep
    values: dict[str, SettingValue]
    changed: dict[str, SettingValue] = {}
    gave_up: tuple[Sentence, ...] = ()
    forecast: Forecast
    tried: int = 0


Forecast.model_rebuild()
