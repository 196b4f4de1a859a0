"""The table's words on screen: groups, values, presets in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.shared.engine import SettingValue
from app.shared.settings import Group, Setting, settings
from app.ui.i18n import mark, ntr, number, tr

if TYPE_CHECKING:
    from app.shared.presets import Preset

GROUP_TITLES: Mapping[Group, str] = {
    Group.MODEL: mark("Model and memory"),
    Group.CONTEXT: mark("Context and RoPE"),
    Group.EXPERTS: mark("Experts"),
    Group.SAMPLING: mark("Sampling"),
    Group.THINKING: mark("Thinking"),
}
LONGEST_TEXT = 24
MOST_PARTS = 3
_TELLING = (
    "gpu_layers",
    "moe_cpu_layers",
    "experts",
    "rope_scaling",
    "thinking",
    "kv_k",
    "seed",
    "temperature",
    "thinking_budget",
    "presence_penalty",
    "threads",
)


def value_words(knob: Setting, value: SettingValue | None) -> str:
    """Return a value as a person reads it; None in the knob's own words for "automatic"."""
    if value is None:
        return tr(knob.automatic) if knob.automatic else "–"
    if isinstance(value, bool):
        return tr("On") if value else tr("Off")
    if isinstance(value, (int, float)):
        return number(value)
    if knob.kind == "choice":
        return next((tr(choice.label) for choice in knob.choices if choice.key == value), value)
    words = " ".join(value.split())
    if not words:
        return tr("none")
    return words if len(words) <= LONGEST_TEXT else words[: LONGEST_TEXT - 1] + "…"


def preset_reason(preset: Preset) -> str:
    """Return a preset's reason: a shipped one's in the language in force, a person's own as it was written."""
    return tr(preset.description) if preset.shipped else preset.description


def summary(values: Mapping[str, SettingValue]) -> str:
    """Return a preset in a few words: its context, then what stands out."""
    table = settings()
    context = values.get("context", table["context"].default)
    parts = [number(context)] if isinstance(context, (int, float)) else []
    for key in _TELLING:
        if key in values and len(parts) < MOST_PARTS:
            said = _said(key, values)
            if said:
                parts.append(said)
    return " · ".join(parts)


def _said(key: str, values: Mapping[str, SettingValue]) -> str:
    value = values[key]
    amount = number(value) if isinstance(value, (int, float)) else str(value)
    match key:
        case "gpu_layers":
            return tr("{count} GPU layers", count=amount)
        case "moe_cpu_layers":
            return tr("experts in RAM")
        case "experts":
            return ntr("{n} expert", "{n} experts", value) if isinstance(value, int) else amount
        case "rope_scaling":
            factor = values.get("yarn_factor", settings()["yarn_factor"].default)
            return f"YaRN ×{number(factor)}" if value == "yarn" and isinstance(factor, (int, float)) else ""
        case "thinking":
            return "" if value else tr("no thinking")
        case "seed":
            return tr("seed {seed}", seed=amount)
        case "temperature":
            return tr("temperature {value}", value=amount)
        case "thinking_budget":
            return tr("thought to {count}", count=amount)
        case "presence_penalty":
            return tr("presence {value}", value=amount)
        case "threads":
            return ntr("{n} thread", "{n} threads", value) if isinstance(value, int) else amount
        case _:
            return amount
