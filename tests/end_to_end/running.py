"""Real processes for tests: `pult serve` as anyone starts it, with the folder of its own that the test has."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.shared.launch import program_command


@dataclass
class Served:
    """A running service and a client that has its token."""

    process: subprocess.Popen[str]
    address: str
    token: str
    client: httpx.Client

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Return the JSON of a request that must succeed."""
        answer = self.client.post(path, json=body, **more)
        assert answer.status_code < 300, (path, answer.status_code, answer.text)
        return answer.json()

    def get(self, path: str, **more: Any) -> Any:
        """Return the JSON of a request that must succeed."""
        answer = self.client.get(path, **more)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def workers(self) -> list[psutil.Process]:
        """Return the processes that the service has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def serve(data: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """Run `pult serve --with-parent` on `data` until the block ends; it ends by its stdin closing, as in ordinary life."""
    data.mkdir(parents=True, exist_ok=True)
    token_file = data / "token-for-test"
    process = subprocess.Popen(
        program_command("serve", "--with-parent", "--token-file", str(token_file), *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PULT_DATA": str(data), **environment},
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    complaints: list[str] = []
    errors = process.stderr
    reader = threading.Thread(target=lambda: complaints.extend(errors), name="complaints")
    reader.start()
    try:
        ready = process.stdout.readline()
        assert ready.startswith("ready http://127.0.0.1:"), (ready, "".join(complaints))
        address, token = ready.split()[1], token_file.read_text(encoding="utf-8").strip()
        with httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as client:
            yield Served(process, address, token, client)
    finally:
        with contextlib.suppress(OSError):  # it was killed, which some tests are about
            process.stdin.close()
        try:
            process.wait(15)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(5)
            process.stdout.close()
            reader.join(5)
            process.stderr.close()
