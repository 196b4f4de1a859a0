"""What the client sends, method by method, and what it makes of answers, good, bad and foreign."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.client.service_client import ServiceClient
from app.models.anatomy_tensors import Anatomy
from app.shared.chats import Attachment
from app.shared.engine import ChatTurn, RemoteServer
from app.shared.errors import (
    BadValue,
    NotFound,
    OutOfMemory,
    PromptTooLong,
    PultError,
    ServiceUnreachable,
    Unauthorised,
)
from tests.client.scripted import Script, scripted_server


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    with scripted_server() as script:
        yield script


@pytest.fixture
def script(server: Script) -> Script:
    server.asked.clear()
    server.say({})
    return server


@pytest.fixture
def client(script: Script) -> Iterator[ServiceClient]:
    made = ServiceClient(script.address + "/", "secret")
    yield made
    made.close()


MESSAGE = {"id": "m1", "chat_id": "c 1", "role": "assistant", "created_at": 1.0}
CHAT = {"id": "c 1", "title": "T", "created_at": 1.0, "updated_at": 1.0}
FOLDER = {"id": "f1", "name": "F"}
SENT = {"user": MESSAGE, "answer": MESSAGE}
VIEW = {"chat": CHAT}
PRESET = {"name": "fast / small"}
ANATOMY = dict.fromkeys(Anatomy.model_fields) | {
    **dict.fromkeys(("attention_layers", "recurrent_layers", "expert_layers", "parameters"), 1),
    "path": "a",
    "name": "a",
    "tied_output": False,
    "parts": [],
    "active": [],
}

# (call, method, path, body, answer)
Call = Callable[[ServiceClient], Any]
WIRE: list[tuple[Call, str, str, Any, Any]] = [
    (
        lambda c: c.load("a.gguf", preset="P", values={"context": 8192, "experts": None}, wait=True),
        "POST",
        "/api/engine/load?wait=true",
        {"model": "a.gguf", "remote": None, "preset": "P", "values": {"context": 8192, "experts": None}},
        {},
    ),
    (
        lambda c: c.load(remote=RemoteServer(name="n", url="http://x/v1", key="k")),
        "POST",
        "/api/engine/load",
        {
            "model": None,
            "remote": {"name": "n", "url": "http://x/v1", "key": "k", "model": ""},
            "preset": None,
            "values": {},
        },
        {},
    ),
    (lambda c: c.cancel(), "POST", "/api/engine/cancel", {}, {}),
    (lambda c: c.anatomy("/m/a b.gguf"), "GET", "/api/models/anatomy?path=%2Fm%2Fa+b.gguf", None, ANATOMY),
    (
        lambda c: c.explain_config("{}"),
        "POST",
        "/api/models/explain",
        {"text": "{}"},
        {"kind": "config", "lines": [], "unknown": 0},
    ),
    (lambda c: c.eject(), "POST", "/api/engine/eject", {}, {}),
    (lambda c: c.reload(wait=True), "POST", "/api/engine/reload?wait=true", {}, {}),
    (
        lambda c: c.set_values({"temperature": 0.6}),
        "POST",
        "/api/engine/values",
        {"values": {"temperature": 0.6}},
        {},
    ),
    (
        lambda c: c.count(chat_id="c", draft="hi"),
        "POST",
        "/api/engine/count",
        {"chat_id": "c", "messages": [], "draft": "hi", "thinking": None},
        {"total": 3},
    ),
    (lambda c: c.models(), "GET", "/api/models", None, []),
    (lambda c: c.forget_model("/a b.gguf"), "POST", "/api/models/forget", {"path": "/a b.gguf"}, {}),
    (lambda c: c.set_model_folders(["/m"]), "POST", "/api/models/folders", {"folders": ["/m"]}, {}),
    (lambda c: c.remotes(), "GET", "/api/remotes", None, []),
    (lambda c: c.remove_remote("a/b"), "DELETE", "/api/remotes/a%2Fb", None, {}),
    (lambda c: c.presets(), "GET", "/api/presets", None, []),
    (lambda c: c.preset("fast / small"), "GET", "/api/presets/fast%20%2F%20small", None, PRESET),
    (lambda c: c.remove_preset("p"), "DELETE", "/api/presets/p", None, {}),
    (lambda c: c.rename_preset("p", "q"), "POST", "/api/presets/p/rename", {"name": "q"}, PRESET),
    (lambda c: c.duplicate_preset("p"), "POST", "/api/presets/p/duplicate", {"name": None}, PRESET),
    (
        lambda c: c.set_default_preset("p", model_path="/m"),
        "PUT",
        "/api/presets/default",
        {"model_path": "/m", "preset": "p"},
        {},
    ),
    (lambda c: c.set_preferences({"a": 1}), "PUT", "/api/preferences", {"a": 1}, {"a": 1}),
    (lambda c: c.chats(), "GET", "/api/chats", None, [CHAT]),
    (lambda c: c.chat("c 1"), "GET", "/api/chats/c%201", None, VIEW),
    (
        lambda c: c.create_chat(title="T", temporary=True),
        "POST",
        "/api/chats",
        {"title": "T", "folder_id": None, "temporary": True},
        CHAT,
    ),
    (lambda c: c.change_chat("c", pinned=True), "PATCH", "/api/chats/c", {"pinned": True}, CHAT),
    (lambda c: c.remove_chat("c"), "DELETE", "/api/chats/c", None, {}),
    (lambda c: c.restore_chat("c"), "POST", "/api/chats/c/restore", {}, CHAT),
    (lambda c: c.search_chats("a&b"), "GET", "/api/chats/search?q=a%26b", None, []),
    (lambda c: c.folders(), "GET", "/api/folders", None, [FOLDER]),
    (lambda c: c.create_folder("F"), "POST", "/api/folders", {"name": "F"}, FOLDER),
    (lambda c: c.change_folder("f", position=2), "PATCH", "/api/folders/f", {"position": 2}, FOLDER),
    (lambda c: c.remove_folder("f"), "DELETE", "/api/folders/f", None, {}),
    (
        lambda c: c.send("c", "hi", attachments=[Attachment(name="n", text="t")], values={"seed": 1}),
        "POST",
        "/api/chats/c/send",
        {
            "text": "hi",
            "attachments": [{"name": "n", "text": "t"}],
            "parent_id": None,
            "values": {"seed": 1},
        },
        SENT,
    ),
    (
        lambda c: c.answer("c", "m", continue_message_id="m2"),
        "POST",
        "/api/chats/c/answer",
        {"parent_id": "m", "values": {}, "continue_message_id": "m2"},
        {"answer": MESSAGE},
    ),
    (lambda c: c.stop_answer("m"), "POST", "/api/messages/m/stop", {}, {}),
    (
        lambda c: c.edit_message("m", "new", answer=True),
        "POST",
        "/api/messages/m/edit",
        {"text": "new", "answer": True, "in_place": False},
        SENT,
    ),
    (lambda c: c.choose_message("m"), "POST", "/api/messages/m/choose", {}, VIEW),
    (lambda c: c.remove_message("m"), "DELETE", "/api/messages/m", None, {}),
    (lambda c: c.restore_message("m"), "POST", "/api/messages/m/restore", {}, {}),
    (
        lambda c: c.import_chats("{}", format="markdown"),
        "POST",
        "/api/chats/import",
        {"text": "{}", "format": "markdown"},
        [CHAT],
    ),
    (
        lambda c: c.telemetry(1.0, 2.0, points=9),
        "GET",
        "/api/telemetry?since=1.0&until=2.0&points=9",
        None,
        {"since": 1, "until": 2, "interval_seconds": 0.5},
    ),
    (lambda c: c.set_telemetry_rate(4.0), "PUT", "/api/telemetry/rate", {"hertz": 4.0}, {}),
    (lambda c: c.telemetry_rate(), "GET", "/api/telemetry/rate", None, {"hertz": 2.0}),
    (lambda c: c.watch_process(7), "PUT", "/api/telemetry/process", {"role": "window", "pid": 7}, {}),
    (lambda c: c.markers(1.0, 2.0), "GET", "/api/markers?since=1.0&until=2.0", None, []),
    (lambda c: c.answers(limit=5), "GET", "/api/answers?limit=5", None, [MESSAGE]),
    (lambda c: c.log(3.0), "GET", "/api/log?since=3.0", None, []),
]


@pytest.mark.parametrize(("call", "method", "path", "body", "answer"), WIRE, ids=[w[1] + w[2] for w in WIRE])
def test_what_is_sent(
    script: Script, client: ServiceClient, call: Call, method: str, path: str, body: Any, answer: Any
) -> None:
    script.say(answer)
    call(client)
    assert script.asked == [(method, path, body, "Bearer secret")]


def test_the_real_service_has_every_route_that_the_client_asks() -> None:
    from starlette.routing import Match

    from app.service.routes import all_routers

    routes = [route for router in all_routers() for route in router.routes]
    missing = []
    for _, method, path, _, _ in WIRE:
        scope = {"type": "http", "method": method, "path": path.partition("?")[0], "headers": []}
        if not any(route.matches(scope)[0] is Match.FULL for route in routes):
            missing.append(f"{method} {path}")
    assert not missing


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemory("It asked for {asked_bytes}.", asked_bytes=12 << 30), OutOfMemory),
        (BadValue("Experts is {value}.", key="experts", value=99), BadValue),
        (
            PromptTooLong("{prompt_tokens} of {context_tokens}.", prompt_tokens=9, context_tokens=8),
            PromptTooLong,
        ),
    ],
)
def test_the_services_errors_come_back_as_they_were(
    script: Script, client: ServiceClient, error: PultError, kind: type[PultError]
) -> None:
    script.say({"error": error.info().model_dump(mode="json")}, error.status)
    with pytest.raises(kind) as caught:
        client.state()
    assert caught.value.info() == error.info()
    if isinstance(error, BadValue):
        assert isinstance(caught.value, BadValue) and caught.value.key == "experts"


def test_openai_shaped_errors_keep_sentence_and_kind(script: Script, client: ServiceClient) -> None:
    told = {
        "message": "The token is wrong.",
        "type": "authentication_error",
        "param": None,
        "code": "unauthorised",
    }
    script.say({"error": told}, 401)
    with pytest.raises(Unauthorised, match="The token is wrong"):
        client.models()
    script.say({"error": {"message": "No such model.", "code": "model_not_found"}}, 404)
    with pytest.raises(NotFound, match="No such model"):
        client.models()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"<html>hello</html>", 200, "another program or another version"),
        (b"<html>oh</html>", 502, "HTTP 502"),
        (b'{"detail": "Not Found"}', 404, "HTTP 404"),
        (b'{"type": "state"}', 200, "another program or another version"),
    ],
)
def test_another_program_on_the_port_is_named(
    script: Script, client: ServiceClient, body: bytes, status: int, words: str
) -> None:
    script.body, script.status = body, status
    with pytest.raises(ServiceUnreachable, match=words) as caught:
        client.state()
    assert script.address in caught.value.sentence


def test_nobody_there() -> None:
    with socket.socket() as taken:  # bound and not listening: refused at once, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        client = ServiceClient(f"http://127.0.0.1:{taken.getsockname()[1]}", "t")
        with pytest.raises(ServiceUnreachable, match="does not answer"):
            client.state()
        client.close()
        with pytest.raises(ServiceUnreachable):
            client.count(messages=[ChatTurn(role="user", content="x")])  # closed


def test_a_proxy_of_the_environment_never_sees_the_token(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", script.address)
    monkeypatch.setenv("ALL_PROXY", script.address)
    with scripted_server() as service:
        client = ServiceClient(service.address, "secret")
        service.say([])
        client.models()
        client.close()
        assert len(service.asked) == 1 and script.asked == []
