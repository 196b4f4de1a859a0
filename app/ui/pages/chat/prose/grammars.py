"""Compiles the grammars of languages off the window's thread; each once."""

from __future__ import annotations

import threading
from functools import cache

from PySide6.QtCore import QObject, Signal

from app.ui.excepthooks import report_exception
from app.ui.pages.chat.markdown.highlight import prepare


class Grammars(QObject):
    """`ready(language)` when code in a language can be coloured without a wait."""

    ready = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()
        self._asked: set[str] = set()

    def has(self, language: str) -> bool:
        """Whether a language is ready; if not it is made so, and `ready` follows."""
        if language in self._known:
            return True
        if language not in self._asked:
            self._asked.add(language)
            threading.Thread(target=self._make, args=(language,), name="pult-grammar", daemon=True).start()
        return False

    def _make(self, language: str) -> None:
        try:
            prepare(language)
        except Exception as error:  # noqa: BLE001 - the border of a thread: the code stays uncoloured, the fault is logged
            report_exception(error)
            return
        self._known.add(language)
        self.ready.emit(language)


@cache
def grammars() -> Grammars:
    """Return the one holder."""
    return Grammars()
