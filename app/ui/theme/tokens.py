"""Reads `resources/themes/tokens.json`, the one source of colours, sizes, type and durations; no Qt here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from app.shared.paths import resources_dir

ThemeName = Literal["dark", "light"]
THEME_NAMES: tuple[ThemeName, ...] = ("dark", "light")


@dataclass(frozen=True)
class TypeStyle:
    """One step of the type scale; sizes and line heights in pixels at scale 1."""

    px: int
    weight: int
    mono: bool = False
    line_height: int | None = None


@dataclass(frozen=True)
class Tokens:
    """Every value of the design. `metrics` keys: `size.control`, `radius.card`, `space.m`."""

    colors: dict[ThemeName, dict[str, str]]
    role_colors: dict[ThemeName, tuple[str, ...]]
    types: dict[str, TypeStyle]
    metrics: dict[str, float | tuple[float, ...] | dict[str, Any]]
    durations_ms: dict[str, int]
    heat_stops: tuple[float, ...]
    heat_tokens: tuple[str, ...]
    ui_families: tuple[str, ...]
    mono_families: tuple[str, ...]
    ui_features: dict[str, int]
    mono_features: dict[str, int]
    chart: dict[str, Any]
    text_contrast_min: float
    nontext_contrast_min: float


def _metric(value: Any) -> float | tuple[float, ...] | dict[str, Any]:
    return tuple(value) if isinstance(value, list) else value


@cache
def tokens() -> Tokens:
    """Return the tokens, read once. Raises OSError or ValueError if the shipped file is missing or broken."""
    raw = json.loads((resources_dir() / "themes" / "tokens.json").read_text(encoding="utf-8"))
    metrics: dict[str, float | tuple[float, ...] | dict[str, Any]] = {}
    for group in ("space", "radius", "border", "size"):
        for name, value in raw[group].items():
            if not isinstance(value, str):
                metrics[f"{group}.{name}"] = _metric(value)
    types = {
        name: TypeStyle(
            px=style["px"],
            weight=style["weight"],
            mono=style.get("font") == "mono",
            line_height=style.get("line_height", style.get("line_height_paragraph")),
        )
        for name, style in raw["type"].items()
        if isinstance(style, dict)
    }
    font = raw["font"]
    return Tokens(
        colors={
            theme: {token: entry["value"] for token, entry in raw["color"][theme].items()}
            for theme in THEME_NAMES
        },
        role_colors={theme: tuple(raw["role_color"][theme]) for theme in THEME_NAMES},
        types=types,
        metrics=metrics,
        durations_ms=raw["duration_ms"],
        heat_stops=tuple(raw["heat_map"]["stops"]),
        heat_tokens=tuple(raw["heat_map"]["tokens"]),
        ui_families=(font["ui"], *font["fallback_ui"]),
        mono_families=(font["mono"], *font["fallback_mono"]),
        ui_features=font["features_ui"],
        mono_features=font["features_mono"],
        chart=raw["chart"],
        text_contrast_min=raw["contrast"]["text_min"],
        nontext_contrast_min=raw["contrast"]["nontext_min"],
    )


def luminance(color: str) -> float:
    """Return the relative luminance 0…1 of `#RRGGBB` (WCAG 2.1, "relative luminance")."""

    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(color[i : i + 2], 16)) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio 1…21 of two `#RRGGBB` colours (WCAG 2.1, "contrast ratio")."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
