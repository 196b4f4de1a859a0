"""For every test: user directories in a temporary folder, Qt without a screen, and nothing left running."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil
import pytest

# Threads that libraries keep for the life of the process, by the start of their names.
LASTING_THREADS = (
    "pytest_timeout",
    "ThreadPoolExecutor-asyncio",
    "asyncio_",
    "AnyIO worker thread",
    "tqdm",
    "pydevd",
)
PATIENCE_SECONDS = 5.0


@pytest.fixture(autouse=True)
def user_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every user directory at the test's own folder and return it."""
    folder = tmp_path / "pult-data"
    monkeypatch.setenv("PULT_DATA", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a child process behind."""
    threads_before = set(threading.enumerate())
    children_before = {child.pid for child in _children()}
    yield
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        threads = [
            thread.name
            for thread in threading.enumerate()
            if thread not in threads_before and not thread.name.startswith(LASTING_THREADS)
        ]
        children = [child for child in _children() if child.pid not in children_before]
        if not threads and not children:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    words = [_command(child) for child in children]
    for child in children:
        child.kill()
    pytest.fail(f"{request.node.nodeid} left running: threads {threads}, processes {words}")


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.NoSuchProcess:
        return "gone already"
