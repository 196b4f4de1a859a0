"""Requests in the background: one line at the call site, the answer back on the window's thread.

A callback never reaches a widget that is gone, and a failure always reaches the person: by the caller's own
`failed`, or as a banner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot
from shiboken6 import isValid

from app.ui.excepthooks import report_exception

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.errors import PultError

T = TypeVar("T")


class Operations(QObject):
    """Runs work against the service on a few threads. `client()` is called on those threads and may wait."""

    failed = Signal(object)  # ErrorInfo of work whose caller gave no `failed`
    _finished = Signal(object)

    def __init__(
        self, client: Callable[[], ServiceClient], *, threads: int = 3, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pult-request")
        self._closed = False
        self._running = 0
        self._idle = threading.Condition()
        self._finished.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> int:
        """How many operations have not delivered their result yet."""
        return self._running

    def run(
        self,
        parent: QObject,
        work: Callable[[ServiceClient], T],
        *,
        done: Callable[[T], None] | None = None,
        failed: Callable[[PultError], None] | None = None,
    ) -> None:
        """Call `work(client)` on another thread, then `done(result)` here, unless `parent` is gone by then.

        A `PultError` goes to `failed`, without it to the banner. Any other exception is a fault of Pult:
        it is logged with its trace and shown as one sentence.
        """
        if self._closed:
            return
        self._running += 1
        self._pool.submit(self._work, parent, work, done, failed)

    def close(self, *, wait: bool = True) -> None:
        """Take no more work; what is queued is dropped, what runs ends by itself."""
        self._closed = True
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _work(
        self,
        parent: QObject,
        work: Callable[[ServiceClient], Any],
        done: Callable[[Any], None] | None,
        failed: Callable[[PultError], None] | None,
    ) -> None:
        from app.shared.errors import PultError

        outcome: Callable[[], None]
        try:
            result = work(self._client())
        except PultError as error:
            kept = error

            def outcome() -> None:
                if failed is not None:
                    failed(kept)
                else:
                    self.failed.emit(kept.info())

        except Exception as error:  # noqa: BLE001 - the border of a thread: nothing may die unseen
            report_exception(error)
            words = unexpected(error)

            def outcome() -> None:
                if failed is not None:
                    failed(words)
                else:
                    self.failed.emit(words.info())

        else:

            def outcome() -> None:
                if done is not None:
                    done(result)

        if not self._closed:
            self._finished.emit((parent, outcome))

    @Slot(object)
    def _deliver(self, finished: tuple[QObject, Callable[[], None]]) -> None:
        self._running -= 1
        parent, outcome = finished
        if not self._closed and isValid(parent):
            outcome()


def unexpected(error: BaseException) -> PultError:
    """Word a fault of the program itself; its trace is in the log."""
    from app.shared.errors import PultError

    return PultError(
        "Something in Pult went wrong: {what}. The log has the details; what you typed is kept.",
        what=f"{type(error).__name__}: {error}"[:200],
        remedies=("log",),
    )
