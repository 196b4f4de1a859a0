"""Chats, presets and models over HTTP: the real stores behind the real application, answers by a fake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.service.app import create_app
from app.service.chats.store import ChatStore
from app.service.models import ModelLibrary
from app.service.presets import PresetStore
from app.shared import paths
from app.shared.chats import Message
from app.shared.errors import NoModelLoaded
from app.shared.events import Event
from tests.models_for_tests import tiny_moe

TOKEN = "a-token-for-tests-0123456789"


class FakeEngine:
    """Has a model, or says that it has none."""

    loaded = True

    def ready_model(self) -> None:
        if not self.loaded:
            raise NoModelLoaded("No model is loaded. Load one and ask again.")


class FakeAnswers:
    """Adds an empty answer and remembers what was asked and stopped."""

    def __init__(self, chats: ChatStore) -> None:
        self._chats = chats
        self.asked: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.open: list[Message] = []

    def start(self, chat_id: str, *, parent_id: str | None, **named: Any) -> Message:
        self.asked.append({"parent_id": parent_id, **named})
        answer = self._chats.add(chat_id, role="assistant", text="", parent_id=parent_id, state="writing")
        self.open.append(answer.model_copy(update={"text": "so far"}))
        return answer

    def stop(self, message_id: str) -> Message:
        self.stopped.append(message_id)
        self.open = [message for message in self.open if message.id != message_id]
        return self._chats.message(message_id)

    def writing(self) -> tuple[Message, ...]:
        return tuple(self.open)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def services(told: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(paths, "guide_model", lambda: tmp_path / "guide.gguf")
    chats = ChatStore(paths.chats_db(), publish=told.append)
    models = ModelLibrary(publish=told.append)
    yield SimpleNamespace(
        engine=FakeEngine(),
        chats=chats,
        answers=FakeAnswers(chats),
        presets=PresetStore(publish=told.append),
        models=models,
        log=SimpleNamespace(crash=lambda *_: None, problem=lambda *_: None),
        address="http://127.0.0.1:80",
        token=TOKEN,
        hosts=("testserver", "testserver:80"),
    )
    models.close()
    chats.close()


@pytest.fixture
def http(services: Any) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(services), headers=headers, raise_server_exceptions=False) as client:
        yield client


def test_a_conversation_with_branches(http: TestClient, services: Any) -> None:
    chat = http.post("/api/chats", json={"title": "Kites"}).json()
    sent = http.post(
        f"/api/chats/{chat['id']}/send", json={"text": "red?", "values": {"seed": 3, "top_k": None}}
    )
    assert sent.status_code == 202
    user, answer = sent.json()["user"], sent.json()["answer"]
    assert answer["parent_id"] == user["id"] and services.answers.asked[-1]["values"] == {"seed": 3}
    shown = http.get(f"/api/chats/{chat['id']}").json()["messages"]
    assert [message["text"] for message in shown] == ["red?", "so far"]
    edited = http.post(f"/api/messages/{user['id']}/edit", json={"text": "blue?", "answer": True}).json()
    assert edited["message"]["sibling_ids"] == [user["id"], edited["message"]["id"]]
    assert edited["answer"]["parent_id"] == edited["message"]["id"]
    chosen = http.post(f"/api/messages/{user['id']}/choose").json()
    assert [message["id"] for message in chosen["messages"]] == [user["id"], answer["id"]]
    in_place = http.post(f"/api/messages/{user['id']}/edit", json={"text": "RED?", "in_place": True}).json()
    assert in_place["message"]["id"] == user["id"] and in_place["message"]["edited_at"] is not None
    assert http.delete(f"/api/messages/{user['id']}").status_code == 204
    assert services.answers.stopped == [answer["id"]]
    assert http.post(f"/api/messages/{user['id']}/restore").status_code == 200
    again = http.post(f"/api/chats/{chat['id']}/answer", json={"parent_id": user["id"]})
    assert again.status_code == 202 and again.json()["answer"]["sibling_count"] == 2
    http.delete(f"/api/chats/{chat['id']}")
    assert len(services.answers.stopped) == 3 and http.get("/api/chats").json() == []
    assert http.post(f"/api/chats/{chat['id']}/restore").json()["title"] == "Kites"


def test_without_a_model_nothing_is_added_and_the_sentence_says_so(http: TestClient, services: Any) -> None:
    chat = http.post("/api/chats", json={}).json()
    services.engine.loaded = False
    refused = http.post(f"/api/chats/{chat['id']}/send", json={"text": "hello"})
    assert refused.status_code == 409 and refused.json()["error"]["kind"] == "no_model_loaded"
    assert http.get(f"/api/chats/{chat['id']}").json()["messages"] == []


def test_headings_drafts_folders_and_search(http: TestClient) -> None:
    folder = http.post("/api/folders", json={"name": "Work"}).json()
    chat = http.post("/api/chats", json={"folder_id": folder["id"]}).json()
    url = f"/api/chats/{chat['id']}"
    assert (
        http.patch(url, json={"title": "Бумажные фонари", "pinned": True}).json()["folder_id"] == folder["id"]
    )
    assert http.patch(url, json={"draft": "half"}).json()["draft"] == "half"
    assert http.get("/api/chats/search", params={"q": "фон"}).json()[0]["chat"]["id"] == chat["id"]
    http.post(f"{url}/send", json={"text": "sent now"})
    assert http.get(url).json()["chat"]["draft"] == ""
    assert http.patch(url, json={"folder_id": None}).json()["folder_id"] is None
    assert http.patch(f"/api/folders/{folder['id']}", json={"name": "Play"}).json()["name"] == "Play"
    assert (
        http.delete(f"/api/folders/{folder['id']}").status_code == 204
        and http.get("/api/folders").json() == []
    )
    assert http.patch(url, json={"colour": "red"}).status_code == 400
    assert http.get("/api/chats/nowhere").status_code == 404


def test_export_and_import(http: TestClient) -> None:
    chat = http.post("/api/chats", json={"title": "Отчёт: 1/2"}).json()
    http.post(f"/api/chats/{chat['id']}/send", json={"text": "hello"})
    for kind in ("json", "markdown"):
        file = http.get(f"/api/chats/{chat['id']}/export", params={"format": kind})
        assert "filename*=UTF-8''%D0%9E" in file.headers["content-disposition"]
        taken = http.post("/api/chats/import", json={"text": file.text, "format": kind})
        assert taken.status_code == 201 and taken.json()[0]["title"] == "Отчёт: 1/2"
    assert http.post("/api/chats/import", json={"text": "[]"}).status_code == 400


def test_presets_live_over_http(http: TestClient, told: list[Event], tmp_path: Path) -> None:
    names = [preset["name"] for preset in http.get("/api/presets").json()]
    assert {"dialog", "fast", "code", "think", "long", "lean", "quiet-cpu"} <= set(names)
    saved = http.put("/api/presets/Вечер", json={"name": "x", "values": {"context": 4096, "min_p": 0.0}})
    assert saved.json()["name"] == "Вечер" and saved.json()["values"] == {"context": 4096}
    assert told[-1].type == "presets"
    assert http.post("/api/presets/Вечер/rename", json={"name": "evening"}).json()["name"] == "evening"
    assert http.post("/api/presets/evening/duplicate", json={}).json()["name"] == "evening 2"
    text = http.get("/api/presets/evening/export").text
    assert http.post("/api/presets/import", json={"toml": text, "name": "again"}).status_code == 201
    model = tiny_moe(tmp_path / "m.gguf")
    check = {"toml": "[values]\nexperts = 9\nodd = 1\n", "model_path": str(model)}
    report = http.post("/api/presets/check", json=check).json()
    assert report["unknown"] == ["values.odd"] and "It takes 1 to 8" in report["problems"][0]["sentence"]
    http.put("/api/presets/default", json={"model_path": str(model), "preset": "evening"})
    assert http.get("/api/presets/default", params={"model_path": str(model)}).json() == {"preset": "evening"}
    assert http.delete("/api/presets/evening").status_code == 204
    assert http.delete("/api/presets/dialog").status_code == 409
    assert http.put("/api/presets/bad", json={"name": "bad", "values": {"experts": 0}}).status_code == 400
    assert len(http.get("/api/settings").json()) == 34


def test_models_and_servers_over_http(http: TestClient, services: Any, tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "m.gguf")
    card = http.post("/api/models/inspect", json={"path": str(model)}).json()
    assert (card["experts"], card["problem"]) == (8, None)
    broken = http.post("/api/models/inspect", json={"path": str(tmp_path / "no.gguf")})
    assert broken.status_code == 200 and broken.json()["problem"]["kind"] == "model_file_missing"
    services.models.opened(model)
    assert [each["path"] for each in http.get("/api/models").json()] == [str(model)]
    assert http.post("/api/models/forget", json={"path": str(model)}).status_code == 204
    assert http.get("/api/models").json() == []
    assert http.post("/api/models/folders", json={"folders": [str(tmp_path / "nowhere")]}).status_code == 400
    assert http.put("/api/remotes/big", json={"url": "http://x/v1", "key": "k"}).json()["name"] == "big"
    assert [server["name"] for server in http.get("/api/remotes").json()] == ["big"]
    assert http.delete("/api/remotes/big").status_code == 204
    assert http.delete("/api/remotes/big").status_code == 404


def test_a_damaged_file_can_be_set_aside_over_http(services: Any, http: TestClient) -> None:
    services.chats.close()
    paths.chats_db().write_bytes(b"rubbish" * 500)
    for ending in ("-wal", "-shm"):
        paths.chats_db().with_name(paths.chats_db().name + ending).unlink(missing_ok=True)
    services.chats = ChatStore(paths.chats_db(), publish=lambda event: None)
    refused = http.get("/api/chats")
    assert refused.status_code == 507 and "set-aside" in refused.json()["error"]["sentence"]
    aside = http.post("/api/chats/set-aside").json()["path"]
    assert Path(aside).read_bytes().startswith(b"rubbish")
    assert http.get("/api/chats").json() == []
    services.chats.close()


def test_the_command_line_reads_presets_and_headers_without_a_service(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from app.__main__ import main

    (paths.user_presets_dir() / "mine.toml").write_text("[values]\nn_ctx = 512\n")
    assert main(["presets", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "mine"
    assert main(["presets", "show", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == {"context": 512}
    (paths.user_presets_dir() / "mine.toml").write_text("[values]\nexperts = 0\n")
    assert main(["presets", "check", "mine", "--json"]) == 1
    assert "It takes 1" in json.loads(capsys.readouterr().out)[0]["problems"][0]["sentence"]
    assert main(["presets", "check", "dialog"]) == 0
    assert main(["presets", "show", "nothing"]) == 1
    assert "There is no preset named nothing" in capsys.readouterr().err
    assert main(["models", "inspect", str(tiny_moe(tmp_path / "m.gguf")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experts"] == 8
    assert main(["models", "inspect", str(tmp_path)]) == 1


def test_anatomy_of_a_file(http: TestClient, tmp_path: Path) -> None:
    path = tiny_moe(tmp_path / "m.gguf")
    told = http.get("/api/models/anatomy", params={"path": str(path)}).json()
    assert (told["experts"], told["experts_trained"], len(told["active"])) == (8, 2, 8)
    assert sum(part["size_bytes"] for part in told["parts"]) == told["weight_bytes"]
    missing = http.get("/api/models/anatomy", params={"path": str(tmp_path / "no.gguf")})
    assert missing.status_code == 404 and "There is no file" in missing.json()["error"]["sentence"]


def test_a_pasted_config_is_explained(http: TestClient) -> None:
    told = http.post(
        "/api/models/explain", json={"text": json.dumps({"top_k": 20, "hidden_size": 64})}
    ).json()
    assert told["values"] == {"top_k": 20} and told["unknown"] == 0
    refused = http.post("/api/models/explain", json={"text": "<html>"})
    assert refused.status_code == 400 and "not JSON" in refused.json()["error"]["sentence"]
