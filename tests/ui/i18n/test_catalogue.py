"""The Russian catalogue belongs to this source: complete, nothing fuzzy, compiled."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "tools" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["translations"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def test_the_catalogue_is_complete(translations: ModuleType) -> None:
    assert translations.problems() == []


def test_error_templates_and_settings_are_extracted(translations: ModuleType) -> None:
    places = translations.extract().places
    assert "{label} is {value}. It takes {low} to {high}." in places
    assert any(place.startswith("app/shared/settings_table") for where in places.values() for place in where)


def test_changed_placeholders_are_noticed(translations: ModuleType) -> None:
    message = translations.Message("{count} models in {folder}", "{count} моделей")
    assert translations.wrong_values(message)
    assert not translations.wrong_values(translations.Message("{count} models", "{count} моделей"))


def test_notes_and_preset_reasons_are_extracted(translations: ModuleType) -> None:
    places = translations.extract().places
    for words, place in (
        ("No NVIDIA driver is installed. Only RAM and CPU are measured.", "app/service/telemetry/nvml.py"),
        (
            "Tokens are drawn on the CPU. The same seed gives the same text on this machine.",
            "app/service/engine/llama/engine.py",
        ),
        (
            "Experts per token change by loading again: another number changed nothing.",
            "app/service/engine/llama/live_experts.py",
        ),
        ("a folder", "app/models/gguf_header.py"),
    ):
        assert place in places[words]
    reasons = {place for where in places.values() for place in where if place.startswith("presets/")}
    assert reasons == {f"presets/{path.name}" for path in (ROOT / "presets").glob("*.toml")}
    assert "The panel shows memory and speed." not in places  # what the switch is tried on is no note
