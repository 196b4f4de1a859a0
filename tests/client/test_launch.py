"""Starting and finding the service, with the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app import __version__
from app.client.launch import RunningService, find_service, open_service, start_service
from app.client.service_client import ServiceClient
from app.shared import paths
from app.shared.errors import BadValue, ServiceUnreachable
from app.shared.events import State, Telemetry
from tests.models_for_tests import tiny_moe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[RunningService]:
    """One real service with the fake engine for this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULT_DATA", str(folder))
        service = start_service(engine="fake:500")
    yield service
    assert service.process is not None
    process = service.process
    service.close()
    assert process.returncode == 0


@pytest.fixture
def client(running: RunningService) -> Iterator[ServiceClient]:
    made = running.client()
    yield made
    made.close()


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Look where the module's service lives."""
    monkeypatch.setenv("PULT_DATA", str(folder))
    return folder


@pytest.mark.usefixtures("here")
def test_the_living_one_is_found_and_left_running(running: RunningService) -> None:
    found = open_service()
    assert (found.address, found.token, found.process) == (running.address, running.token, None)
    found.close()
    client = running.client()
    assert client.health()["status"] == "ok"
    samples = (event.sample for event in client.events(threading.Event()) if event.type == "telemetry")
    roles = {process.role: process.pid for process in next(samples).processes}
    assert roles["window"] == os.getpid()  # the one that opened it is measured
    client.close()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": 2**22 + 4321},
        {"pid": os.getpid()},  # lives, but is no service: the number was given to another process
        {"process_started": 5.0},
        {"version": "0.0.0-other"},
        {"address": "http://127.0.0.1:9"},
        {"token": 7, "pid": "no number"},
    ],
    ids=str,
)
def test_a_stale_or_foreign_record_is_ignored(running: RunningService, wrong: dict[str, object]) -> None:
    file = paths.service_file()
    good = file.read_text()
    try:
        record = json.loads(good)
        assert record["version"] == __version__
        file.write_text(json.dumps({**record, **wrong}))
        assert find_service() is None
        file.write_text("{half")
        assert find_service() is None
    finally:
        file.write_text(good)
    assert find_service() is not None


def test_nothing_is_found_in_fresh_folders() -> None:
    assert find_service() is None


def test_the_routes_of_telemetry_answer(client: ServiceClient, tmp_path: Path) -> None:
    loaded = client.load(str(tiny_moe(tmp_path / "tiny.gguf")), wait=True)
    assert loaded.model is not None
    with pytest.raises(BadValue, match=r"0\.2 to 10"):
        client.set_telemetry_rate(99)
    client.set_telemetry_rate(10)
    assert client.telemetry_rate() == 10
    assert client.preferences()["telemetry_hertz"] == 10
    now = time.time()
    assert [marker.kind for marker in client.markers(now - 60, now + 1)] == ["load"]
    deadline = time.monotonic() + 10
    while len((history := client.telemetry(now - 60, now + 60)).at) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(history.at) >= 6 and history.columns["service.rss"][-1]
    assert history.interval_seconds == pytest.approx(0.1)
    lines = client.telemetry_csv(now - 60, now + 60).splitlines()
    assert lines[0].startswith("time,unix_seconds,") and len(lines) > 6
    assert client.answers() == ()
    with pytest.raises(BadValue):
        client.telemetry(20.0, 10.0)
    with pytest.raises(BadValue):
        client.telemetry_csv(20.0, 10.0)
    assert client.eject().model is None


def test_events_begin_with_the_state_and_end_when_asked(client: ServiceClient) -> None:
    stop = threading.Event()
    kinds: list[type] = []
    for event in client.events(stop):
        kinds.append(type(event))
        if isinstance(event, Telemetry):
            stop.set()
    assert kinds[0] is State and Telemetry in kinds


def test_a_wrong_token_is_refused_with_a_sentence(running: RunningService) -> None:
    client = ServiceClient(running.address, "wrong")
    with pytest.raises(Exception, match="token") as caught:
        next(client.events(threading.Event()))
    assert type(caught.value).__name__ == "Unauthorised"
    client.close()


def test_a_service_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("PULT_DATA", str(blocked))
    with pytest.raises(ServiceUnreachable) as caught:
        open_service()
    assert caught.value.sentence.startswith("Pult's service could not start: ")
    assert str(blocked) in caught.value.sentence or "directory" in caught.value.sentence


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_it_ends_with_the_process_that_started_it() -> None:
    words = (
        "from app.client.launch import start_service; import time\n"
        "service = start_service(engine='fake')\n"
        "print(service.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    service = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    service.wait(15)  # raises TimeoutExpired if it lives on
