"""The tokens hold what the design promises: contrast, completeness, one scale of type."""

from __future__ import annotations

import pytest

from app.ui.theme.tokens import THEME_NAMES, contrast, tokens

SURFACES = ("bg0", "bg1", "bg2", "bg3", "bg4", "sel", "code_bg", "accent_lo", "ok_lo", "warn_lo", "err_lo")
PAIRS = [
    *((text, ground) for text in ("text", "text2", "text3") for ground in SURFACES),
    *(("accent", ground) for ground in ("bg0", "bg1", "bg2", "bg3", "accent_lo", "sel")),
    ("on_accent", "accent"),
    *((state, ground) for state in ("ok", "warn", "err") for ground in (f"{state}_lo", "bg1", "bg2")),
    *((code, "code_bg") for code in ("code_kw", "code_str", "code_num", "code_fn", "code_com")),
]


@pytest.mark.parametrize("name", THEME_NAMES)
def test_text_reads_on_every_ground(name: str) -> None:
    colors = tokens().colors[name]
    low = {
        (front, back): round(contrast(colors[front], colors[back]), 2)
        for front, back in PAIRS
        if contrast(colors[front], colors[back]) < tokens().text_contrast_min
    }
    assert not low
    assert len(PAIRS) >= 54


@pytest.mark.parametrize("name", THEME_NAMES)
def test_borders_and_rings_are_seen(name: str) -> None:
    colors = tokens().colors[name]
    for ground in ("bg1", "bg2"):
        assert contrast(colors["edge"], colors[ground]) >= tokens().nontext_contrast_min
        assert contrast(colors["accent_mid"], colors[ground]) >= tokens().nontext_contrast_min
        assert contrast(colors["accent_hi"], colors[ground]) >= 6.5


def test_contrast_follows_wcag() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert contrast("#336699", "#336699") == pytest.approx(1.0)


def test_both_themes_have_the_same_tokens() -> None:
    assert tokens().colors["dark"].keys() == tokens().colors["light"].keys()
    assert len(tokens().role_colors["dark"]) == len(tokens().role_colors["light"]) == 8


def test_no_type_is_smaller_than_eleven() -> None:
    assert min(style.px for style in tokens().types.values()) == 11
