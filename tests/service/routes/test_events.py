"""`GET /events` over a real connection: a state first, every event after it, and nothing left when the listener goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from app.service.routes import events as events_route
from app.service.services import Services
from app.shared.engine import EngineStatus
from app.shared.events import EVENT, AnswerText, EngineChanged, Event, LogLine, State
from tests.service.doubles import headers, loaded, serving, wait_until


@pytest.fixture
def services() -> Iterator[Services]:
    with serving(rate=1500) as running:
        yield running


class Listener:
    """Reads a stream on a thread."""

    def __init__(self, services: Services) -> None:
        self.events: list[Event] = []
        self.numbers: list[int] = []
        self.comments = 0
        self._client = httpx.Client(base_url=services.address, headers=headers(), timeout=10)
        self._response: httpx.Response | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, name="listener")
        self._thread.start()
        wait_until(lambda: self.events)

    def _read(self) -> None:
        with self._client.stream("GET", "/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            for line in response.iter_lines():
                if line.startswith("id: "):
                    self.numbers.append(int(line[4:]))
                elif line.startswith("data: "):
                    self.events.append(EVENT.validate_json(line[6:]))
                elif line.startswith(":"):
                    self.comments += 1
                if self._done.is_set():
                    return

    def close(self) -> None:
        self._done.set()

    def join(self) -> None:
        self._thread.join(5)
        self._client.close()
        assert not self._thread.is_alive()


def test_a_listener_follows_a_load_and_an_answer(services: Services) -> None:
    services.log.add("info", "service", "before anybody listened")
    listener = Listener(services)
    assert isinstance(listener.events[0], State)
    assert listener.events[0].engine.status is EngineStatus.EMPTY
    loaded(services)
    chat = services.chats.create()
    user = services.chats.add(chat.id, role="user", text="fake:tokens=300", parent_id=None)
    message = services.answers.start(chat.id, parent_id=user.id)
    wait_until(lambda: not services.answers.writing())
    services.log.add("info", "service", "the end")
    wait_until(
        lambda: any(isinstance(event, LogLine) and event.text == "the end" for event in listener.events)
    )
    statuses = [event.engine.status for event in listener.events if isinstance(event, EngineChanged)]
    assert statuses[0] is EngineStatus.LOADING and EngineStatus.ANSWERING in statuses
    assert statuses[-1] is EngineStatus.READY
    texts = [
        event for event in listener.events if isinstance(event, AnswerText) and event.message_id == message.id
    ]
    assert "".join(event.text for event in texts) == services.chats.message(message.id).text
    assert listener.numbers == sorted(set(listener.numbers))
    listener.close()
    services.log.add("info", "service", "one more, which lets it leave")
    listener.join()
    wait_until(lambda: services.hub.listener_count == 0)


def test_quiet_streams_are_kept_alive_and_end_with_the_service(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_route, "KEEP_ALIVE_SECONDS", 0.05)
    listener = Listener(services)
    wait_until(lambda: listener.comments >= 2)
    services.hub.close()
    listener.join()
    assert services.hub.listener_count == 0


def test_the_snapshot_holds_the_answer_being_written(services: Services) -> None:
    loaded(services)
    chat = services.chats.create()
    user = services.chats.add(chat.id, role="user", text="fake:tokens=9000", parent_id=None)
    message = services.answers.start(chat.id, parent_id=user.id)
    wait_until(lambda: services.answers.writing()[0].text)
    state = State.model_validate(httpx.get(f"{services.address}/api/state", headers=headers()).json())
    assert state.answering[0].id == message.id and state.answering[0].text
    listener = Listener(services)
    services.answers.stop(message.id)
    wait_until(lambda: not services.answers.writing())
    first = listener.events[0]
    assert isinstance(first, State)
    whole = services.chats.message(message.id).text
    wait_until(
        lambda: (
            first.answering[0].text
            + "".join(event.text for event in listener.events if isinstance(event, AnswerText))
            == whole
        )
    )
    services.hub.close()
    listener.join()
