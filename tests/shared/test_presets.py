"""Preset files: what is read, what is refused, what is kept when they are written again."""

from __future__ import annotations

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from app.shared.errors import BadValue
from app.shared.presets import Preset, checked_name, different_values, parse_preset, preset_toml
from app.shared.settings import Setting
from app.shared.settings import settings as table

COMMENTED = """\
# Why this exists.
description = "mine"
colour = "blue"  # of a later version

[values]
# the context
n_ctx = 4096
temperature = 0.7  # warmer
not_yet = [1, 2]
"""


def test_former_keys_are_read_and_unknown_ones_reported() -> None:
    preset = parse_preset(COMMENTED, name="mine")
    assert preset.problem is None
    assert preset.values == {"context": 4096, "temperature": 0.7}
    assert preset.unknown == ("colour", "values.not_yet")


def test_writing_keeps_comments_and_unknown_keys_and_drops_defaults() -> None:
    preset = parse_preset(COMMENTED, name="mine")
    changed = preset.model_copy(update={"values": {"context": 16384, "temperature": 0.7, "min_p": 0.0}})
    text = preset_toml(changed, before=COMMENTED)
    data = tomlkit.parse(text).unwrap()
    assert data["values"] == {"not_yet": [1, 2], "temperature": 0.7, "context": 16384}
    for kept in ("# Why this exists.", "# of a later version", "# warmer", 'colour = "blue"'):
        assert kept in text
    assert parse_preset(text, name="mine").values == {"context": 16384, "temperature": 0.7}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("values = [", "not valid TOML"),
        ("[values]\ncontext = -5", "Context length is -5"),
        ("[values]\nkv_k = 'q3_k'", "one of f32, f16"),
        ("[values]\nexperts = 0", "Experts per token is 0. It takes 1"),
        ("[values]\nthinking = 'perhaps'", "on or off"),
        ("[values]\nseed = 4294967295", "Seed is 4294967295"),
        ("[values]\ntemperature = nan", "finite"),
        ("kind = 'huge'", "one of any, moe, dense"),
        ("description = 3", "takes text"),
        ("values = 3", "takes a table"),
    ],
)
def test_what_is_wrong_stands_in_the_preset(text: str, words: str) -> None:
    problem = parse_preset(text, name="p").problem
    assert problem is not None and words in problem.sentence


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "a/b",
        "a\\b",
        "con",
        "NUL.x",
        "lpt1",
        "a.",
        ".a",
        "a:b",
        "x" * 65,
        "a\nb",
        'say "x"',
        "a\x00",
    ],
)
def test_names_that_some_system_cannot_store_are_refused(name: str) -> None:
    with pytest.raises(BadValue):
        checked_name(name)


def test_names_in_any_script_are_taken_and_tidied() -> None:
    assert checked_name("  Мой   пресет ") == "Мой пресет"
    assert checked_name("e\u0301te\u0301") == "été"


def _value(knob: Setting) -> st.SearchStrategy[object]:
    low = knob.low if knob.low is not None else 0
    high = knob.high if knob.high is not None else 1e6
    match knob.kind:
        case "int":
            return st.integers(int(low), int(high))
        case "float":
            return st.floats(low, high, allow_nan=False)
        case "bool":
            return st.booleans()
        case "choice":
            return st.sampled_from([choice.key for choice in knob.choices])
        case _:
            return st.text(st.characters(codec="utf-8", exclude_characters="\r"))


VALUES = st.fixed_dictionaries({}, optional={key: _value(knob) for key, knob in table().items()})


@settings(max_examples=120, deadline=None)
@given(VALUES, st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_what_is_written_is_read_back(values: dict[str, object], description: str) -> None:
    preset = Preset(name="p", description=description, kind="moe", values=values)  # type: ignore[arg-type]
    back = parse_preset(preset_toml(preset), name="p")
    assert back.problem is None
    assert back.values == different_values(preset.values)
    assert (back.description, back.kind) == (description, "moe")
    assert preset_toml(back, before=preset_toml(preset)) == preset_toml(preset)


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_reading_fail(text: str) -> None:
    parse_preset(text, name="p")
