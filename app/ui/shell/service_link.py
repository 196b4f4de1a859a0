"""The window's hold on its service: started in a thread, found again when it died, ended with the window.

Callers on other threads ask `client()` and may wait; the window's own thread only hears signals.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QObject, Signal

from app.ui.excepthooks import report_exception

if TYPE_CHECKING:
    from app.client.launch import RunningService
    from app.client.service_client import ServiceClient
    from app.shared.errors import PultError

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
RESTARTS, WITHIN_SECONDS = (
    4,
    60.0,
)  # more deaths than this in that time: something is wrong that a restart does not cure


class ServiceLink(QObject):
    """Opens the service by `opener()` and keeps the client that talks to the living one."""

    opened = Signal(str)  # the address; also after every restart
    died = Signal(object)  # ErrorInfo; it is being started again
    failed = Signal(object)  # ErrorInfo: it cannot be started (again)

    def __init__(self, opener: Callable[[], RunningService], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._opener = opener
        self._condition = threading.Condition()
        self._running: RunningService | None = None
        self._client: ServiceClient | None = None
        self._error: PultError | None = None
        self._closed = self._opening = False
        self._thread: threading.Thread | None = None
        self._starts: list[float] = []

    def open(self) -> None:
        """Start the service, or start it again, in a thread; `opened` or `failed` follows."""
        with self._condition:
            if self._closed or self._opening:
                return
            self._opening = True
            self._error = None
            self._thread = threading.Thread(target=self._open, name="pult-service-start", daemon=True)
            self._thread.start()

    def client(self) -> ServiceClient:
        """Return the client, waiting for the service to come up; raises the error that kept it from starting.

        For threads other than the window's.
        """
        from app.shared.errors import ServiceUnreachable, from_info

        with self._condition:
            self._condition.wait_for(
                lambda: self._client is not None or self._error is not None or self._closed, PATIENCE_SECONDS
            )
            if self._error is not None:
                raise from_info(self._error.info())
            if self._client is None:
                raise ServiceUnreachable(
                    "Pult's service did not come up within {wait_seconds}. Your text is kept; try again.",
                    wait_seconds=PATIENCE_SECONDS,
                )
            return self._client

    def waiting_client(self) -> ServiceClient:
        """Return something with a client's methods, each of which first waits for the living client."""
        return cast("ServiceClient", _WaitingClient(self))

    def client_for_events(self) -> ServiceClient:
        """Return the client for a new event stream, starting the service again if it has ended."""
        client = self.client()
        ended = self._ended(client)
        if ended is not None and not self._closed:
            self._restart(ended)
            client = self.client()
        return client

    def retry(self) -> None:
        """Try again after `failed`: the person asked for it."""
        self._starts.clear()
        self.open()

    def close(self) -> None:
        """Let go of the service; one that was started for this window ends."""
        with self._condition:
            self._closed = True
            running, client = self._running, self._client
            self._running = self._client = None
            self._condition.notify_all()
        thread = self._thread
        if thread is not None:
            thread.join(PATIENCE_SECONDS)
        if client is not None:
            client.close()
        if running is not None:
            running.close()

    def _open(self) -> None:
        from app.client.service_client import ServiceClient
        from app.shared.errors import PultError, ServiceUnreachable

        try:
            running = self._opener()
            client = ServiceClient(running.address, running.token)
        except Exception as error:  # noqa: BLE001 - the border of a thread: worded, logged and shown
            report_exception(error)
            worded = (
                error
                if isinstance(error, PultError)
                else ServiceUnreachable(
                    "Pult's service could not be started: {reason}.", reason=str(error).rstrip(".")
                )
            )
            with self._condition:
                self._error, self._opening = worded, False
                self._condition.notify_all()
            if not self._closed:
                self.failed.emit(worded.info())
            return
        with self._condition:
            self._opening = False
            if not self._closed:
                self._running, self._client = running, client
                self._starts.append(time.monotonic())
                self._condition.notify_all()
        if self._closed:
            client.close()
            running.close()
        else:
            self.opened.emit(running.address)

    def _ended(self, client: ServiceClient) -> str | None:
        """One sentence on how the service ended; None while it lives."""
        from app.shared.errors import PultError

        running = self._running
        process = running.process if running is not None else None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it lives; does it answer?
                return f"the process ended with {process.wait(0.5)}"
        try:
            client.health()
        except PultError:
            return "it does not answer"
        return None

    def _restart(self, how: str) -> None:
        from app.shared.errors import ServiceUnreachable

        with self._condition:
            running, client = self._running, self._client
            self._running = self._client = None
        if client is not None:
            client.close()
        if running is not None:
            running.close()
        now = time.monotonic()
        self._starts = [start for start in self._starts if now - start < WITHIN_SECONDS]
        if len(self._starts) >= RESTARTS:
            error = ServiceUnreachable(
                "Pult's service ended {count} times within a minute and is not started again. The log says why.",
                count=len(self._starts),
                remedies=("reload", "log"),
            )
            with self._condition:
                self._error = error
                self._condition.notify_all()
            self.failed.emit(error.info())
            raise error
        _log.warning("The service is started again: %s", how)
        self.died.emit(
            ServiceUnreachable(
                "Pult's service ended and is being started again. Your text and chats are kept.",
                remedies=("log",),
                details=how,
            ).info()
        )
        self.open()


class _WaitingClient:
    """Stands where a client is expected before there is one, and after it was replaced by a new service's."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link.client(), name)
