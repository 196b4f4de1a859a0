"""Every fault of the bar with the real worker and the real stores: the service stays, the message stays, the next load works."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.service.app import create_app
from app.service.main import running_services
from app.service.services import Services
from app.shared import paths
from app.shared.chats import Message
from app.shared.engine import EngineStatus
from app.shared.errors import EngineDied, EngineHung, from_info
from tests.end_to_end.running import Served, serve
from tests.models_for_tests import tiny_moe
from tests.service.doubles import wait_until

pytestmark = pytest.mark.engine
VALUES: dict[str, Any] = {"context": 512, "threads": 1}
ADDRESS, TOKEN = "http://127.0.0.1:1", "token-of-this-test-only"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_moe(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def services() -> Iterator[Services]:
    with running_services(engine="llama", address=ADDRESS, token=TOKEN) as running:
        yield running
        running.hub.close()


async def _post(services: Services, path: str, body: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, timeout=60) as client:
        return await client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})


def post(services: Services, path: str, body: Any) -> httpx.Response:
    import asyncio

    return asyncio.run(_post(services, path, body))


def load(services: Services, path: Path, **values: Any) -> httpx.Response:
    return post(services, "/api/engine/load?wait=true", {"model": str(path), "values": {**VALUES, **values}})


def ask(services: Services, text: str = "hello world", **values: Any) -> Message:
    chat = services.chats.create()
    user = services.chats.add(chat.id, role="user", text=text, parent_id=None)
    values = {"max_tokens": 16, "thinking": False, **values}
    return services.answers.start(chat.id, parent_id=user.id, values=values)


def ended(services: Services, message: Message) -> Message:
    wait_until(lambda: services.chats.message(message.id).state != "writing", 30)
    return services.chats.message(message.id)


def check_all_is_well(services: Services, model: Path) -> None:
    answer = load(services, model)
    assert answer.status_code == 200, answer.text
    done = ended(services, ask(services))
    assert (
        done.state == "done" and done.text and done.facts is not None and done.facts.timings.completion_tokens
    )


def test_files_that_are_no_models_do_not_cost_the_one_that_is(
    services: Services, model: Path, tmp_path: Path
) -> None:
    check_all_is_well(services, model)
    whole = model.read_bytes()
    broken = {
        "truncated.gguf": whole[: len(whole) * 2 // 3],
        "header-only.gguf": whole[:100],
        "magic.gguf": b"GGML" + whole[4:],
        "page.gguf": b"<!DOCTYPE html><html><body>404</body></html>" * 50,
        "empty.gguf": b"",
    }
    for name, content in broken.items():
        file = tmp_path / name
        file.write_bytes(content)
        answer = load(services, file)
        error = answer.json()["error"]
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert error["sentence"].endswith(".") and error["kind"] == "model_unreadable", (name, error)
        assert services.engine.state().status is EngineStatus.READY, name
    missing = load(services, tmp_path / "missing.gguf")
    assert missing.status_code == 404 and "missing.gguf" in missing.json()["error"]["sentence"]
    assert ended(services, ask(services)).state == "done"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("experts", 0),
        ("experts", -1),
        ("experts", 9),
        ("experts", 2**32 + 2),
        ("kv_k", "q9_9"),
        ("kv_v", 999),
        ("context", 2**31),
        ("context", 2**32),
        ("context", -1),
        ("batch", -5),
        ("rope_scaling", "bogus"),
        ("colour", "red"),
    ],
)
def test_values_that_would_abort_llama_cpp_are_refused(
    services: Services, model: Path, key: str, value: Any
) -> None:
    answer = load(services, model, **{key: value})
    error = answer.json()["error"]
    assert (
        answer.status_code == 400 and error["values"]["key"] == key and error["sentence"].endswith((".", "?"))
    ), error
    assert services.engine.state().worker_pid is None  # no process was even started


def test_a_prompt_longer_than_the_context_fails_on_its_message(services: Services, model: Path) -> None:
    assert load(services, model).status_code == 200
    failed = ended(services, ask(services, "far too long " * 500))
    assert failed.state == "failed" and failed.facts is not None and failed.facts.error is not None
    assert "512" in failed.facts.error
    assert services.engine.state().status is EngineStatus.READY
    assert ended(services, ask(services)).state == "done"


@pytest.mark.parametrize("phase", ["load", "prefill", "decode"])
@pytest.mark.parametrize("fault", ["sigsegv", "sigabrt", "sigkill", "hang"])
def test_however_the_worker_ends_all_else_stays(
    services: Services, model: Path, monkeypatch: pytest.MonkeyPatch, fault: str, phase: str
) -> None:
    if fault == "hang":
        monkeypatch.setenv("PULT_HANG_SECONDS", "2")
    monkeypatch.setenv("PULT_FAULT", f"{fault}:{phase}")
    answer = load(services, model)
    sentence: str | None
    if phase == "load":
        assert answer.status_code == 502
        sentence = answer.json()["error"]["sentence"]
    else:
        assert answer.status_code == 200
        message = ended(services, ask(services, "keep this question"))
        assert message.state == "failed" and message.facts is not None
        assert (
            message.parent_id is not None
            and services.chats.message(message.parent_id).text == "keep this question"
        )
        sentence = message.facts.error
    state = services.engine.state()
    assert state.status is EngineStatus.FAILED and state.worker_pid is None and state.error is not None
    assert sentence == state.error.sentence and "iny" in sentence and sentence.endswith(".")
    assert isinstance(from_info(state.error), EngineHung if fault == "hang" else EngineDied)
    words = {"sigsegv": "crashed", "sigabrt": "gave up", "sigkill": "ended", "hang": "no step"}
    assert words[fault] in sentence
    monkeypatch.delenv("PULT_FAULT")
    monkeypatch.delenv("PULT_HANG_SECONDS", raising=False)
    check_all_is_well(services, model)


def _begin(served: Served, model: Path) -> tuple[str, str]:
    served.post("/api/engine/load?wait=true", {"model": str(model), "values": VALUES})
    chat = served.post("/api/chats", {})
    sent = served.post(f"/api/chats/{chat['id']}/send", {"text": "hello", "values": {"thinking": False}})
    return chat["id"], sent["answer"]["id"]


def _text_on_disk(data: Path, message_id: str) -> str:
    with sqlite3.connect(f"file:{data / 'chats.db'}?mode=ro", uri=True) as db:
        found = db.execute("SELECT text FROM messages WHERE id = ?", (message_id,)).fetchone()
    db.close()
    return str(found[0]) if found else ""


def test_a_killed_service_leaves_no_worker_and_keeps_what_was_said(tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "long.gguf", context=32768, layers=4)
    data = tmp_path / "data"
    with serve(data) as served:
        served.post(
            "/api/engine/load?wait=true", {"model": str(model), "values": {"context": 32768, "threads": 1}}
        )
        chat = served.post("/api/chats", {})
        sent = served.post(f"/api/chats/{chat['id']}/send", {"text": "hello", "values": {"thinking": False}})
        answer = sent["answer"]["id"]
        wait_until(lambda: len(_text_on_disk(data, answer)) > 20, 20)
        workers = served.workers()
        assert workers
        served.process.kill()
        served.process.wait(5)
        wait_until(lambda: not any(worker.is_running() for worker in workers), 8)
    with serve(data) as served:
        view = served.get(f"/api/chats/{chat['id']}")
        question, cut = view["messages"]
        assert question["text"] == "hello" and question["state"] == "done"
        assert cut["state"] == "cut_off" and len(cut["text"]) > 20
        with sqlite3.connect(data / "chats.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


def test_ending_the_parent_ends_service_and_worker(tmp_path: Path, model: Path) -> None:
    with serve(tmp_path / "data") as served:
        served.post("/api/engine/load?wait=true", {"model": str(model), "values": VALUES})
        workers = served.workers()
        assert workers and (tmp_path / "data" / "run" / "service.json").exists()
        assert served.process.stdin is not None
        served.process.stdin.close()
        assert served.process.wait(10) == 0
        assert not any(worker.is_running() for worker in workers)
    assert not (tmp_path / "data" / "run" / "service.json").exists()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits a running process's files, which Linux can"
)
def test_a_full_disk_while_an_answer_is_written(tmp_path: Path) -> None:
    import resource

    data = tmp_path / "data"
    with serve(data, "--engine", "fake:400", "--model", "fake.gguf") as served:
        wait_until(lambda: served.get("/api/state")["engine"]["status"] == "ready")
        chat = served.post("/api/chats", {})
        pid = served.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        body = {"text": "fake:tokens=700", "values": {"thinking": False}}
        answer = served.post(f"/api/chats/{chat['id']}/send", body)["answer"]["id"]
        wait_until(lambda: _text_on_disk(data, answer))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            wait_until(lambda: served.get("/api/state")["engine"]["status"] == "ready", 20)
            assert served.get("/health")["status"] == "ok"
            problems = [line["text"] for line in served.get("/api/log") if line["level"] == "error"]
            assert any("disk" in text.lower() or "chat" in text.lower() for text in problems), problems
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        wait_until(lambda: served.get(f"/api/chats/{chat['id']}")["messages"][-1]["state"] == "done", 10)
        text = served.get(f"/api/chats/{chat['id']}")["messages"][-1]["text"]
        assert len(text.split()) >= 700 and text.endswith(".")


def test_missing_token_and_foreign_host_on_the_real_service(tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--engine", "fake") as served:
        assert httpx.get(f"{served.address}/api/state").status_code == 401
        foreign = served.client.get("/api/state", headers={"Host": "pult.example"})
        assert foreign.status_code == 403 and "pult.example" in foreign.json()["error"]["sentence"]
        assert served.get("/api/state")["type"] == "state"
        assert psutil.pid_exists(served.process.pid)
    assert paths.chats_db().name == "chats.db"


def test_serving_a_model_that_is_not_there_serves_on_and_says_so(tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--model", str(tmp_path / "gone.gguf")) as served:
        engine = served.get("/api/state")["engine"]
        assert engine["status"] == "failed" and "gone.gguf" in engine["error"]["sentence"]
        refused = served.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": "hi"}]}
        )
        assert refused.status_code == 409 and "gone.gguf" in refused.json()["error"]["message"]
