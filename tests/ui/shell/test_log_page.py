"""The Log page: live lines, filters, following, copying, saving."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.shared.events import LogLine
from app.ui.pages.log import KEPT_LINES, LogPage
from tests.ui.shell.conftest import Stage


def line(number: int, level: str = "info", source: str = "worker", text: str = "") -> LogLine:
    return LogLine(at=2_000.0 + number, level=level, source=source, text=text or f"line {number}")  # type: ignore[arg-type]  # parametrised


@pytest.fixture
def page(stage: Stage, qtbot: QtBot) -> LogPage:
    stage.window.show_page("log")
    shown = stage.window.pages.current_page
    assert isinstance(shown, LogPage)
    shown._clear()
    return shown


def lines_of(page: LogPage) -> list[str]:
    return [each.split(maxsplit=2)[-1] for each in page.shown_text().splitlines()]


def test_filters_by_level_source_and_text(page: LogPage, stage: Stage, qtbot: QtBot) -> None:
    stage.client.say(
        line(1, "debug", text="quiet"),
        line(2, "info", text="loaded the model"),
        line(3, "warning", "llama.cpp", "slow buffer"),
        line(4, "error", "service", "disk is full"),
    )
    qtbot.waitUntil(lambda: len(lines_of(page)) == 3)
    page.level.set_current("debug")
    page.level.chosen.emit("debug")
    qtbot.waitUntil(lambda: len(lines_of(page)) == 4)
    page.source.set_current("llama.cpp")
    page.source.chosen.emit("llama.cpp")
    qtbot.waitUntil(lambda: lines_of(page) == ["slow buffer"])
    page.source.set_current("")
    qtbot.keyClicks(page.search, "DISK")
    qtbot.waitUntil(lambda: lines_of(page) == ["disk is full"])
    qtbot.waitUntil(lambda: page.count.text() == "1 line")


def test_it_follows_until_told_not_to(page: LogPage, stage: Stage, qtbot: QtBot) -> None:
    stage.client.say(*(line(number) for number in range(400)))
    qtbot.waitUntil(lambda: len(lines_of(page)) == 400)
    bar = page.view.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    qtbot.mouseClick(page.follow, Qt.MouseButton.LeftButton)
    bar.setValue(0)
    stage.client.say(line(500))
    qtbot.waitUntil(lambda: len(lines_of(page)) == 401)
    assert bar.value() == 0


def test_it_keeps_a_bounded_number_of_lines(page: LogPage, stage: Stage, qtbot: QtBot) -> None:
    stage.client.say(*(line(number) for number in range(KEPT_LINES + 300)))
    qtbot.waitUntil(lambda: lines_of(page)[-1:] == [f"line {KEPT_LINES + 299}"], timeout=20_000)
    assert page.view.blockCount() == KEPT_LINES


def test_copies_and_saves_what_is_shown(page: LogPage, stage: Stage, qtbot: QtBot, tmp_path: Path) -> None:
    stage.client.say(line(1, text="first"), line(2, text="second"))
    qtbot.waitUntil(lambda: len(lines_of(page)) == 2)
    qtbot.mouseClick(page.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == page.shown_text()
    page.save_to(str(tmp_path / "kept.log"))
    qtbot.waitUntil(lambda: (tmp_path / "kept.log").is_file() and stage.window.operations.running == 0)
    assert "second" in (tmp_path / "kept.log").read_text(encoding="utf-8")
    page.save_to(str(tmp_path / "missing" / "kept.log"))
    qtbot.waitUntil(lambda: bool(stage.window.notices.banners()))
    assert "could not be saved" in stage.window.notices.banners()[0].text.text()


def test_earlier_lines_are_fetched_once_connected(stage: Stage, qtbot: QtBot) -> None:
    page = stage.window.pages.page("log")
    assert isinstance(page, LogPage)
    stage.client.log_lines = (line(1, text="from before"),)
    page._fetch()
    qtbot.waitUntil(lambda: "from before" in page.shown_text())
