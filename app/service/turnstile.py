"""A queue of one: whoever uses the engine passes here, one at a time, in the order they came."""

from __future__ import annotations

import threading
import time
from collections import deque

from app.service.engine.base import StopFlag


class Turnstile:
    """Lets one caller through at a time, in the order they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def enter(self, stop: StopFlag | None = None, patience_seconds: float | None = None) -> bool:
        """Wait for the turn; False when `stop` was set or patience ran out first."""
        mine = threading.Event()
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            self._waiting.append(mine)
        end = None if patience_seconds is None else time.monotonic() + patience_seconds
        while not mine.wait(0.05):
            if (stop is not None and stop.is_set()) or (end is not None and time.monotonic() > end):
                with self._lock:
                    if mine in self._waiting:
                        self._waiting.remove(mine)
                        return False
                return True  # the turn came in this very moment
        return True

    def leave(self) -> None:
        """Let the next one through."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
