"""Loads the shipped fonts once and builds QFonts from the type scale."""

from __future__ import annotations

from functools import cache

from PySide6.QtGui import QFont, QFontDatabase

from app.shared.paths import resources_dir
from app.ui.theme.tokens import TypeStyle, tokens


@cache
def load_fonts() -> tuple[str, ...]:
    """Register the shipped fonts and return the files Qt refused; with none loaded the fallbacks serve."""
    refused = []
    for path in sorted((resources_dir() / "fonts").glob("*.[ot]tf")):
        if QFontDatabase.addApplicationFont(str(path)) < 0:
            refused.append(path.name)
    return tuple(refused)


def build_font(style: TypeStyle) -> QFont:
    """Return the font of one type step: pixel size, weight, features, no hinting."""
    design = tokens()
    font = QFont()
    font.setFamilies(list(design.mono_families if style.mono else design.ui_families))
    font.setPixelSize(style.px)
    font.setWeight(QFont.Weight(style.weight))
    # Hinting off: glyphs keep their drawn widths at fractional scales, so text does not jump between screens.
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    if style.mono:
        font.setStyleHint(QFont.StyleHint.Monospace)
        font.setFixedPitch(True)
    for tag, value in (design.mono_features if style.mono else design.ui_features).items():
        font.setFeature(QFont.Tag(tag), value)
    return font
