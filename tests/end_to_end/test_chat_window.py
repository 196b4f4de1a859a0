"""Chatting in the real window: typed and clicked, answered by the fake engine through the real service."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.ui.main_window import MainWindow
from app.ui.pages.chat.conversation.answer_view import AnswerView
from app.ui.pages.chat.page import ChatPage


@pytest.fixture
def chat(window: MainWindow, model_file: Path, qtbot: QtBot) -> ChatPage:
    """The chat page of a window with a model loaded."""
    window.show_page("chat")
    page = window.pages.current_page
    assert isinstance(page, ChatPage)
    window.take_files([str(model_file)])
    qtbot.waitUntil(
        lambda: window.state.engine is not None and window.state.engine.status == "ready", timeout=15_000
    )
    return page


def _write(page: ChatPage, text: str, qtbot: QtBot) -> None:
    qtbot.keyClicks(page.composer.field, text)
    qtbot.keyClick(page.composer.field, Qt.Key.Key_Return)


def _done(page: ChatPage, count: int, qtbot: QtBot) -> None:
    def finished() -> bool:
        messages = page.session.messages
        return len(messages) == count and messages[-1].state != "writing" and page.composer.text == ""

    qtbot.waitUntil(finished, timeout=20_000)


def _answer(page: ChatPage) -> AnswerView:
    view = page.conversation.view_of(page.session.messages[-1].id)
    assert isinstance(view, AnswerView)
    return view


def test_talk_regenerate_step_edit_and_find(chat: ChatPage, window: MainWindow, qtbot: QtBot) -> None:
    _write(chat, "fake:markdown please", qtbot)
    _done(chat, 2, qtbot)
    answer = chat.session.messages[-1]
    assert answer.state == "done" and answer.facts is not None
    assert _answer(chat).text_view.source == answer.text
    assert "tokens/s" in _answer(chat).facts_words
    qtbot.waitUntil(lambda: chat.column.model.rowCount() == 2, timeout=5_000)
    assert chat.header.title.text().startswith("fake:markdown")
    qtbot.waitUntil(lambda: chat.composer.ring.text() != "", timeout=5_000)

    chat.conversation.asked.emit("regenerate", answer.id)
    qtbot.waitUntil(lambda: chat.session.messages[-1].sibling_count == 2, timeout=10_000)
    _done(chat, 2, qtbot)
    second = chat.session.messages[-1].id
    assert second != answer.id
    qtbot.waitUntil(lambda: _answer(chat)._versions.isVisible(), timeout=5_000)
    _answer(chat)._versions.before.click()
    qtbot.waitUntil(lambda: chat.session.messages[-1].id == answer.id, timeout=5_000)

    question = chat.session.messages[0]
    chat.conversation.asked.emit("edit", question.id)
    editor = chat.conversation.view_of(question.id)
    assert editor is not None and editor.editor is not None
    editor.editor.area.setPlainText("Another question")
    editor.editor.primary.click()
    qtbot.waitUntil(lambda: chat.session.messages[0].text == "Another question", timeout=10_000)
    _done(chat, 2, qtbot)
    assert chat.session.messages[0].sibling_count == 2

    chat.column.search.setText("Another")
    qtbot.waitUntil(
        lambda: any("Another" in row.hit.snippet for row in chat.column.model.rows if hasattr(row, "hit")),
        timeout=5_000,
    )


def test_escape_stops_and_continuing_goes_on(chat: ChatPage, window: MainWindow, qtbot: QtBot) -> None:
    _write(chat, "fake:tokens=4000", qtbot)
    qtbot.waitUntil(
        lambda: bool(chat.session.messages) and len(chat.session.messages[-1].text) > 20, timeout=10_000
    )
    qtbot.keyClick(chat.composer.field, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: chat.session.messages[-1].state == "stopped", timeout=10_000)
    assert "stopped" in _answer(chat).facts_words
    kept = chat.session.messages[-1].text
    qtbot.waitUntil(
        lambda: window.state.engine is not None and window.state.engine.status == "ready", timeout=5_000
    )
    _answer(chat)._continue.click()
    qtbot.waitUntil(lambda: len(chat.session.messages[-1].text) > len(kept), timeout=10_000)
    assert chat.session.messages[-1].text.startswith(kept)
    assert chat.stop_work()
    qtbot.waitUntil(lambda: chat.session.messages[-1].state == "stopped", timeout=10_000)


def test_an_engine_that_dies_costs_neither_chat_nor_text(
    chat: ChatPage, window: MainWindow, qtbot: QtBot
) -> None:
    _write(chat, "fake:die now", qtbot)
    qtbot.waitUntil(
        lambda: bool(chat.session.messages) and chat.session.messages[-1].state == "failed", timeout=15_000
    )
    failed = chat.session.messages[-1]
    assert failed.facts is not None and failed.facts.error
    banner = _answer(chat)._banner
    assert banner is not None and banner.text.text() == failed.facts.error
    qtbot.keyClicks(chat.composer.field, "still here")
    qtbot.waitUntil(lambda: chat.composer.send.reason != "", timeout=5_000)
    qtbot.keyClick(chat.composer.field, Qt.Key.Key_Return)
    assert chat.composer.text == "still here"
    qtbot.waitUntil(lambda: chat.notice is not None, timeout=5_000)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_service_keeps_what_was_typed_and_what_was_said(
    chat: ChatPage, window: MainWindow, qtbot: QtBot
) -> None:
    _write(chat, "Hello", qtbot)
    _done(chat, 2, qtbot)
    said = [message.text for message in chat.session.messages]
    qtbot.keyClicks(chat.composer.field, "half a sentence")
    import psutil

    services = [child for child in psutil.Process().children() if "serve" in " ".join(child.cmdline())]
    assert services
    services[0].send_signal(signal.SIGKILL)
    qtbot.waitUntil(lambda: not window.state.connected, timeout=10_000)
    assert chat.composer.text == "half a sentence"
    qtbot.waitUntil(lambda: window.state.connected, timeout=30_000)
    qtbot.waitUntil(lambda: [m.text for m in chat.session.messages] == said, timeout=10_000)
    assert chat.composer.text == "half a sentence"
