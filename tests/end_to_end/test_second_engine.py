"""The second engine against the real thing: another `pult serve`, and llama_cpp.server, each in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from app.service.engine.base import StopFlag
from app.service.engine.remote import RemoteEngine
from app.service.services import Services
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    EngineStatus,
    GenerateRequest,
    LoadPlan,
    PrefillProgress,
    RemoteServer,
    ResponseFormat,
)
from app.shared.errors import RemoteFailed
from tests.end_to_end.running import serve
from tests.models_for_tests import tiny_moe
from tests.service.doubles import small_services, wait_until


def ask(engine: Any, text: str = "hello", stop: StopFlag | None = None, **more: Any) -> list[Any]:
    request = GenerateRequest(id="1", messages=(ChatTurn(role="user", content=text),), **more)
    return list(engine.generate(request, stop=stop or StopFlag()))


def connect(url: str, key: str = "", **values: Any) -> RemoteEngine:
    engine = RemoteEngine()
    plan = LoadPlan(remote=RemoteServer(name="second", url=url, key=key), values=values)
    engine.load(plan, progress=lambda _: None, stop=StopFlag())
    return engine


def test_the_desk_drives_another_pult(tmp_path: Path) -> None:
    with serve(tmp_path / "far", "--engine", "fake:400", "--model", "far-away.gguf") as far:
        wait_until(lambda: far.get("/api/state")["engine"]["status"] == "ready")
        services: Services = small_services()
        try:
            server = RemoteServer(name="far", url=f"{far.address}/v1", key=far.token)
            job = services.engine.load(LoadPlan(remote=server))
            assert job.wait(10) and job.error is None
            model = services.engine.state().model
            assert (
                model is not None
                and model.id == "far-away"
                and model.experts == 128
                and model.context == 8192
            )
            assert model.remote_url == f"{far.address}/v1" and model.path is None
            turns = [ChatTurn(role="user", content="one two three")]
            assert (
                services.engine.count(turns).total
                == far.post("/api/engine/count", {"messages": [turn.model_dump() for turn in turns]})["total"]
            )
            events = ask(services.engine, values={"seed": 8})
            finished = events[-1]
            assert isinstance(events[0], AnswerStarted) and events[0].prompt_tokens > 0
            assert any(isinstance(event, PrefillProgress) for event in events)
            assert isinstance(finished, AnswerFinished) and finished.thought and finished.seed == 8
            assert finished.timings.prefill_seconds > 0 and finished.experts_used == 8
            stop = StopFlag()
            stopped = None
            request = GenerateRequest(id="2", messages=(ChatTurn(role="user", content="fake:tokens=5000"),))
            for event in services.engine.generate(request, stop=stop):
                if isinstance(event, AnswerDelta):
                    stop.set()
                stopped = event
            assert isinstance(stopped, AnswerFinished) and stopped.finish_reason == "cancelled"
            wait_until(lambda: far.get("/api/state")["engine"]["status"] == "ready", 2)
            far.process.kill()
            far.process.wait()
            with pytest.raises(RemoteFailed, match="Nothing answers"):
                ask(services.engine)
            assert services.engine.state().status is EngineStatus.READY
        finally:
            services.engine.close()


@pytest.mark.engine
def test_another_pult_with_a_real_model_says_what_it_says_here(tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "tiny.gguf", context=1024)
    with serve(tmp_path / "far", "--model", str(model), "--set", "context=1024", "--set", "threads=1") as far:
        wait_until(lambda: far.get("/api/state")["engine"]["status"] == "ready", 30)
        engine = connect(f"{far.address}/v1", far.token, temperature=0.7)
        assert (
            engine.loaded is not None
            and engine.loaded.architecture == "qwen3moe"
            and engine.loaded.experts == 8
        )
        first = ask(engine, max_tokens=20, values={"seed": 3, "thinking": False})[-1]
        body = {
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 20,
            "seed": 3,
            "temperature": 0.7,
            "thinking": False,
        }
        direct = far.post("/v1/chat/completions", body)
        assert first.text == direct["choices"][0]["message"]["content"] and first.finish_reason == "length"
        assert first.timings.completion_tokens == 20 and first.timings.tokens_per_second
        schema = {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2]}},
            "required": ["ok", "n"],
            "additionalProperties": False,
        }
        shaped = ask(
            engine,
            max_tokens=200,
            values={"thinking": False, "seed": 1},
            response_format=ResponseFormat(kind="json_schema", json_schema=schema),
        )[-1]
        jsonschema.validate(json.loads(shaped.text), schema)
        engine.close()


@contextmanager
def llama_cpp_server(model: Path, key: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "llama_cpp.server",
        "--model",
        str(model),
        "--n_ctx",
        "512",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--api_key", key, "--n_threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}/v1"
    assert process.stderr is not None
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None, process.stderr.read().decode()[-3000:]
            assert time.monotonic() < end, "llama_cpp.server did not come up"
            try:
                httpx.get(f"{url}/models", timeout=2)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()


@pytest.mark.engine
def test_llama_cpp_server(tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "tiny.gguf")
    with llama_cpp_server(model, "open sesame") as url:
        with pytest.raises(RemoteFailed, match="refuses the key"):
            connect(url, "wrong")
        engine = connect(url, "open sesame", temperature=0.5)
        assert engine.loaded is not None and engine.loaded.id
        events = ask(engine, max_tokens=12, values={"seed": 3, "top_k": 10, "min_p": 0.05})
        finished = events[-1]
        assert isinstance(finished, AnswerFinished) and finished.finish_reason in ("length", "stop")
        assert (finished.text + (finished.thought or "")).strip()
        assert "".join(event.text for event in events if isinstance(event, AnswerDelta)) == finished.text
        assert finished.timings.completion_tokens > 0 and finished.timings.first_token_seconds
        stop = StopFlag()
        request = GenerateRequest(id="2", messages=(ChatTurn(role="user", content="hello"),), max_tokens=400)
        for event in engine.generate(request, stop=stop):
            if isinstance(event, AnswerDelta):
                stop.set()
        assert isinstance(event, AnswerFinished) and event.finish_reason in ("cancelled", "stop")
        again = ask(engine, max_tokens=3)[-1]
        assert isinstance(again, AnswerFinished)
        engine.close()
