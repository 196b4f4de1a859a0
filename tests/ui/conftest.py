"""For every test of the window: the theme applied, and no top-level widget left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from shiboken6 import isValid


@pytest.fixture(autouse=True)
def no_widgets_left(qapp: QApplication, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a visible top-level widget which it did not hand to qtbot."""
    before = {id(widget) for widget in qapp.topLevelWidgets()}
    yield
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    left = [
        f"{type(widget).__name__} {widget.objectName()}".strip()
        for widget in qapp.topLevelWidgets()
        if id(widget) not in before and isValid(widget) and widget.isVisible() and widget.parent() is None
    ]
    assert not left, f"{request.node.nodeid} left windows open: {left}"


@pytest.fixture
def themed(qapp: QApplication, qtbot: QtBot) -> QApplication:
    """The application in the dark theme, in English."""
    from app.ui.i18n import set_language
    from app.ui.theme import apply_theme

    set_language("en")
    apply_theme(qapp, "dark")
    return qapp
