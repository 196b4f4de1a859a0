"""Colours, fonts, metrics and the style sheet, all from `resources/themes/tokens.json`."""

from app.ui.theme.theme import Theme, ThemeChoice, Themes, apply_theme, mix, theme, themes
from app.ui.theme.tokens import contrast, tokens

__all__ = ["Theme", "ThemeChoice", "Themes", "apply_theme", "contrast", "mix", "theme", "themes", "tokens"]
