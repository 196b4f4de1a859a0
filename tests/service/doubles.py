"""A service in this process, on a port of its own: real desk, hub, answers and gate, a fake engine, small stores."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import uvicorn

from app.service.answers import Answers
from app.service.app import create_app
from app.service.auth import host_names
from app.service.engine.base import Engine
from app.service.engine.fake import FakeEngine
from app.service.engine.remote import RemoteEngine
from app.service.engine_desk import EngineDesk
from app.service.hub import EventHub
from app.service.log_book import LogBook
from app.service.services import Services
from app.shared.chats import Chat, ChatView, Message
from app.shared.engine import LoadPlan
from app.shared.errors import NotFound, StorageFailed
from app.shared.events import Event, MessageChanged

TOKEN = "a-token-for-tests-0123456789"


class MemoryChats:
    """A chat store in memory whose disk can be full."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._ids = itertools.count(1)
        self.heads: dict[str, Chat] = {}
        self.messages: dict[str, Message] = {}
        self.full = False
        self.writes = 0

    def create(self, *, title: str = "") -> Chat:
        chat = Chat(id=f"c{next(self._ids)}", title=title, created_at=1.0, updated_at=1.0)
        self.heads[chat.id] = chat
        return chat

    def chat(self, chat_id: str) -> Chat:
        return self.heads[chat_id]

    def change(self, chat_id: str, *, title: str) -> Chat:
        self.heads[chat_id] = self.heads[chat_id].model_copy(update={"title": title})
        return self.heads[chat_id]

    def view(self, chat_id: str) -> ChatView:
        return ChatView(chat=self.heads[chat_id], messages=tuple(self.messages.values()))

    def message(self, message_id: str) -> Message:
        if message_id not in self.messages:
            raise NotFound("There is no message {id}.", id=message_id)
        return self.messages[message_id]

    def path_to(self, message_id: str) -> tuple[Message, ...]:
        path: list[Message] = []
        at: str | None = message_id
        while at is not None:
            path.insert(0, self.message(at))
            at = path[0].parent_id
        return tuple(path)

    def add(self, chat_id: str, *, role: Any, text: str, parent_id: str | None, **more: Any) -> Message:
        message = Message(
            id=f"m{next(self._ids)}",
            chat_id=chat_id,
            parent_id=parent_id,
            role=role,
            text=text,
            created_at=1.0,
            **more,
        )
        return self._keep(message)

    def reopen(self, message_id: str) -> Message:
        self._check_disk()
        return self._keep(self.message(message_id).model_copy(update={"state": "writing"}))

    def write(self, message_id: str, *, text: str, thought: str | None) -> None:
        self._check_disk()
        self.writes += 1
        self.messages[message_id] = self.message(message_id).model_copy(
            update={"text": text, "thought": thought}
        )

    def finish(self, message_id: str, **fields: Any) -> Message:
        self._check_disk()
        return self._keep(self.message(message_id).model_copy(update=fields))

    def _keep(self, message: Message) -> Message:
        self.messages[message.id] = message
        self._publish(MessageChanged(message=message))
        return message

    def _check_disk(self) -> None:
        if self.full:
            raise StorageFailed("The disk is full, so the chat is not saved. Free some space.")


class Measured:
    """Telemetry that has measured nothing."""

    def __init__(self) -> None:
        self.markers: list[tuple[str, str]] = []

    def latest(self) -> None:
        return None

    def energy_joules(self, since: float, until: float) -> None:
        return None

    def peak_vram_bytes(self, since: float, until: float) -> None:
        return None


def small_services(
    *, rate: float = 3000.0, local: Callable[[], Engine] | None = None, address: str = "http://127.0.0.1:1"
) -> Services:
    """Return services around an in-process fake engine; the caller closes `engine` and `answers`."""
    hub = EventHub()
    log = LogBook(None, publish=hub.publish)
    chats = MemoryChats(hub.publish)
    telemetry = Measured()
    desk = EngineDesk(
        local=local or (lambda: FakeEngine(rate, load_seconds=0.02)),
        remote=RemoteEngine,
        publish=hub.publish,
        add_marker=lambda kind, label: telemetry.markers.append((kind, label)),
    )
    answers = Answers(chats=chats, engine=desk, hub=hub, telemetry=telemetry, log=log)  # type: ignore[arg-type]
    nothing = SimpleNamespace(
        remotes=lambda: (), cards=lambda: (), default_for=lambda path: None, inspect=lambda path: None
    )
    return Services(
        engine=desk,
        hub=hub,
        chats=chats,  # type: ignore[arg-type]
        answers=answers,
        presets=nothing,  # type: ignore[arg-type]
        models=nothing,  # type: ignore[arg-type]
        telemetry=telemetry,  # type: ignore[arg-type]
        log=log,
        preferences=nothing,  # type: ignore[arg-type]
        address=address,
        token=TOKEN,
    )


def loaded(services: Services, name: str = "fake.gguf", **values: Any) -> Services:
    job = services.engine.load(LoadPlan(model_path=name, values=values))
    assert job.wait(10) and job.error is None, job.error
    return services


@contextmanager
def serving(*, rate: float = 3000.0, local: Callable[[], Engine] | None = None) -> Iterator[Services]:
    """Serve small services on a free port of the loopback."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    services = small_services(rate=rate, local=local, address=f"http://127.0.0.1:{port}")
    services.hosts = host_names("127.0.0.1", port)
    try:
        with listening_app(create_app(services), listening, before_end=services.hub.close):
            yield services
    finally:
        services.answers.close()
        services.engine.close()
        services.log.close()


@contextmanager
def listening_app(
    app: Any, listening: socket.socket, *, before_end: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Run an ASGI application on a thread until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test service")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield
    finally:
        before_end()
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until `condition` holds; fail when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}
