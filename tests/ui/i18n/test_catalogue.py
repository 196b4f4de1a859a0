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
