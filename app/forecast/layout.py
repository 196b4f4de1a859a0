"""How a model and its context are laid out over the devices: what a dry run reads from llama.cpp, or arithmetic works out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.shared.engine import SettingValue
from app.shared.errors import ErrorInfo
from app.shared.forecast import Sentence

# What llama.cpp's tokenizer keeps for each token: 25.6 MB more RAM were measured at 151,936 tokens than at 3,072.
VOCABULARY_ENTRY_BYTES = 172


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Gpu(_Frozen):
    """A device that llama.cpp can put layers on."""

    name: str
    description: str = ""
    free_bytes: int | None = None  # as the driver says now
    capacity_bytes: int | None = None


class DeviceLayout(_Frozen):
    """The bytes that llama.cpp reserves on one device; see `DeviceForecast` for the fields."""

    name: str
    kind: Literal["gpu", "ram"]
    description: str = ""
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    mapped_bytes: int = 0
    output_bytes: int = 0  # logits: allocated outside of the buffers that llama.cpp accounts for
    vocabulary_bytes: int = 0  # the tokenizer's tables, in RAM: see `VOCABULARY_ENTRY_BYTES`


class Layout(_Frozen):
    """All devices that hold something, GPUs first, RAM last."""

    exact: bool
    devices: tuple[DeviceLayout, ...]
    context: int | None = None
    notes: tuple[Sentence, ...] = ()


class LayoutRequest(_Frozen):
    """Asks the dry-run process for one layout; `values` are checked settings."""

    id: str
    model_path: str
    values: dict[str, SettingValue] = {}


class LayoutReply(_Frozen):
    """Its answer: a layout, or the error that the same load would meet. `id` is empty in the greeting."""

    id: str
    layout: Layout | None = None
    error: ErrorInfo | None = None
    available: bool = True  # False: this build of llama.cpp does not show its layout
    gpus: tuple[Gpu, ...] = ()
    gpu_offload: bool = False


def gpus_first(devices: Sequence[DeviceLayout]) -> tuple[DeviceLayout, ...]:
    """Return the devices in the order they are shown."""
    return tuple(sorted(devices, key=lambda device: (device.kind == "ram", device.name)))
