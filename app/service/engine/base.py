"""What every engine can do: llama.cpp, its supervised twin, a remote server and the fake keep to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from app.shared.engine import (
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    TokenCounts,
    TokenEvent,
)

LoadProgress = Callable[[float], None]


class StopFlag:
    """A person's wish to stop, set from any thread and looked at by the engine at its safe points.

    It cannot be taken back: one flag belongs to one load or one answer.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the engine to stop at the next safe point."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether stopping has been asked for."""
        return self._event.is_set()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it is set; False when the time ran out first."""
        return self._event.wait(timeout_seconds)


@runtime_checkable
class Engine(Protocol):
    """One model backend. Calls come from one thread at a time; only `StopFlag.set` crosses threads."""

    @property
    def loaded(self) -> LoadedModel | None:
        """What is loaded now, or None."""

    def load(self, plan: LoadPlan, *, progress: LoadProgress, stop: StopFlag) -> LoadedModel:
        """Load `plan`, replacing what was loaded, and return what it became.

        `progress` is called with 0…1, rising, from any thread. Raises `Cancelled` when `stop` was set in
        time, and another `PultError` when it cannot be loaded; nothing is loaded then.
        """

    def eject(self) -> None:
        """Free the model and its memory. Does nothing when none is loaded."""

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        """Yield one answer: `AnswerStarted`, `PrefillProgress`es, `AnswerDelta`s, one `AnswerFinished` last.

        With `stop` set the answer ends early, still in `AnswerFinished`, with the reason "cancelled" and the
        text so far. Raises `NoModelLoaded`, `PromptTooLong`, `BadValue`, `BadRequest` or `EngineFailed`.
        Closing the iterator early is like setting `stop`.
        """

    def count(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        """Count what `messages` would take of the context, with the loaded model's template and tokenizer.

        `thinking` None means as the loaded preset says. Raises `NoModelLoaded`.
        """

    def close(self) -> None:
        """Eject and release everything; the engine cannot be used afterwards. May be called twice."""
