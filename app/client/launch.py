"""Finds the running service or starts one, and ends the one it started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import IO

import psutil

from app import __version__
from app.client.service_client import ServiceClient
from app.shared import paths
from app.shared.errors import PultError, ServiceUnreachable
from app.shared.launch import hidden_window_flags, program_command

READY_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass
class RunningService:
    """A service that answers. `process` is set when it was started here; then it ends with `close()`.

    It also ends when this process dies of whatever cause: its stdin closes.
    """

    address: str
    token: str
    process: subprocess.Popen[bytes] | None = None

    def client(self) -> ServiceClient:
        """Return a new client of it."""
        return ServiceClient(self.address, self.token)

    def close(self) -> None:
        """End the service if it was started here, and wait for it; one that was found goes on."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if process.stdout is not None:
            process.stdout.close()
        if process.stderr is not None:
            process.stderr.close()


def open_service(*, engine: str = "llama", fresh: bool = False, window: bool = True) -> RunningService:
    """Return the living service of these user directories, or start one for the life of this process.

    `fresh`, or another engine than llama.cpp, starts one of its own in any case. With `window` this process is
    measured as the window. Raises `ServiceUnreachable` with the reason when it does not come up.
    """
    found = None if fresh or engine != "llama" else find_service()
    service = found if found is not None else start_service(engine=engine)
    if window:
        client = service.client()
        # A graph without the window's memory is no reason not to open it.
        with contextlib.suppress(PultError):
            client.watch_process(os.getpid())
        client.close()
    return service


def find_service() -> RunningService | None:
    """Return the service that `service.json` tells of, if that very process lives, answers and is of this version."""
    try:
        record = json.loads(paths.service_file().read_text(encoding="utf-8"))
        address, token, pid = str(record["address"]), str(record["token"]), int(record["pid"])
        started = float(record["process_started"])
        if abs(psutil.Process(pid).create_time() - started) > 2.0 or record["version"] != __version__:
            return None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    client = ServiceClient(address, token)
    try:
        return RunningService(address, token) if client.health().get("pid") == pid else None
    except PultError:
        return None
    finally:
        client.close()


def start_service(*, engine: str = "llama", seconds: float = READY_SECONDS) -> RunningService:
    """Start `pult serve` for the life of this process and wait until it answers."""
    # With a parent the service says its token on the pipe: service.json may belong to another one that lives already.
    command = program_command("serve", "--with-parent", "--engine", engine)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=hidden_window_flags(),
        # Ctrl+C in a terminal goes to the whole group; this process decides what it means for the service.
        process_group=0 if os.name == "posix" else None,
    )
    assert process.stdout is not None and process.stderr is not None
    complaints: deque[str] = deque(maxlen=40)
    draining = _drain(process.stderr, complaints)
    lines: queue.Queue[str | None] = queue.Queue()
    _read_lines(process.stdout, lines)
    running = RunningService("", "", process)
    deadline = time.monotonic() + seconds
    address = None
    while address is None:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            running.close()
            raise ServiceUnreachable(
                "Pult's service did not start within {wait_seconds}. The log may say why.",
                wait_seconds=seconds,
                remedies=("log",),
                details="\n".join(complaints),
            ) from None
        if line is None:
            code = process.wait(10)
            draining.join(5)  # its last words may still be in the pipe
            running.close()
            reason = next((each for each in reversed(complaints) if each.strip()), f"it ended with {code}")
            raise ServiceUnreachable(
                "Pult's service could not start: {reason}",
                reason=reason.removeprefix("pult: ").strip(),
                remedies=("log",),
                details="\n".join(complaints),
            )
        if line.startswith("ready "):
            address = line.removeprefix("ready ").strip()
            token = _token_line(lines, deadline)
            if token is None:
                running.close()
                raise ServiceUnreachable(
                    "Pult's service started without telling its token.", remedies=("log",)
                )
            running.address, running.token = address, token
    return running


def _token_line(lines: queue.Queue[str | None], deadline: float) -> str | None:
    try:
        line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
    except queue.Empty:
        return None
    return line.removeprefix("token ").strip() if line is not None and line.startswith("token ") else None


def _drain(stream: IO[bytes], into: deque[str]) -> threading.Thread:
    def work() -> None:
        with contextlib.suppress(OSError, ValueError):
            for raw in stream:
                into.append(raw.decode(errors="replace").rstrip())

    thread = threading.Thread(target=work, name="pult-service-stderr", daemon=True)
    thread.start()
    return thread


def _read_lines(stream: IO[bytes], into: queue.Queue[str | None]) -> None:
    def work() -> None:
        with contextlib.suppress(OSError, ValueError):
            for raw in stream:
                into.put(raw.decode(errors="replace").rstrip())
        into.put(None)

    threading.Thread(target=work, name="pult-service-stdout", daemon=True).start()
