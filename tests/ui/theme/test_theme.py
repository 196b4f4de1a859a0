"""Switching the theme: colours, palette, options, signal; fonts as shipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QFontDatabase, QFontInfo, QFontMetricsF, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.controls import Button
from app.ui.icons import icon, icon_names, pixmap
from app.ui.theme import Theme, apply_theme, theme, themes
from app.ui.theme.fonts import load_fonts


@pytest.fixture(autouse=True)
def dark(qapp: QApplication) -> Iterator[None]:
    apply_theme(qapp, "dark", strong_borders=False, reduce_motion=False)
    yield
    apply_theme(qapp, "dark", strong_borders=False, reduce_motion=False)


def test_a_switch_changes_palette_and_tells(qapp: QApplication, qtbot: QtBot) -> None:
    with qtbot.waitSignal(themes().changed):
        apply_theme(qapp, "light")
    assert theme().name == "light"
    assert qapp.palette().color(QPalette.ColorRole.Window).name().upper() == theme().hex("bg1").upper()


def test_a_switch_repaints_controls(qapp: QApplication, qtbot: QtBot) -> None:
    button = Button("Load", kind="primary")
    qtbot.addWidget(button)
    button.show()
    before = button.grab().toImage()
    apply_theme(qapp, "light")
    assert button.grab().toImage() != before


def test_strong_borders_make_fields_seen(qapp: QApplication) -> None:
    apply_theme(qapp, "dark", strong_borders=True)
    assert theme().hex("line2") == theme().hex("edge")


def test_reduced_motion_stops_motion_but_not_waiting(qapp: QApplication) -> None:
    apply_theme(qapp, "dark", reduce_motion=True)
    assert theme().duration("hover") == theme().duration("fold") == 0
    assert theme().duration("toast_stay") == 6000


def test_options_stay_when_only_the_theme_changes(qapp: QApplication) -> None:
    apply_theme(qapp, "dark", reduce_motion=True, strong_borders=True)
    apply_theme(qapp, "light")
    assert theme().reduce_motion
    assert theme().strong_borders


def test_system_choice_is_one_of_both(qapp: QApplication) -> None:
    apply_theme(qapp, "system")
    assert themes().choice == "system"
    assert theme().name in ("dark", "light")


def test_shipped_fonts_load_and_are_used(qapp: QApplication) -> None:
    assert load_fonts() == ()
    assert {"Inter", "JetBrains Mono"} <= set(QFontDatabase.families())
    assert QFontInfo(theme().font("body")).family() == "Inter"
    assert QFontInfo(theme().font("code")).family() == "JetBrains Mono"
    assert QFontInfo(theme().font("title")).weight() == 600


def test_figures_stand_still(qapp: QApplication) -> None:
    metrics = QFontMetricsF(theme().font("readout"))
    assert metrics.horizontalAdvance("1111") == metrics.horizontalAdvance("0000")


def test_code_has_no_ligatures(qapp: QApplication) -> None:
    metrics = QFontMetricsF(theme().font("code"))
    assert metrics.horizontalAdvance("!=") == pytest.approx(2 * metrics.horizontalAdvance("="))


def test_russian_letters_come_from_the_shipped_font(qapp: QApplication) -> None:
    for style in ("body", "code"):
        metrics = QFontMetricsF(theme().font(style))
        assert all(metrics.inFontUcs4(ord(letter)) for letter in "ЖщыёЁ№«»—")


def test_metrics_by_name() -> None:
    look = Theme("dark")
    assert look.metric("control") == look.metric("size.control") == 32
    assert look.pair("switch") == (32, 18)
    assert look.width("list_width", "chat", wide=True) == 264
    assert look.by_language("form_label", "ru") == 168
    with pytest.raises(KeyError):
        look.metric("no_such_length")
    with pytest.raises(KeyError):
        look.color("no_such_colour")


def test_heat_runs_between_its_stops() -> None:
    look = Theme("dark")
    assert look.heat(0).name().upper() == look.hex("heat0").upper()
    assert look.heat(1).name().upper() == look.hex("d1").upper()
    assert look.heat(0.5).lightness() > look.heat(0.2).lightness()


def test_every_icon_draws_in_its_colour(qapp: QApplication) -> None:
    names = icon_names()
    assert len(names) >= 60
    for name in names:
        drawn = pixmap(name, "err", 16, ratio=1.0).toImage()
        shades = {
            drawn.pixelColor(x, y).name().upper()
            for x in range(16)
            for y in range(16)
            if drawn.pixelColor(x, y).alpha() > 250
        }
        inked = any(drawn.pixelColor(x, y).alpha() > 60 for x in range(16) for y in range(16))
        assert inked, name
        assert len(shades) <= (40 if name == "logo" else 4), name


def test_icons_are_kept_and_follow_the_screen_ratio(qapp: QApplication) -> None:
    assert (
        pixmap("copy", "text", 16, ratio=1.5).cacheKey() == pixmap("copy", "text", 16, ratio=1.5).cacheKey()
    )
    assert pixmap("copy", "text", 16, ratio=1.5).width() == 24
    assert not icon("copy").isNull()


def test_unknown_icon_is_refused(qapp: QApplication) -> None:
    with pytest.raises(FileNotFoundError):
        pixmap("no-such-icon")
