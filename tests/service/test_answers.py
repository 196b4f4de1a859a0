"""Answers in chats: saved as they come, stopped, failed, kept while the disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service import answers as answers_module
from app.service.services import Services
from app.service.turns import TITLE_LENGTH, title_of, turns_of
from app.shared.chats import Attachment, Message
from app.shared.engine import EngineStatus
from app.shared.errors import BadRequest, NoModelLoaded
from app.shared.events import AnswerText, Event, MessageChanged, Problem
from tests.service.doubles import MemoryChats, loaded, small_services, wait_until


@pytest.fixture
def services() -> Iterator[Services]:
    made = small_services(rate=1000)
    yield made
    made.answers.close()
    made.engine.close()


def chats_of(services: Services) -> MemoryChats:
    chats: Any = services.chats
    assert isinstance(chats, MemoryChats)
    return chats


def ask(services: Services, text: str, **values: Any) -> Message:
    chats = chats_of(services)
    chat = chats.create()
    user = chats.add(chat.id, role="user", text=text, parent_id=None)
    return services.answers.start(chat.id, parent_id=user.id, values=values)


def ended(services: Services, message: Message) -> Message:
    wait_until(lambda: chats_of(services).messages[message.id].state != "writing")
    return chats_of(services).messages[message.id]


def listen(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    heard: list[Event] = []
    publish = services.hub.publish

    def both(event: Event) -> None:
        heard.append(event)
        publish(event)

    monkeypatch.setattr(services.hub, "publish", both)
    return heard


def test_an_answer_is_streamed_saved_and_measured(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(services, monkeypatch)
    loaded(services)
    message = ask(services, "# What is a cache?\nfake:tokens=600", seed=4)
    assert message.state == "writing" and services.answers.writing()[0].id == message.id
    done = ended(services, message)
    assert done.state == "done" and done.facts is not None
    assert done.facts.seed == 4 and done.facts.values == {"seed": 4} and done.facts.model == "fake"
    assert done.facts.timings.completion_tokens > 600 and done.facts.finish_reason == "stop"
    texts = [event for event in heard if isinstance(event, AnswerText)]
    assert "".join(event.text for event in texts) == done.text
    assert "".join(event.thought for event in texts) == done.thought
    assert len(texts) < 70  # about 0.6 s at sixty a second, with the prefill's
    # Saved whenever something is shown, so that a kill costs no more than the piece in flight.
    shown = sum(1 for event in texts if event.text or event.thought)
    assert shown - 1 <= chats_of(services).writes <= 70
    assert chats_of(services).chat(message.chat_id).title == "What is a cache?"
    wait_until(lambda: not services.answers.writing())


def test_stopping_keeps_what_was_written(services: Services) -> None:
    loaded(services)
    message = ask(services, "fake:tokens=90000")
    wait_until(lambda: services.answers.writing()[0].text)
    services.answers.stop(message.id)
    stopped = ended(services, message)
    assert stopped.state == "stopped" and stopped.text and stopped.facts is not None
    assert stopped.facts.finish_reason == "cancelled"
    assert services.answers.stop(message.id).state == "stopped"


def test_a_failure_is_a_sentence_on_the_message(services: Services) -> None:
    with pytest.raises(NoModelLoaded):
        ask(services, "hello")
    loaded(services)
    failed = ended(services, ask(services, "fake:fail"))
    assert failed.state == "failed" and failed.facts is not None
    assert failed.facts.error == "The fake engine was asked to fail. Ask something else."
    assert services.engine.state().status is EngineStatus.READY
    with pytest.raises(BadRequest, match="loaded"):
        ask(services, "hello", context=512)


def test_continuing_appends_to_the_same_message(services: Services) -> None:
    loaded(services)
    first = ended(services, ask(services, "hello"))
    again = services.answers.start(first.chat_id, parent_id=None, continue_message_id=first.id)
    assert again.id == first.id
    wait_until(lambda: not services.answers.writing())
    longer = chats_of(services).messages[first.id]
    assert longer.text.startswith(first.text) and len(longer.text) > len(first.text)
    assert longer.thought == first.thought


def test_a_full_disk_costs_no_word(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "RETRY_SECONDS", 0.05)
    heard = listen(services, monkeypatch)
    problems: list[Event] = []
    monkeypatch.setattr(services.log, "_publish", problems.append)
    loaded(services)
    message = ask(services, "fake:tokens=700")
    chats = chats_of(services)
    chats.full = True
    wait_until(lambda: [each.state for each in services.answers.writing()] == ["done"])
    told = [
        event.message
        for event in heard
        if isinstance(event, MessageChanged) and event.message.id == message.id
    ]
    assert told[-1].state == "done" and told[-1].text.endswith(".")
    said = [event.error.sentence for event in problems if isinstance(event, Problem)]
    assert said == ["The disk is full, so the chat is not saved. Free some space."]
    assert chats.messages[message.id].state == "writing"
    chats.full = False
    assert ended(services, message).text == told[-1].text
    wait_until(lambda: not services.answers.writing())


def test_a_snapshot_and_what_follows_are_the_whole_text(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(services)
    heard = listen(services, monkeypatch)
    message = ask(services, "fake:tokens=1500")
    wait_until(lambda: services.answers.writing() and services.answers.writing()[0].text)
    with services.hub.order:
        text = services.answers.writing()[0].text
        start = len(heard)
    done = ended(services, message)
    text += "".join(event.text for event in heard[start:] if isinstance(event, AnswerText))
    assert text == done.text


def test_turns_carry_files_thoughts_and_the_system_prompt() -> None:
    path = [
        Message(
            id="1",
            chat_id="c",
            role="user",
            text="Read this",
            attachments=(Attachment(name="a.py", text="print('```')\n"),),
            created_at=1,
        ),
        Message(id="2", chat_id="c", parent_id="1", role="assistant", text="", state="failed", created_at=1),
        Message(id="3", chat_id="c", parent_id="2", role="assistant", text="ok", thought="hm", created_at=1),
    ]
    system, user, assistant = turns_of(path, "Be kind.")
    assert system.role == "system" and system.content == "Be kind."
    assert user.content == "Read this\n\nFile a.py:\n````py\nprint('```')\n````"
    assert assistant.thought == "hm"


@given(st.text(max_size=300))
def test_titles_are_one_short_line(text: str) -> None:
    title = title_of(text)
    assert len(title) <= TITLE_LENGTH + 1 and "\n" not in title and title == title.strip()
    assert bool(title) or not any(line.strip("#>*`- \t").split() for line in text.splitlines())
