"""A chat page on a service in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.pages.chat.page import ChatPage
from tests.ui.chat.fakes import Desk


@pytest.fixture
def desk(themed: QApplication) -> Desk:
    """The fake service and what the page is given."""
    return Desk()


@pytest.fixture
def page(desk: Desk, qtbot: QtBot) -> Iterator[ChatPage]:
    """The page, shown at 1208 × 736 as in a window of 1280 × 800."""
    made = ChatPage(desk.context)
    qtbot.addWidget(made)
    made.resize(1208, 736)
    made.restore_layout()
    made.show()
    desk.say_state()
    yield made
    made.hide()
