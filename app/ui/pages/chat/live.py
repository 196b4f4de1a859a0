"""Answers being written, as the events tell them: the exact text so far, speed, prefill, how long it has thought."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.shared.events import AnswerText

_ENDED_KEPT = 64


@dataclass(slots=True)
class LiveAnswer:
    """One answer so far. Times are monotonic seconds; None where nothing of the kind has happened yet."""

    text: str = ""
    thought: str = ""
    tokens: int = 0
    prefill_fraction: float | None = None
    tokens_per_second: float | None = None
    thought_began: float | None = None
    thought_seconds: float | None = None
    context_used_tokens: int | None = None
    context_size_tokens: int | None = None

    @property
    def thinking(self) -> bool:
        """Whether the thought is still growing."""
        return self.thought_began is not None and self.thought_seconds is None

    def thought_so_far_seconds(self, now: float) -> float | None:
        """Return how long it has thought until `now`, or in all once it has ended."""
        if self.thought_seconds is not None:
            return self.thought_seconds
        return now - self.thought_began if self.thought_began is not None else None


class LiveAnswers:
    """Every answer being written, in whichever chat; kept from the snapshot on, so that texts are exact."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._live: dict[str, LiveAnswer] = {}
        self._ended: OrderedDict[str, Message] = OrderedDict()

    def get(self, message_id: str) -> LiveAnswer | None:
        """Return the answer, None if it is not being written."""
        return self._live.get(message_id)

    def replace(self, answering: Iterable[Message]) -> None:
        """A new snapshot: these answers, with these texts, are being written and no others."""
        self._live = {message.id: self._of(message) for message in answering}

    def take_text(self, text: AnswerText) -> LiveAnswer:
        """Add what was written since the last event."""
        live = self._live.get(text.message_id)
        if live is None:
            live = self._live[text.message_id] = LiveAnswer()
        now = self._clock()
        if text.thought and live.thought_began is None:
            live.thought_began = now
        if text.text and live.thought_began is not None and live.thought_seconds is None:
            live.thought_seconds = now - live.thought_began
        live.text += text.text
        live.thought += text.thought
        live.tokens = text.tokens
        live.prefill_fraction = text.prefill_fraction
        live.tokens_per_second = text.decode_tokens_per_second or live.tokens_per_second
        live.context_used_tokens = text.context_used_tokens or live.context_used_tokens
        live.context_size_tokens = text.context_size_tokens or live.context_size_tokens
        return live

    def take_message(self, message: Message) -> None:
        """A message changed: one that is being written begins here, any other has ended."""
        if message.state == "writing":
            self._live.setdefault(message.id, self._of(message))
            return
        if self._live.pop(message.id, None) is not None:
            self._ended[message.id] = message
            while len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)

    def newest(self, message: Message) -> Message:
        """Return the message as the events tell it: a fetched view may be older than what they have said since."""
        if message.state == "writing":
            live = self._live.get(message.id)
            if live is not None:
                return message.model_copy(update={"text": live.text, "thought": live.thought or None})
            return self._ended.get(message.id, message)
        return message

    def _of(self, message: Message) -> LiveAnswer:
        now = self._clock()
        return LiveAnswer(
            text=message.text,
            thought=message.thought or "",
            thought_began=now if message.thought and not message.text else None,
        )
