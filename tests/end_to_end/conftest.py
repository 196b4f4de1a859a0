"""The real program: a window in this process, its service and engine as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.main import WindowOptions, open_window
from app.ui.main_window import MainWindow
from app.ui.window_memory import WindowMemory
from tests.models_for_tests import tiny_moe


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A small mixture of experts that both the fake engine and llama.cpp load."""
    return tiny_moe(tmp_path / "tiny-moe.gguf")


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot, user_dirs: Path) -> Iterator[MainWindow]:
    """The main window with a service on the fake engine, connected; it opens on nothing."""
    memory = WindowMemory()
    memory.put("start_with", "nothing")
    memory.put("reduce_motion", True)
    memory.save()
    opened = open_window(qapp, None, WindowOptions(engine="fake:200", language="en", theme="dark"))
    qtbot.addWidget(opened)
    qtbot.waitUntil(lambda: opened.state.connected and opened.pages.current_id is not None, timeout=30_000)
    qtbot.waitUntil(lambda: bool(opened.state.presets), timeout=10_000)
    yield opened
    opened.shut_down()
    opened.hide()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
