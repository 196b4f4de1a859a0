"""A service in this process, on a port of its own, with the real desk and the fake engine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from app.service.app import create_app
from app.service.auth import host_names
from app.service.main import running_services
from app.service.services import Services

TOKEN = "a-token-for-tests-0123456789"


@contextmanager
def serving(*, engine: str = "fake:2000", in_process: bool = True, listen: str = "127.0.0.1") -> Iterator[Services]:
    """Serve on a free port of the loopback; the fake engine runs in this process unless told otherwise."""
    listening = socket.socket()
    listening.bind((listen, 0))
    port = listening.getsockname()[1]
    with running_services(
        engine=engine, address=f"http://{listen}:{port}", token=TOKEN, hosts=host_names(listen, port)
    ) as services:
        if in_process:
            from app.service.engine.fake import FakeEngine

            rate = float(engine.partition(":")[2] or 2000)
            services.engine._make_local = lambda: FakeEngine(rate)
        with listening_app(create_app(services), listening, before_end=services.hub.close):
            yield services


@contextmanager
def listening_app(
    app: Any, listening: socket.socket, *, before_end: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Run an ASGI application on a thread until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=2)
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test service")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield
    finally:
        before_end()
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until `condition` holds; fail when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}
