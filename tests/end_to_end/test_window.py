"""The window as a person uses it: real service, fake engine, clicks and keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.shared.launch import program_command
from app.ui.i18n import set_language
from app.ui.main_window import MainWindow
from app.ui.shell.model_picker import ModelPicker
from app.ui.shell.palette import Palette
from app.ui.theme import theme


def load(window: MainWindow, model_file: Path, qtbot: QtBot) -> None:
    window.take_files([str(model_file)])
    qtbot.waitUntil(lambda: window.state.model is not None, timeout=15_000)


def test_load_see_change_eject(window: MainWindow, model_file: Path, qtbot: QtBot) -> None:
    strip = window.strip
    load(window, model_file, qtbot)
    assert strip.experts.isVisible() and strip.model.eject.isVisible()
    used = window.state.model.experts_used if window.state.model else None
    assert strip.experts.value.text() == str(used)
    qtbot.mouseClick(strip.experts.more, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: window.state.model is not None and window.state.model.experts_used == (used or 0) + 1,
        timeout=15_000,
    )
    strip.preset.combo.chosen.emit("long")
    qtbot.waitUntil(
        lambda: window.state.model is not None and window.state.model.preset == "long", timeout=15_000
    )
    qtbot.waitUntil(lambda: strip.preset.combo.current() == "long")
    qtbot.waitUntil(lambda: strip.memory.readout.value.text() not in ("", "–"), timeout=5_000)
    qtbot.mouseClick(strip.model.eject, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: window.state.model is None and strip.model.name.text() == "Choose a model…", timeout=10_000
    )


def test_picker_lists_what_was_opened_and_loads_it(
    window: MainWindow, model_file: Path, qtbot: QtBot
) -> None:
    load(window, model_file, qtbot)
    qtbot.keyClick(window, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    picker = window.overlay()
    assert isinstance(picker, ModelPicker)
    qtbot.waitUntil(lambda: picker.list.rows.rowCount() >= 2, timeout=5_000)
    before = window.state.model
    qtbot.keyClick(picker.field, Qt.Key.Key_Return)
    qtbot.waitUntil(
        lambda: window.state.engine is not None and window.state.engine.status == "ready", timeout=10_000
    )
    assert window.overlay() is None and window.state.model is not None and before is not None
    assert window.state.model.path == before.path


def test_a_bad_file_is_worded_and_the_window_stays(window: MainWindow, tmp_path: Path, qtbot: QtBot) -> None:
    bad = tmp_path / "refuse-this.gguf"
    bad.write_text("<html>not found</html>")
    window.take_files([str(bad)])
    qtbot.waitUntil(lambda: bool(window.notices.banners()), timeout=10_000)
    banner = window.notices.banners()[0]
    assert "refuse-this" in banner.text.text() + banner.title.text()
    assert window.state.connected


def test_theme_language_palette_and_every_page(window: MainWindow, qtbot: QtBot, qapp: QApplication) -> None:
    for page in ("presets", "monitor", "log", "settings", "chat"):
        window.show_page(page)
        qtbot.wait(30)
        assert window.pages.current_id == page
        assert type(window.pages.current_page).__name__ != "FailedPage", page
    window.toggle_theme()
    assert theme().name == "light"
    qtbot.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    palette = window.overlay()
    assert isinstance(palette, Palette)
    qtbot.keyClicks(palette.field, "russian")
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    try:
        qtbot.waitUntil(lambda: window.rail.item("settings").text() == "Настройки", timeout=5_000)
        for page in ("presets", "monitor", "log", "settings", "chat"):
            window.show_page(page)
            qtbot.wait(30)
            assert type(window.pages.current_page).__name__ != "FailedPage", page
    finally:
        window.toggle_theme()
        set_language("en")
        qtbot.wait(50)


def test_the_service_is_killed_and_comes_back_with_the_model(
    window: MainWindow, model_file: Path, qtbot: QtBot
) -> None:
    load(window, model_file, qtbot)
    running = window.link._running
    assert running is not None and running.process is not None
    first = running.process.pid
    running.process.kill()
    qtbot.waitUntil(lambda: window.state.model is None or not window.state.connected, timeout=10_000)
    qtbot.waitUntil(
        lambda: (
            window.state.connected and window.state.model is not None and window.link._running is not running
        ),
        timeout=30_000,
    )
    again = window.link._running
    assert again is not None and again.process is not None and again.process.pid != first
    assert window.state.model is not None and window.state.model.path == str(model_file)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM for windowed programs")
def test_sigterm_closes_window_service_and_worker(user_dirs: Path, model_file: Path) -> None:
    environment = {**os.environ, "PULT_DATA": str(user_dirs), "QT_QPA_PLATFORM": "offscreen"}
    process = subprocess.Popen(
        [*program_command(), "--engine", "fake", str(model_file)],
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        service = user_dirs / "run" / "service.json"
        end = time.monotonic() + 30
        while not service.is_file() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
        assert service.is_file(), "the service did not come up"
        time.sleep(0.5)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output.decode()
        assert b"Traceback" not in output, output.decode()
        _gone, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert sys.platform != "win32"
