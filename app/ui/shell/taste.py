"""The person's taste in language and looks: put in force and remembered in one step."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication

from app.ui.i18n import LANGUAGES, Language, language, set_language
from app.ui.theme import ThemeChoice, apply_theme, theme
from app.ui.window_memory import WindowMemory

THEMES: tuple[ThemeChoice, ...] = ("dark", "light", "system")


def choose_theme(
    memory: WindowMemory,
    choice: str,
    *,
    strong_borders: bool | None = None,
    reduce_motion: bool | None = None,
) -> None:
    """Put a theme in force; an unknown choice is taken as dark."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    kept: ThemeChoice = choice if choice in THEMES else "dark"
    apply_theme(app, kept, strong_borders=strong_borders, reduce_motion=reduce_motion)
    memory.put("theme", kept)
    memory.put("strong_borders", theme().strong_borders)
    memory.put("reduce_motion", theme().reduce_motion)
    memory.save()


def choose_language(memory: WindowMemory, chosen: str) -> None:
    """Put a language in force; an unknown one is taken as English."""
    kept: Language = chosen if chosen in LANGUAGES else "en"
    memory.put("language", kept)
    memory.save()
    set_language(kept)


def next_language() -> Language:
    """The language after the one in force."""
    known = list(LANGUAGES)
    return known[(known.index(language()) + 1) % len(known)]
