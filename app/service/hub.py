"""Where events meet their listeners: published from any thread, heard on the event loop.

Nothing here grows without bound: a listener's pending events merge (answer text, telemetry, engine state), and one that
falls behind by more than the limit loses them all and is told to start again from a fresh `state`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from app.shared.events import AnswerText, EngineChanged, Event, MessageChanged, State, Telemetry

PENDING_LIMIT = 2000
MERGE_SECONDS = 1 / 60

Numbered = tuple[int, Event]


@dataclass(eq=False)
class _Listener:
    loop: asyncio.AbstractEventLoop
    limit: int
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    pending: list[Numbered] = field(default_factory=list)
    merging: dict[str, int] = field(default_factory=dict)  # what may still be merged → its place in `pending`
    needs_state: bool = True
    woken: bool = False

    def offer(self, number: int, event: Event) -> None:
        if self.needs_state:
            return  # the state it is about to get contains this event
        if not self._merged(number, event):
            if len(self.pending) >= self.limit:
                self.forget()
                self.needs_state = True
            else:
                self.pending.append((number, event))
        if not self.woken:
            self.woken = True
            try:
                self.loop.call_soon_threadsafe(self.wake.set)
            except RuntimeError:  # its loop has closed: the stream is ending and will unsubscribe
                self.forget()

    def forget(self) -> None:
        self.pending = []
        self.merging = {}

    def take(self) -> list[Numbered]:
        taken = self.pending
        self.forget()
        self.woken = False
        self.wake.clear()
        return taken

    def _merged(self, number: int, event: Event) -> bool:
        match event:
            case AnswerText():
                key = event.message_id
            case Telemetry() | EngineChanged():
                key = event.type
            case MessageChanged():
                self.merging.pop(event.message.id, None)  # text after this belongs after it
                return False
            case _:
                return False
        place = self.merging.get(key)
        if place is None:
            self.merging[key] = len(self.pending)
            return False
        earlier = self.pending[place][1]
        if isinstance(event, AnswerText) and isinstance(earlier, AnswerText):
            event = event.model_copy(
                update={"text": earlier.text + event.text, "thought": earlier.thought + event.thought}
            )
        elif isinstance(event, EngineChanged) and place != len(self.pending) - 1:
            # A later state replaces an earlier one only when nothing was said in between that could depend on it.
            self.merging[key] = len(self.pending)
            return False
        self.pending[place] = (self.pending[place][0], event)  # numbers rise along the stream
        return True


class EventHub:
    """Publishes events to every listener. `order` may be held around a change and its `publish`, so that a snapshot
    taken meanwhile has seen either both or neither."""

    def __init__(self, *, limit: int = PENDING_LIMIT) -> None:
        self.order = threading.RLock()
        self._limit = limit
        self._number = 0
        self._listeners: set[_Listener] = set()
        self._closed = False

    @property
    def listener_count(self) -> int:
        """How many streams listen now."""
        return len(self._listeners)

    def publish(self, event: Event) -> None:
        """Say `event` to all listeners; from any thread, never blocking on a slow one."""
        with self.order:
            self._number += 1
            for listener in self._listeners:
                listener.offer(self._number, event)

    def close(self) -> None:
        """End every stream; the service is stopping."""
        with self.order:
            self._closed = True
            for listener in self._listeners:
                if not listener.loop.is_closed():
                    listener.loop.call_soon_threadsafe(listener.wake.set)

    async def subscribe(
        self, snapshot: Callable[[], State], *, quiet_seconds: float = 10.0
    ) -> AsyncIterator[Numbered | None]:
        """Yield numbered events, a fresh `State` first and after every overflow; None after `quiet_seconds` without any.

        `snapshot` is called with `order` held: it must not wait for anything that publishes.
        """
        listener = _Listener(asyncio.get_running_loop(), self._limit)
        with self.order:
            self._listeners.add(listener)
        last = 0.0
        try:
            while True:
                rest = last + MERGE_SECONDS - listener.loop.time()
                if rest > 0:
                    await asyncio.sleep(rest)
                for numbered in self._batch(listener, snapshot):
                    yield numbered
                last = listener.loop.time()
                if self._closed:  # while the last batch was given out; its wake-up has been spent
                    return
                try:
                    async with asyncio.timeout(quiet_seconds):
                        await listener.wake.wait()
                except TimeoutError:
                    yield None
        finally:
            with self.order:
                self._listeners.discard(listener)

    def _batch(self, listener: _Listener, snapshot: Callable[[], State]) -> list[Numbered]:
        with self.order:
            taken = listener.take()
            if listener.needs_state:
                listener.needs_state = False
                return [(self._number, snapshot())]
            return taken
