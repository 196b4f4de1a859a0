"""The remote engine against servers that misbehave in every way a network allows, and against another Pult."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service.engine.base import StopFlag
from app.service.engine.remote import RemoteEngine
from app.service.engine.remote_stream import AnswerReader
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    ChatTurn,
    GenerateRequest,
    LoadPlan,
    RemoteServer,
    TokenEvent,
)
from app.shared.errors import BadRequest, Cancelled, EngineFailed, PromptTooLong, PultError, RemoteFailed

Reply = Callable[[BaseHTTPRequestHandler], None]


class Foreign:
    """A server whose two answers a test scripts; `asked` keeps the bodies it got."""

    def __init__(self) -> None:
        self.models: Reply = lambda h: send_json(h, {"data": [{"id": "qwen", "max_model_len": 4096}]})
        self.chat: Reply = lambda h: send_chunks(h, [])
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""


@contextmanager
def foreign() -> Iterator[Foreign]:
    script = Foreign()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.keys.append(self.headers.get("Authorization"))
            script.models(self)

        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.chat(self)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler: BaseHTTPRequestHandler, body: object, status: int = 200) -> None:
    send(handler, status, "application/json", json.dumps(body).encode())


def send_chunks(handler: BaseHTTPRequestHandler, chunks: list[Any], *, done: bool = True) -> None:
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    send(handler, 200, "text/event-stream; charset=utf-8", body + (b"data: [DONE]\n\n" if done else b""))


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def connected(url: str, *, key: str = "", model: str = "", **values: Any) -> RemoteEngine:
    engine = RemoteEngine(connect_seconds=1.0, silence_seconds=1.0)
    server = RemoteServer(name="far", url=url, key=key, model=model)
    engine.load(LoadPlan(remote=server, values=values), progress=lambda _: None, stop=StopFlag())
    return engine


def ask(engine: RemoteEngine, stop: StopFlag | None = None, **more: Any) -> list[TokenEvent]:
    request = GenerateRequest(id="1", messages=(ChatTurn(role="user", content="hi"),), **more)
    return list(engine.generate(request, stop=stop or StopFlag()))


def finished(events: list[TokenEvent]) -> AnswerFinished:
    last = events[-1]
    assert isinstance(last, AnswerFinished)
    return last


def refused_words(url: str, **more: Any) -> str:
    with pytest.raises(PultError) as caught:
        connected(url, **more)
    assert caught.value.sentence.endswith(".")
    return caught.value.sentence


def test_an_answer_with_thought_usage_and_the_words_sent() -> None:
    with foreign() as server:
        usage = {"prompt_tokens": 12, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
        server.chat = lambda h: send_chunks(
            h,
            [
                chunk(role="assistant", content=""),
                chunk(reasoning_content="hm "),
                chunk(reasoning_content="so"),
                chunk(content="Hello"),
                chunk(content=" there"),
                chunk("stop"),
                {"choices": [], "usage": usage},
            ],
        )
        engine = connected(server.url, key="secret", temperature=0.5)
        assert server.keys == ["Bearer secret"]
        assert engine.loaded is not None and engine.loaded.id == "qwen" and engine.loaded.context == 4096
        answer = finished(
            ask(engine, values={"top_k": 5, "thinking": False, "seed": 3}, max_tokens=50, stop=StopFlag())
        )
        assert (answer.text, answer.thought, answer.finish_reason) == ("Hello there", "hm so", "stop")
        assert answer.timings.prompt_tokens == 12 and answer.timings.cached_tokens == 4
        assert answer.timings.completion_tokens == 9
        body = server.asked[0]
        assert (
            body["temperature"] == 0.5
            and body["top_k"] == 5
            and body["seed"] == 3
            and body["max_tokens"] == 50
        )
        assert body["chat_template_kwargs"] == {"enable_thinking": False} and "x_pult" not in body
        with pytest.raises(EngineFailed, match="does not count"):
            engine.count([ChatTurn(role="user", content="hi")])
        engine.close()


@given(st.integers(1, 7))
def test_a_thought_left_in_the_text_is_split_however_it_is_cut(size: int) -> None:
    text = "<think>\nlet me see\n</think>\n\nThe answer."
    reader = AnswerReader()
    for start in range(0, len(text), size):
        list(reader.take(chunk(content=text[start : start + size]), 0.1))
    list(reader.take(chunk("stop"), 0.2))
    list(reader.rest())
    answer = reader.finished(0.3, cancelled=False)
    assert (
        answer.text == "The answer." and answer.thought is not None and answer.thought.strip() == "let me see"
    )


def test_tool_calls_in_pieces_and_left_in_the_text() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    with foreign() as server:
        server.chat = lambda h: send_chunks(
            h,
            [
                chunk(
                    tool_calls=[
                        {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"ci'}}
                    ]
                ),
                chunk(tool_calls=[{"index": 0, "function": {"arguments": 'ty":"Oslo"}'}}]),
                chunk("tool_calls"),
            ],
        )
        engine = connected(server.url)
        answer = finished(ask(engine, tools=(tool,), tool_choice="weather"))
        assert answer.finish_reason == "tool_calls" and answer.tool_calls[0].arguments == '{"city":"Oslo"}'
        assert server.asked[0]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        server.chat = lambda h: send_chunks(
            h,
            [chunk(content='<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>'), chunk("stop")],
        )
        answer = finished(ask(engine, tools=(tool,)))
        assert (
            answer.finish_reason == "tool_calls"
            and answer.tool_calls[0].name == "weather"
            and not answer.text
        )
        engine.close()


def test_nobody_there_and_nonsense_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert "Nothing answers" in refused_words(f"http://127.0.0.1:{port}/v1")
    for url in ("", "localhost:8000", "ftp://host/v1", "file:///etc/passwd"):
        assert "not the address" in refused_words(url)
    with foreign() as server:
        cases: list[tuple[Reply, str]] = [
            (lambda h: send_json(h, {"error": {"message": "Invalid key"}}, 401), "refuses the key"),
            (lambda h: send_json(h, {"detail": "Not Found"}, 404), "ends in /v1"),
            (lambda h: send(h, 200, "text/html", b"<!DOCTYPE html><html>hello"), "a web page"),
            (lambda h: send(h, 200, "application/json", b"{oops"), "not JSON"),
            (lambda h: send(h, 502, "text/html", b"<html>Bad gateway"), "a web page"),
            (lambda h: send_json(h, {"data": []}), "lists no model"),
            (lambda h: send_json(h, [1, 2]), "not JSON"),
            (lambda h: send_json(h, {"error": {"message": "on fire"}}, 500), "on fire"),
        ]
        for reply, words in cases:
            server.models = reply
            assert words in refused_words(server.url)
        server.models = lambda h: send_json(h, {"data": [{"id": "a"}, {"id": "b"}]})
        assert "has no model c; it has a, b" in refused_words(server.url, model="c")


def test_answers_that_go_wrong() -> None:
    with foreign() as server:
        engine = connected(server.url)

        def drop(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Content-Length", "5000")
            handler.end_headers()
            handler.wfile.write(b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n')

        def silent(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.end_headers()
            handler.wfile.flush()
            time.sleep(1.5)

        too_long = {"error": {"message": "This model's maximum context length is 4096 tokens", "code": 400}}
        cases: list[tuple[Reply, type[PultError], str]] = [
            (drop, RemoteFailed, "closed the connection"),
            (silent, RemoteFailed, "fell silent"),
            (lambda h: send_chunks(h, [chunk(content="half")], done=False), RemoteFailed, "in the middle"),
            (lambda h: send_json(h, too_long, 400), PromptTooLong, "4096"),
            (
                lambda h: send_json(h, {"error": {"message": "no such field"}}, 400),
                BadRequest,
                "no such field",
            ),
            (lambda h: send_json(h, {}, 429), RemoteFailed, "too many requests"),
            (lambda h: send(h, 200, "text/html", b"<html>login"), RemoteFailed, "a web page"),
            (lambda h: send(h, 200, "text/event-stream", b"data: {broken\n\n"), RemoteFailed, "not JSON"),
            (lambda h: send_chunks(h, [{"error": {"message": "exploded"}}]), RemoteFailed, "exploded"),
        ]
        for reply, error, words in cases:
            server.chat = reply
            with pytest.raises(error) as caught:
                ask(engine)
            assert words in caught.value.sentence and caught.value.sentence.endswith("."), (
                caught.value.sentence
            )
        server.chat = lambda h: send_chunks(h, [chunk(content="fine"), chunk("length")])
        assert finished(ask(engine)).finish_reason == "length"
        engine.close()


def test_stopping_cuts_the_connection() -> None:
    noticed = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for _ in range(2000):
                handler.wfile.write(b'data: {"choices":[{"delta":{"content":"more "}}]}\n\n')
                handler.wfile.flush()
                time.sleep(0.005)
        except OSError:
            noticed.set()

    with foreign() as server:
        server.chat = endless
        engine = connected(server.url)
        stop = StopFlag()
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        answer = finished(ask(engine, stop))
        assert answer.finish_reason == "cancelled" and answer.text.startswith("more more")
        assert time.monotonic() - started < 1.0 and noticed.wait(2)
        request = GenerateRequest(id="2", messages=(ChatTurn(role="user", content="hi"),))
        noticed.clear()
        for event in engine.generate(request, stop=StopFlag()):
            if isinstance(event, AnswerDelta):
                break
        assert noticed.wait(2)
        engine.close()


def test_connecting_can_be_cancelled() -> None:
    release = threading.Event()
    with foreign() as server:
        server.models = lambda h: (release.wait(3), send_json(h, {"data": [{"id": "a"}]}))[0]  # type: ignore[assignment,return-value]
        engine, stop = RemoteEngine(), StopFlag()
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Cancelled):
            engine.load(
                LoadPlan(remote=RemoteServer(name="far", url=server.url)), progress=lambda _: None, stop=stop
            )
        assert engine.loaded is None
        release.set()
