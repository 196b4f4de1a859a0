"""The column of chats: groups, search, renaming, deleting with undo, folders, files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from app.shared.chats import Chat
from app.ui.pages.chat.listing.column import read_text
from app.ui.pages.chat.listing.delegate import marked_words
from app.ui.pages.chat.listing.rows import (
    EARLIER,
    PINNED,
    THIS_WEEK,
    TODAY,
    YESTERDAY,
    ChatRow,
    Heading,
    grouped,
)
from app.ui.pages.chat.page import ChatPage
from tests.ui.chat.fakes import Desk

NOON = dt.datetime(2026, 3, 18, 12, 0).timestamp()
DAY = 86_400.0


def _chat(name: str, age_days: float, **more: object) -> Chat:
    at = NOON - age_days * DAY
    return Chat.model_validate({"id": name, "title": name, "created_at": at, "updated_at": at, **more})


def test_chats_are_grouped_by_day_with_pins_first() -> None:
    chats = [
        _chat("old", 30),
        _chat("week", 3),
        _chat("yesterday", 1),
        _chat("now", 0.1),
        _chat("last night", 0.6),
        _chat("pin", 50, pinned=True),
    ]
    rows = grouped(chats, now=NOON)
    shown = [
        row.title if isinstance(row, Heading) else row.chat.id for row in rows if not hasattr(row, "hit")
    ]
    assert shown == [
        PINNED,
        "pin",
        TODAY,
        "now",
        YESTERDAY,
        "last night",
        "yesterday",
        THIS_WEEK,
        "week",
        EARLIER,
        "old",
    ]
    assert grouped([_chat("a", 0, folder_id="f"), _chat("b", 0)], now=NOON, folder_id="f")[1:] == [
        ChatRow(_chat("a", 0, folder_id="f"))
    ]


def test_found_words_are_marked_in_utf16_units() -> None:
    assert marked_words("a 😀 \ue000word\ue001 b") == ("a 😀 word b", [(5, 4)])


def test_rows_change_in_place_and_headings_cannot_be_chosen(page: ChatPage, desk: Desk) -> None:
    first = desk.client.create_chat(title="First")
    model = page.column.model
    removed: list[int] = []
    model.rowsRemoved.connect(lambda *_: removed.append(1))
    model.modelReset.connect(lambda: removed.append(1))
    desk.client.create_chat(title="Second")
    assert [row.chat.title for row in model.rows if isinstance(row, ChatRow)] == ["Second", "First"]
    assert removed == []
    assert not model.index(0).flags() & Qt.ItemFlag.ItemIsSelectable
    desk.client.change_chat(first.id, pinned=True)
    assert isinstance(model.rows[0], Heading) and model.rows[0].title == PINNED


def test_keyboard_opens_renames_and_deletes_with_undo(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = desk.client.create_chat(title="Old name")
    view = page.column.view
    view.setCurrentIndex(page.column.model.index_of(chat.id))
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert page.session.chat_id == chat.id
    page.column.start_renaming(chat.id)
    field = view.viewport().findChild(QLineEdit)
    assert field is not None
    field.setText("New name")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: desk.client.chats_kept[chat.id].title == "New name", timeout=3000)
    assert page.header.title.text() == "New name"
    qtbot.keyClick(view, Qt.Key.Key_Delete)
    assert desk.client.chats_kept == {}
    assert page.session.chat_id is None
    words, undo = desk.toasts[-1]
    assert words == "“New name” deleted" and undo is not None
    undo()
    assert page.column.model.index_of(chat.id).isValid()


def test_search_shows_snippets_and_opens_the_message(page: ChatPage, desk: Desk, qtbot: QtBot) -> None:
    chat = desk.client.create_chat(title="Caches")
    message = desk.client.add(chat.id, "user", "about flash attention")
    page.column.search.setText("flash")
    qtbot.waitUntil(lambda: page.column.model.rowCount() == 1, timeout=3000)
    page.column.view.opened.emit(page.column.model.index(0))
    assert page.session.chat_id == chat.id
    assert page.conversation.view_of(message.id) is not None
    page.column.search.setText("nothing like it")
    qtbot.waitUntil(lambda: page.column.model.rowCount() == 0, timeout=3000)
    assert page.column.empty.text() == "Nothing found for “nothing like it”."
    page.column.search.clear()
    qtbot.waitUntil(lambda: page.column.model.rowCount() == 2, timeout=3000)


def test_folders_filter_the_list(page: ChatPage, desk: Desk) -> None:
    inside, outside = desk.client.create_chat(title="In"), desk.client.create_chat(title="Out")
    folder = desk.client.create_folder("Work")
    page.column.fetch()
    assert page.column.folder_button.text() == "Folders · 1"
    page.column.move_to(inside, folder.id)
    page.column.choose_folder(folder.id)
    assert [row.chat.id for row in page.column.model.rows if isinstance(row, ChatRow)] == [inside.id]
    assert page.column.folder_button.text() == "Work"
    page.column.choose_folder(None)
    assert page.column.model.index_of(outside.id).isValid()


def test_export_and_import_go_through_files(page: ChatPage, desk: Desk, tmp_path: Path) -> None:
    chat = desk.client.create_chat(title="Talk")
    target = tmp_path / "talk.md"
    page.column.export_to(chat, "markdown", str(target))
    assert read_text(str(target)) == f"markdown of {chat.id}"
    assert desk.toasts[-1][0] == "Exported to talk.md"
    page.column.import_files([str(target)])
    assert desk.client.called("import_chats") == [(f"markdown of {chat.id}", "markdown")]
    assert page.session.chat is not None and page.session.chat.title == "Imported"
    page.column.export_to(chat, "json", str(tmp_path / "missing" / "talk.json"))
    assert "could not be written" in desk.operations.failures[-1].sentence
