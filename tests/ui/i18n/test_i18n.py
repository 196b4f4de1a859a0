"""Numbers, sizes, times and sentences in English and Russian."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from app.shared.errors import BadValue, PultError
from app.ui import i18n

NARROW, SOLID = i18n.NARROW_SPACE, i18n.NO_BREAK_SPACE


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    i18n.set_language("en")
    yield
    i18n.set_language("en")


@pytest.fixture
def russian() -> None:
    i18n.set_language("ru")


def test_english_numbers() -> None:
    assert i18n.number(9560) == "9,560"
    assert i18n.number(0.8, decimals=2) == "0.80"
    assert i18n.number(0.05) == "0.05"
    assert i18n.number(2**64 - 1) == "18,446,744,073,709,551,615"
    assert i18n.percent(0.708, decimals=1) == "70.8%"


def test_russian_numbers(russian: None) -> None:
    assert i18n.number(9560) == "9560"
    assert i18n.number(32768) == f"32{NARROW}768"
    assert i18n.number(0.8, decimals=2) == "0,80"
    assert i18n.percent(0.001, decimals=1) == f"0,1{SOLID}%"
    assert i18n.number(2**64 - 1).replace(NARROW, "") == str(2**64 - 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("131072", 131072),
        ("131,072", 131072),
        ("0,8", 0.8),
        ("0.80", 0.8),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("32 768", 32768),
        (f"32{NARROW}768", 32768),
        ("−5", -5),
        ("1e-5", 1e-5),
        ("18446744073709551615", 2**64 - 1),
        ("", None),
        ("many", None),
        ("nan", None),
        ("inf", None),
        ("1.2.3", None),
    ],
)
def test_typed_numbers(text: str, value: float | None) -> None:
    assert i18n.parse_number(text) == value


@pytest.mark.parametrize("value", [0, 7, 9560, 131072, 0.05, 12345.678, -3, 2**63])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_shown_numbers_are_read_back(language: i18n.Language, value: float) -> None:
    i18n.set_language(language)
    assert i18n.parse_number(i18n.number(value)) == value
    assert i18n.parse_number(i18n.plain_number(value)) == value


def test_memory_is_binary_and_files_are_decimal() -> None:
    size = 18_556_689_568
    assert i18n.memory(size) == f"17.3{SOLID}GiB"
    assert i18n.file_size(size) == f"18.6{SOLID}GB"
    assert i18n.memory(0) == f"0{SOLID}bytes"


def test_memory_in_russian(russian: None) -> None:
    assert i18n.memory(18_556_689_568).startswith("17,3")


def test_durations() -> None:
    assert i18n.duration(0.24) == f"240{SOLID}ms"
    assert i18n.duration(4.2) == f"4.2{SOLID}s"
    assert i18n.duration(200) == f"3{SOLID}min 20{SOLID}s"
    assert i18n.duration(7500) == f"2{SOLID}h 5{SOLID}min"


def test_moments() -> None:
    now = dt.datetime(2026, 3, 18, 15, 0)
    at = now.timestamp()

    def said(**ago: float) -> str:
        return i18n.moment((now - dt.timedelta(**ago)).timestamp(), now=at)

    assert said(seconds=5) == "just now"
    assert said(minutes=6) == "6 min ago"
    assert said(hours=3) == "12:00"
    assert said(days=1) == "yesterday"
    assert said(days=2) == "Mon"
    assert said(days=20) == "26 Feb"
    assert said(days=400) == "11 Feb 2025"


def test_words_are_translated_with_their_values(russian: None) -> None:
    assert i18n.tr("Search") == "Поиск"
    assert i18n.tr("{used} of {size}", used=9560, size=32768) == f"9560 из 32{NARROW}768"
    assert i18n.tr("A phrase that is in no catalogue") == "A phrase that is in no catalogue"
    assert i18n.tr("") == ""


def test_error_sentences_are_worded_here(russian: None) -> None:
    refused = BadValue(
        "{label} is {value}. It takes {low} or more.", key="top_k", label="Top-k", value="-4", low=0
    )
    sentence = i18n.error_sentence(refused.info())
    assert "Top-k" in sentence
    assert "-4" in sentence
    assert sentence != refused.sentence


def test_an_unknown_template_keeps_its_english() -> None:
    info = PultError("It asked for {asked_bytes} of memory.", asked_bytes=3 * 1024**3).info()
    assert i18n.error_sentence(info) == f"It asked for 3.0{SOLID}GiB of memory."
    broken = info.model_copy(update={"template": "{missing} is not there.", "sentence": "It failed."})
    assert i18n.error_sentence(broken) == "It failed."


def test_a_switch_is_told_once() -> None:
    heard: list[str] = []
    tell = lambda: heard.append(i18n.language())  # noqa: E731 - it must be the same object to disconnect
    i18n.tongue().changed.connect(tell)
    i18n.set_language("ru")
    i18n.set_language("ru")
    i18n.tongue().changed.disconnect(tell)
    assert heard == ["ru"]
