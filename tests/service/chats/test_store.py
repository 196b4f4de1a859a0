"""The store: trees, undo, search, drafts, temporary chats, and every change told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.service.chats.store import ChatStore
from app.shared.chats import AnswerFacts, Attachment, Message
from app.shared.engine import ToolCall
from app.shared.errors import BadRequest, BadValue, NotFound
from app.shared.events import Event

EVENTS = list[Event]


@pytest.fixture
def told() -> EVENTS:
    return []


@pytest.fixture
def store(tmp_path: Path, told: EVENTS) -> Iterator[ChatStore]:
    opened = ChatStore(tmp_path / "chats.db", publish=told.append)
    yield opened
    opened.close()


def talk(store: ChatStore, chat_id: str, *texts: str, parent_id: str | None = None) -> list[Message]:
    said: list[Message] = []
    for text in texts:
        role = "assistant" if said and said[-1].role == "user" else "user"
        last = said[-1].id if said else parent_id
        said.append(store.add(chat_id, role=role, text=text, parent_id=last))  # type: ignore[arg-type]
    return said


def texts(store: ChatStore, chat_id: str) -> list[str]:
    return [message.text for message in store.view(chat_id).messages]


def test_an_edit_makes_a_sibling_and_the_old_branch_can_be_chosen_again(store: ChatStore) -> None:
    chat = store.create(title="Kites")
    first, answer, _ = talk(store, chat.id, "red?", "blue", "why")
    second = store.add(chat.id, role="user", text="green?", parent_id=None)
    assert texts(store, chat.id) == ["green?"]
    assert (second.sibling_index, second.sibling_count) == (1, 2)
    assert second.sibling_ids == (first.id, second.id)
    assert [message.text for message in store.choose(first.id).messages] == ["red?", "blue", "why"]
    assert [message.text for message in store.path_to(answer.id)] == ["red?", "blue"]


def test_choosing_a_message_deep_in_another_branch_shows_the_whole_way(store: ChatStore) -> None:
    chat = store.create()
    first, _ = talk(store, chat.id, "a", "b")
    other = store.add(chat.id, role="assistant", text="b2", parent_id=first.id)
    deep = store.add(chat.id, role="user", text="c2", parent_id=other.id)
    store.add(chat.id, role="user", text="other root", parent_id=None)
    assert [message.id for message in store.choose(deep.id).messages] == [first.id, other.id, deep.id]


def test_removing_takes_what_follows_and_undo_brings_exactly_that_back(store: ChatStore) -> None:
    chat = store.create()
    said = talk(store, chat.id, "1", "2", "3", "4")
    store.remove_message(said[3].id)
    store.remove_message(said[1].id)
    assert texts(store, chat.id) == ["1"]
    with pytest.raises(NotFound):
        store.restore_message(said[3].id)
    store.restore_message(said[1].id)
    assert texts(store, chat.id) == ["1", "2", "3"]
    store.restore_message(said[3].id)
    assert texts(store, chat.id) == ["1", "2", "3", "4"]


def test_a_deleted_chat_is_gone_everywhere_and_comes_back_whole(store: ChatStore, told: EVENTS) -> None:
    chat = store.create(title="Lanterns")
    message = talk(store, chat.id, "paper lanterns")[0]
    store.remove(chat.id)
    assert store.chats() == () and store.search("lant") == ()
    assert told[-1].type == "chat_removed"
    with pytest.raises(NotFound):
        store.message(message.id)
    with pytest.raises(NotFound):
        store.add(chat.id, role="user", text="x", parent_id=None)
    assert store.restore(chat.id).title == "Lanterns"
    assert texts(store, chat.id) == ["paper lanterns"]


def test_search_finds_beginnings_of_words_in_english_and_russian(store: ChatStore) -> None:
    chat = store.create(title="Фонари и свечи")
    talk(store, chat.id, "Расскажи о бумажных фонарях", "Paper lanterns float. Бумажные фонари летят.")
    snippets = [hit.snippet for hit in store.search("бумаж фонар")]
    assert len(snippets) == 2 and all("\ue000" in snippet and "\ue001" in snippet for snippet in snippets)
    assert [hit.message_id is None for hit in store.search("фонари")] == [True, False]
    assert store.search("LANT")[0].snippet.count("\ue000lanterns\ue001") == 1
    assert store.search("терн") == ()
    for odd in ("", "   ", '"', "AND OR NOT", "a* (b", "'); DROP TABLE chats; --", "^", "-x"):
        store.search(odd)


def test_search_follows_edits_and_attachments_and_not_unfinished_answers(store: ChatStore) -> None:
    chat = store.create()
    asked = store.add(
        chat.id,
        role="user",
        text="old words",
        parent_id=None,
        attachments=[Attachment(name="n.txt", text="zebra")],
    )
    answer = store.add(chat.id, role="assistant", text="", parent_id=asked.id, state="writing")
    store.write(answer.id, text="giraffe", thought=None)
    assert store.search("giraffe") == ()
    store.finish(answer.id, text="giraffe", thought="hm", state="done", facts=AnswerFacts(model="m"))
    store.rewrite(asked.id, "new words")
    found = [[hit.message_id for hit in store.search(word)] for word in ("giraffe", "zebra", "new", "old")]
    assert found == [[answer.id], [asked.id], [asked.id], []]


def test_every_field_of_a_message_is_kept(store: ChatStore) -> None:
    chat = store.create()
    facts = AnswerFacts(model="m", values={"seed": 3, "thinking": False}, seed=3, finish_reason="tool_calls")
    call = ToolCall(id="c1", name="look", arguments='{"x": "é"}')
    asked = talk(store, chat.id, "ask")[0]
    answer = store.add(chat.id, role="assistant", text="", parent_id=asked.id, state="writing")
    done = store.finish(answer.id, text="t", thought="th", state="stopped", facts=facts, tool_calls=[call])
    assert done == store.message(answer.id)
    assert (done.facts, done.tool_calls, done.thought, done.state) == (facts, (call,), "th", "stopped")
    assert store.chat(chat.id).model == "m"
    assert store.answers() == (done,)
    reply = store.add(chat.id, role="tool", text="42", parent_id=answer.id, tool_call_id="c1")
    assert store.message(reply.id).tool_call_id == "c1"


def test_chats_are_listed_pinned_first_then_newest(store: ChatStore) -> None:
    old, middle, new = (store.create(title=title) for title in ("old", "middle", "new"))
    store.change(old.id, pinned=True)
    talk(store, middle.id, "hi")
    assert [chat.title for chat in store.chats()] == ["old", "middle", "new"]
    assert store.chat(middle.id).message_count == 1
    assert store.change(new.id, draft="half a thou").draft == "half a thou"
    assert store.chat(new.id).updated_at == new.updated_at


def test_folders_are_ordered_and_their_chats_outlive_them(store: ChatStore, told: EVENTS) -> None:
    work, play = store.create_folder("Work"), store.create_folder("Play")
    chat = store.create(title="in it", folder_id=work.id)
    store.change_folder(play.id, position=0)
    assert [folder.name for folder in store.folders()] == ["Play", "Work"]
    assert store.change_folder(work.id, name="Office").name == "Office"
    store.remove_folder(work.id)
    assert store.chat(chat.id).folder_id is None
    assert [event.type for event in told[-2:]] == ["folders", "chat"]
    assert store.change(chat.id, folder_id=play.id).folder_id == play.id
    assert store.change(chat.id, title="t").folder_id == play.id
    assert store.change(chat.id, folder_id=None).folder_id is None
    with pytest.raises(NotFound):
        store.change(chat.id, folder_id="nowhere")
    with pytest.raises(BadValue):
        store.create_folder("  ")


def test_temporary_chats_work_alike_and_leave_no_trace_on_disk(store: ChatStore, tmp_path: Path) -> None:
    chat = store.create(title="secret plan", temporary=True)
    talk(store, chat.id, "xyzzy secret", "answer")
    assert store.chats()[0].temporary and texts(store, chat.id) == ["xyzzy secret", "answer"]
    assert [hit.message_id is None for hit in store.search("secret")] == [True, False]
    store.remove(chat.id)
    store.restore(chat.id)
    assert len(store.chats()) == 1
    store.close()
    for file in tmp_path.iterdir():
        assert not file.is_file() or b"xyzzy" not in file.read_bytes()


def test_a_message_cannot_follow_one_of_another_chat(store: ChatStore) -> None:
    one, other = store.create(), store.create()
    message = talk(store, one.id, "x")[0]
    with pytest.raises(BadRequest):
        store.add(other.id, role="user", text="y", parent_id=message.id)
    assert texts(store, other.id) == []


def test_an_answer_being_written_cannot_be_rewritten(store: ChatStore) -> None:
    chat = store.create()
    asked = talk(store, chat.id, "x")[0]
    answer = store.add(chat.id, role="assistant", text="", parent_id=asked.id, state="writing")
    with pytest.raises(BadRequest, match="still being written"):
        store.rewrite(answer.id, "mine")


def test_answers_since_a_time_come_oldest_first_and_limited(store: ChatStore) -> None:
    chat = store.create()
    parent = talk(store, chat.id, "x")[0].id
    made = []
    for number in range(4):
        answer = store.add(chat.id, role="assistant", text="", parent_id=parent, state="writing")
        made.append(
            store.finish(answer.id, text=str(number), thought=None, state="done", facts=AnswerFacts())
        )
    assert [message.text for message in store.answers(limit=2)] == ["2", "3"]
    assert [message.text for message in store.answers(since=made[3].created_at)] == ["3"]


def test_an_answer_taken_up_again_is_being_written_and_can_be_cut_off(store: ChatStore) -> None:
    chat = store.create()
    question = store.add(chat.id, role="user", text="why", parent_id=None)
    answer = store.add(chat.id, role="assistant", text="because", parent_id=question.id, state="stopped")
    assert store.reopen(answer.id).state == "writing"
    assert store.message(answer.id).text == "because"
    store.mark_cut_off()
    assert store.message(answer.id).state == "cut_off"
