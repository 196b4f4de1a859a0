"""Taking chats along: JSON loses nothing, Markdown brings roles and texts back, wrong files get a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.service.chats.exchange import from_markdown, to_markdown
from app.service.chats.store import ChatStore
from app.shared.chats import AnswerFacts, Attachment, Chat, ChatView, Message
from app.shared.engine import ToolCall
from app.shared.errors import BadRequest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChatStore]:
    opened = ChatStore(tmp_path / "chats.db", publish=lambda event: None)
    yield opened
    opened.close()


def branched(store: ChatStore) -> Chat:
    chat = store.create(title="Ветви: and <branches>")
    first = store.add(
        chat.id,
        role="user",
        text="q1",
        parent_id=None,
        attachments=[Attachment(name="a.txt", text="```\nx\n")],
    )
    answer = store.add(chat.id, role="assistant", text="", parent_id=first.id, state="writing")
    store.finish(
        answer.id,
        text="a1",
        thought="hm\n\nyes",
        state="done",
        facts=AnswerFacts(model="m", seed=2**32 - 2, values={"top_p": 0.8}),
        tool_calls=[ToolCall(id="1", name="f", arguments="{}")],
    )
    store.add(chat.id, role="tool", text="42", parent_id=answer.id, tool_call_id="1")
    store.add(chat.id, role="user", text="q1 again", parent_id=None)
    store.choose(answer.id)
    return store.change(chat.id, draft="not yet sent", pinned=True)


def without_ids(text: str) -> Any:
    data = json.loads(text)
    for chat in data["chats"]:
        places = {message["id"]: place for place, message in enumerate(chat["messages"])}
        chat["chat"].pop("id")
        chat["chosen_id"] = places.get(chat["chosen_id"])
        for message in chat["messages"]:
            for key in ("id", "parent_id", "chosen_id"):
                message[key] = places.get(message[key])
    return data


def test_json_comes_back_without_loss(store: ChatStore) -> None:
    before = store.export_json(branched(store).id)
    (copy,) = store.import_chat(before, format="json")
    assert without_ids(store.export_json(copy.id)) == without_ids(before)
    assert [message.text for message in store.view(copy.id).messages] == ["q1", "a1", "42"]
    assert len(store.search("again")) == 2


def test_markdown_comes_back_with_all_its_parts(store: ChatStore) -> None:
    chat = branched(store)
    (copy,) = store.import_chat(store.export_markdown(chat.id), format="markdown")
    assert copy.title == chat.title

    def told(chat_id: str) -> list[Any]:
        return [
            (m.role, m.text, m.thought, m.attachments, m.tool_calls, m.tool_call_id, int(m.created_at))
            for m in store.view(chat_id).messages
        ]

    assert told(copy.id) == told(chat.id)


LINES = st.lists(
    st.sampled_from(
        [
            "",
            "text",
            "# Title",
            "## User",
            "## Assistant",
            "<!-- pult:user -->",
            "<!-- \\pult:thought -->",
            "```",
            "  x ",
        ]
    ),
    max_size=8,
).map("\n".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), LINES, LINES), min_size=1, max_size=4),
    st.text(),
)
def test_no_text_breaks_the_markdown_apart(said: list[tuple[str, str, str]], name: str) -> None:
    messages = tuple(
        Message(
            id=str(number),
            chat_id="c",
            role=role,  # type: ignore[arg-type]
            text=text,
            thought=thought or None,
            attachments=(Attachment(name=name, text=text),),
            created_at=1.0,
        )
        for number, (role, text, thought) in enumerate(said)
    )
    view = ChatView(chat=Chat(id="c", title="t", created_at=1.0, updated_at=1.0), messages=messages)
    (parsed,) = from_markdown(to_markdown(view))
    assert [(m.role, m.text, m.thought or None) for m in parsed.messages] == [
        (m.role, m.text, m.thought) for m in messages
    ]
    assert [m.attachments for m in parsed.messages] == [m.attachments for m in messages]


def test_markdown_written_by_hand_is_understood(store: ChatStore) -> None:
    text = "# Kites\r\n\r\n## You\r\nWhy red?\r\n\r\n## Assistant\r\n\r\nBecause.\r\n## not a heading of ours\r\n"
    (chat,) = store.import_chat(text, format="markdown")
    assert chat.title == "Kites"
    said = [(message.role, message.text) for message in store.view(chat.id).messages]
    assert said == [("user", "Why red?"), ("assistant", "Because.\n## not a heading of ours")]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("{", "json", "is not JSON"),
        ("[1]", "json", "no export of chats"),
        ('{"format": "pult-chats", "version": 7, "chats": []}', "json", "version 7"),
        (
            '{"format": "pult-chats", "version": 1, "chats": [{"chat": 3}]}',
            "json",
            "does not fit at chats.0.chat",
        ),
        ("just prose", "markdown", "no messages"),
        ("", "markdown", "no messages"),
    ],
)
def test_wrong_files_are_refused_with_a_sentence(store: ChatStore, text: str, kind: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        store.import_chat(text, format=kind)
    assert store.chats() == ()


def test_a_file_with_a_message_before_its_parent_changes_nothing(store: ChatStore) -> None:
    data = json.loads(store.export_json(branched(store).id))
    data["chats"][0]["messages"].reverse()
    before = len(store.chats())
    with pytest.raises(BadRequest, match="stand before it"):
        store.import_chat(json.dumps(data), format="json")
    assert len(store.chats()) == before
