"""A window on a fake client: the shell's own wiring, without a service."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.models.card import ModelCard
from app.shared.chats import Chat, SearchHit
from app.shared.engine import EngineState, EngineStatus, LoadedModel, RemoteServer
from app.shared.errors import PultError, ServiceUnreachable
from app.shared.events import EngineChanged, Event, LogLine, State
from app.shared.telemetry import EngineSample, HostSample, TelemetrySample
from app.ui.main import WindowOptions
from app.ui.main_window import MainWindow
from app.ui.window_memory import WindowMemory

MOE = LoadedModel(
    id="moe",
    name="Qwen3-30B-A3B",
    path="/models/moe.gguf",
    architecture="qwen3moe",
    quantisation="Q4_K_M",
    experts=128,
    experts_used=8,
    experts_trained=8,
    can_think=True,
    context=8192,
    preset="dialog",
)


def telemetry(*, at: float = 1_000.0, speed: float | None = None) -> TelemetrySample:
    """One tick of a machine without a GPU."""
    return TelemetrySample(
        at=at,
        gpu_note="No NVIDIA driver was found.",
        host=HostSample(
            memory_total_bytes=24 * 2**30,
            memory_used_bytes=6 * 2**30,
            memory_available_bytes=18 * 2**30,
            swap_total_bytes=0,
            swap_used_bytes=0,
            cpu_percent=10.0,
            cpu_count=2,
        ),
        engine=EngineSample(decode_tokens_per_second=speed),
    )


class FakeClient:
    """Answers like `ServiceClient`; records what was asked; `events` yields what `say` was given."""

    address = "http://127.0.0.1:1"
    token = "secret"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.said: queue.Queue[Event | None] = queue.Queue()
        self.alive = True
        self.errors: dict[str, PultError] = {}
        self.engine = EngineState()
        self.servers: list[RemoteServer] = []
        self.hits: tuple[SearchHit, ...] = ()
        self.cards: tuple[ModelCard, ...] = (
            ModelCard(
                path="/models/moe.gguf",
                name="Qwen3-30B-A3B",
                quantisation="Q4_K_M",
                file_bytes=18_560_000_000,
            ),
            ModelCard(path="/models/small.gguf", name="Qwen3-8B", quantisation="Q6_K", opened_at=5.0),
        )
        self.log_lines: tuple[LogLine, ...] = ()

    def say(self, *events: Event) -> None:
        for event in events:
            self.said.put(event)

    def set_engine(self, **changes: Any) -> None:
        self.engine = EngineState(**changes)
        self.say(EngineChanged(engine=self.engine))

    def die(self) -> None:
        self.alive = False
        self.said.put(None)

    def close(self) -> None:
        self.said.put(None)

    def health(self) -> dict[str, Any]:
        if not self.alive:
            raise ServiceUnreachable("gone")
        return {"status": "ok"}

    def events(self, stop: threading.Event) -> Iterator[Event]:
        if not self.alive:
            raise ServiceUnreachable("gone")
        yield State(version="0.1", address=self.address, engine=self.engine, telemetry=telemetry())
        while not stop.is_set():
            event = self.said.get()
            if event is None:
                return
            yield event

    def presets(self) -> tuple[Any, ...]:
        from app.shared.presets import Preset

        return (
            Preset(name="dialog", description="everyday talk", values={}),
            Preset(name="calm", description="less random", values={"temperature": 0.2}),
            Preset(name="long", description="long documents", values={"context": 65536}),
        )

    def models(self) -> tuple[ModelCard, ...]:
        return self.cards

    def preferences(self) -> dict[str, Any]:
        return {"telemetry_hertz": 5.0}

    def remotes(self) -> tuple[RemoteServer, ...]:
        return tuple(self.servers)

    def save_remote(self, server: RemoteServer) -> None:
        self.servers.append(server)

    def remove_remote(self, name: str) -> None:
        self.servers = [server for server in self.servers if server.name != name]

    def chats(self) -> tuple[Chat, ...]:
        return ()

    def folders(self) -> tuple[Any, ...]:
        return ()

    def search_chats(self, query: str) -> tuple[SearchHit, ...]:
        return self.hits

    def log(self, since: float = 0.0) -> tuple[LogLine, ...]:
        return tuple(line for line in self.log_lines if line.at > since)

    def asked(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, named) for called, args, named in self.calls if called == name]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named))
            if name in self.errors:
                raise self.errors[name]
            return self.engine

        return call


@dataclass
class FakeRunning:
    """What an opener returns."""

    address: str
    token: str
    process: None = None
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Stage:
    """A window and the fake service behind it."""

    window: MainWindow
    clients: list[FakeClient]
    running: list[FakeRunning] = field(default_factory=list)

    @property
    def client(self) -> FakeClient:
        return self.clients[-1]


@pytest.fixture
def stage(themed: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A shown window whose service has said its state; pages of other rooms are left out by the page it opens on."""
    memory = WindowMemory()
    memory.put("page", "log")
    memory.put("start_with", "nothing")
    made: list[FakeClient] = [FakeClient()]
    running: list[FakeRunning] = []

    def opener() -> FakeRunning:
        if running:
            made.append(FakeClient())
        running.append(FakeRunning(FakeClient.address, FakeClient.token))
        return running[-1]

    monkeypatch.setattr("app.client.service_client.ServiceClient", lambda address, token: made[-1])
    monkeypatch.setattr("app.ui.shell.pages.Imports._run", _only_first)
    window = MainWindow(memory, opener=opener, options=WindowOptions())  # type: ignore[arg-type]  # a fake of RunningService
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    qtbot.waitUntil(
        lambda: window.state.connected and bool(window.state.presets) and bool(window.state.models),
        timeout=5000,
    )
    yield Stage(window, made, running)
    window.shut_down()
    made[-1].close()
    window.hide()


def _only_first(imports: Any) -> None:
    imports.imported.emit(imports._order[0].id)


def ready(client: FakeClient, model: LoadedModel = MOE, status: EngineStatus = EngineStatus.READY) -> None:
    """Say that a model is loaded."""
    client.set_engine(status=status, model=model)


def chat(title: str) -> Chat:
    """A chat's heading."""
    return Chat(id="c1", title=title, created_at=1.0, updated_at=2.0)
