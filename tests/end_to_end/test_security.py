"""Who may talk to the service: tokens, hosts, origins, body sizes, and files that only their owner can read."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.service.auth import BODY_LIMIT_BYTES, host_names, write_private
from app.service.main import _token
from app.service.services import Services
from app.shared.errors import Conflict
from tests.service.doubles import TOKEN, headers, serving

PATHS = ("/api/state", "/events", "/v1/models", "/api/log", "/nowhere")


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with serving() as running:
        yield running


def test_health_needs_no_token_and_tells_little(services: Services) -> None:
    answer = httpx.get(f"{services.address}/health")
    assert answer.status_code == 200 and set(answer.json()) == {"status", "version", "pid"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "given",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}],
)
def test_without_the_token_nothing_is_told(services: Services, path: str, given: dict[str, str]) -> None:
    answer = httpx.get(services.address + path, headers=given)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["message"] if path.startswith("/v1") else error["sentence"]).endswith(".")


@pytest.mark.parametrize("path", ("/health", *PATHS))
@pytest.mark.parametrize(
    "given",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "file://"},
    ],
)
def test_foreign_hosts_and_origins_are_refused_even_with_the_token(
    services: Services, path: str, given: dict[str, str]
) -> None:
    port = services.address.rpartition(":")[2]
    sent = {name: value.format(port=port) for name, value in given.items()}
    answer = httpx.get(services.address + path, headers={**headers(), **sent})
    assert answer.status_code == 403
    assert "evil" not in answer.headers.get("access-control-allow-origin", "")


def test_its_own_names_and_origin_are_welcome(services: Services) -> None:
    port = services.address.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        answer = httpx.get(
            f"{services.address}/api/state",
            headers={**headers(), "Host": host, "Origin": f"http://localhost:{port}"},
        )
        assert answer.status_code == 200, host


def test_two_hosts_in_one_request_are_refused(services: Services) -> None:
    host, _, port = services.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 5) as raw:
        raw.sendall(f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nHost: evil\r\n\r\n".encode())
        head = raw.recv(200)
    assert b" 403 " in head.split(b"\r\n")[0] or b" 400 " in head.split(b"\r\n")[0]


def test_endless_bodies_are_cut(services: Services) -> None:
    with socket.create_connection(("127.0.0.1", int(services.address.rpartition(":")[2])), 5) as raw:
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: {services.address.removeprefix('http://')}",
            f"Authorization: Bearer {TOKEN}",
            "Content-Type: application/json",
            f"Content-Length: {BODY_LIMIT_BYTES + 1}",
        ]
        raw.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        assert b" 413 " in raw.recv(300).split(b"\r\n")[0]

    def endless() -> Iterator[bytes]:
        for _ in range(BODY_LIMIT_BYTES // 2**20 + 2):
            yield b" " * 2**20

    with httpx.Client() as client:
        try:
            answer = client.post(
                f"{services.address}/v1/chat/completions", content=endless(), headers=headers()
            )
            assert answer.status_code == 413 and "64.0 MiB" in answer.json()["error"]["message"]
        except httpx.WriteError:
            pass  # it hung up on us while we were still sending, which is as good


def test_errors_of_the_api_are_one_shape(services: Services) -> None:
    with httpx.Client(base_url=services.address, headers=headers()) as client:
        for answer, status in (
            (client.get("/api/nothing-here"), 404),
            (client.put("/api/state"), 404),
            (client.post("/api/engine/load", content=b"{"), 400),
            (client.post("/api/engine/load", json={"modle": "x"}), 400),
            (client.post("/api/engine/load", json={}), 400),
            (client.post("/api/engine/values", json={"values": {"temperature": "hot"}}), 400),
            (client.post("/api/engine/values", json={"values": {"context": 1024}}), 400),
            (client.post("/api/engine/reload"), 409),
            (client.post("/api/engine/count", json={"draft": "x"}), 409),
        ):
            error = answer.json()["error"]
            assert answer.status_code == status, (answer.request.url, error)
            assert error["sentence"].endswith((".", "?")) and error["kind"] and "template" in error


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_secrets_are_written_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "run" / "service.json"
    previous = os.umask(0)
    try:
        write_private(file, json.dumps({"token": "x"}))
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["service.json"]
    token_file = tmp_path / "token"
    token = _token(token_file)
    assert len(token) > 30 and stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert _token(token_file) == token
    token_file.write_text("short")
    with pytest.raises(Conflict):
        _token(token_file)


def test_listening_wider_allows_this_machines_names_only() -> None:
    assert set(host_names("127.0.0.1", 80)) == {"127.0.0.1:80", "localhost:80", "[::1]:80"}
    wide = host_names("0.0.0.0", 80)
    assert f"{socket.gethostname().lower()}:80" in wide and "evil.example:80" not in wide
    assert "192.168.1.7:9" in host_names("192.168.1.7", 9)
