"""Words that come from the service or from files are said in the language in force; a person's own stay."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models.gguf_header import read_header
from app.shared.errors import ModelUnreadable
from app.shared.presets import Preset
from app.ui import i18n
from app.ui.forms.words import preset_reason, summary

PRESETS = sorted((Path(__file__).resolve().parents[3] / "presets").glob("*.toml"))


@pytest.fixture(autouse=True)
def russian() -> Iterator[None]:
    i18n.set_language("ru")
    yield
    i18n.set_language("en")


def cyrillic(text: str) -> bool:
    return any("а" <= letter <= "я" for letter in text.lower())


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_shipped_presets_reason_is_translated(path: Path) -> None:
    words = tomllib.loads(path.read_text(encoding="utf-8"))["description"]
    shipped = Preset(name=path.stem, description=words, shipped=True)
    assert not cyrillic(words)
    assert cyrillic(preset_reason(shipped))


def test_a_reason_of_ones_own_stays_as_written() -> None:
    assert i18n.tr("Chat") == "Чат"
    assert preset_reason(Preset(name="mine", description="Chat")) == "Chat"


@pytest.mark.parametrize(
    ("threads", "words"), [(1, "1 поток"), (2, "2 потока"), (8, "8 потоков"), (21, "21 поток")]
)
def test_counts_agree_with_their_noun(threads: int, words: str) -> None:
    assert summary({"threads": threads}).endswith(f"· {words}")


def test_what_a_file_is_instead_of_a_model_is_translated(tmp_path: Path) -> None:
    page = tmp_path / "model.gguf"
    page.write_text("<!doctype html><title>Log in</title>" + " " * 100, encoding="utf-8")
    with pytest.raises(ModelUnreadable) as caught:
        read_header(page)
    sentence = i18n.error_sentence(caught.value.info())
    assert "веб-страница" in sentence
    assert "web page" not in sentence
