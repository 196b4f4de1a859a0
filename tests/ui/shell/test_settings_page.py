"""The Settings page: every change acts and is remembered."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.shared.engine import RemoteServer
from app.ui.controls import IconButton
from app.ui.pages.settings import SettingsPage
from app.ui.shell.remote_dialog import RemoteDialog
from app.ui.theme import apply_theme, theme
from tests.ui.shell.conftest import Stage


@pytest.fixture
def page(stage: Stage) -> SettingsPage:
    stage.window.show_page("settings")
    shown = stage.window.pages.current_page
    assert isinstance(shown, SettingsPage)
    return shown


def test_looks_act_at_once_and_are_remembered(
    page: SettingsPage, stage: Stage, qtbot: QtBot, qapp: QApplication
) -> None:
    memory = stage.window.context.settings
    try:
        qtbot.mouseClick(page.theme_choice.button("light"), Qt.MouseButton.LeftButton)
        assert theme().name == "light" and memory.text("theme") == "light"
        qtbot.mouseClick(page.strong_borders, Qt.MouseButton.LeftButton)
        qtbot.mouseClick(page.reduce_motion, Qt.MouseButton.LeftButton)
        assert theme().strong_borders and theme().reduce_motion and theme().name == "light"
        assert memory.get("strong_borders", False) and memory.get("reduce_motion", False)
        stage.window.toggle_theme()
        assert page.theme_choice.current() == "dark"
    finally:
        apply_theme(qapp, "dark", strong_borders=False, reduce_motion=False)


def test_rate_is_the_services_and_is_changed_there(page: SettingsPage, stage: Stage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: page.rate.current() == "5.0")
    page.rate.chosen.emit("10.0")
    qtbot.waitUntil(lambda: stage.client.asked("set_telemetry_rate") == [((10.0,), {})])


def test_what_opens_at_the_start_is_kept(page: SettingsPage, stage: Stage, qtbot: QtBot) -> None:
    qtbot.mouseClick(page.start_with.button("guide"), Qt.MouseButton.LeftButton)
    assert stage.window.context.settings.get("start_with", "last") == "guide"


def test_address_and_key_are_copied(page: SettingsPage, stage: Stage, qtbot: QtBot) -> None:
    assert page.address.text() == "http://127.0.0.1:1/v1"
    qtbot.mouseClick(page.copy_token, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().text() == "secret")


def test_servers_are_added_refused_removed_and_brought_back(
    page: SettingsPage, stage: Stage, qtbot: QtBot
) -> None:
    qtbot.mouseClick(page.add_server, Qt.MouseButton.LeftButton)
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, RemoteDialog)
    qtbot.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    assert dialog.problem.text() == "Give the server a name."
    dialog.name.setText("Workstation")
    dialog.url.setText("10.0.0.5:8000")
    qtbot.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    assert "http://" in dialog.problem.text() and not stage.client.servers
    dialog.url.setText("http://10.0.0.5:8000/v1/")
    qtbot.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    expected = RemoteServer(name="Workstation", url="http://10.0.0.5:8000/v1")
    qtbot.waitUntil(lambda: stage.client.servers == [expected])

    def remove_button() -> IconButton | None:
        buttons = page.findChildren(IconButton)
        return next(
            (b for b in buttons if b.accessibleName() == "Remove Workstation" and b.isVisible()), None
        )

    qtbot.waitUntil(lambda: remove_button() is not None)
    qtbot.mouseClick(remove_button(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not stage.client.servers and stage.window.toast_panel.isVisible())
    qtbot.mouseClick(stage.window.toast_panel.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.client.servers == [expected])
