"""The service's process: its record, its signals, and a second service beside it."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.service.main import ServeOptions, other_service, run
from app.shared import paths
from app.shared.errors import Conflict
from tests.end_to_end.running import serve


def record(**changes: Any) -> None:
    parent = os.getppid()
    body = {"pid": parent, "process_started": psutil.Process(parent).create_time(), **changes}
    paths.service_file().write_text(json.dumps(body), encoding="utf-8")


def test_only_a_living_process_of_that_start_counts_as_another_service() -> None:
    assert other_service() is None
    record()
    assert other_service() == os.getppid()
    record(process_started=1.0)  # another process has got the number since
    assert other_service() is None
    record(pid=os.getpid())
    assert other_service() is None
    record(pid="many")
    assert other_service() is None
    paths.service_file().write_text("{", encoding="utf-8")
    assert other_service() is None


def test_a_port_that_is_taken_or_impossible_is_a_sentence() -> None:
    for port in (70000, -1):
        with pytest.raises(Conflict, match="does not exist"):
            run(ServeOptions(port=port))
    with pytest.raises(Conflict, match="cannot listen"):
        run(ServeOptions(listen="203.0.113.7"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals and permissions")
def test_two_services_side_by_side_and_a_signal(user_dirs: Path) -> None:
    file = user_dirs / "run" / "service.json"
    with serve(user_dirs, "--engine", "fake", "--model", "one.gguf") as first:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept = json.loads(file.read_text(encoding="utf-8"))
        assert kept["address"] == first.address and kept["pid"] == first.process.pid
        with serve(user_dirs, "--engine", "fake") as second:
            assert json.loads(file.read_text(encoding="utf-8")) == kept
            assert second.address != first.address
        assert json.loads(file.read_text(encoding="utf-8")) == kept
        workers = first.workers()
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(10) == 0
        assert not file.exists() and not any(worker.is_running() for worker in workers)
