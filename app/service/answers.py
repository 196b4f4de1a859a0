"""Answers being written into chats: one thread each, from the engine to the store and to everyone who listens.

Words are on disk before anyone sees them, so that the loss of this process costs at most the piece in flight; while the disk is
full they are kept in memory. A failure is a sentence on the message it belongs to.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from app.service.engine.base import StopFlag
from app.service.turns import title_of, turns_of
from app.shared.chats import AnswerFacts, Message
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    LoadedModel,
    PrefillProgress,
    SettingValue,
    Timings,
    ToolCall,
)
from app.shared.errors import BadRequest, NotFound, PultError, StorageFailed
from app.shared.events import AnswerText, MessageChanged
from app.shared.settings import Stage, check_values, find, settings

if TYPE_CHECKING:
    from app.service.chats.store import ChatStore
    from app.service.engine_desk import EngineDesk
    from app.service.hub import EventHub
    from app.service.log_book import LogBook
    from app.service.telemetry.sampler import Sampler

# Every piece is on disk before anyone sees it; only texts so long that rewriting them would load the disk wait a little.
SAVE_CHARACTERS_PER_SECOND = 4_000_000
PUBLISH_SECONDS = 1 / 60
RETRY_SECONDS = 2.0

EndState = Literal["done", "stopped", "failed"]


@dataclass(eq=False)
class _Writing:
    """One answer under way. `shown` is what listeners have been told, `text` and `thought` what has come."""

    message: Message
    request: GenerateRequest
    values: dict[str, SettingValue]
    stop: StopFlag = field(default_factory=StopFlag)
    text: str = ""
    thought: str = ""
    shown_text: int = 0
    shown_thought: int = 0
    tokens: int = 0
    started_at: float = field(default_factory=time.time)
    published: float = 0.0
    saved: float = 0.0
    save_failed: bool = False
    thread: threading.Thread | None = None
    last: AnswerDelta | None = None


@dataclass(frozen=True)
class _Ending:
    text: str
    thought: str | None
    state: EndState
    facts: AnswerFacts
    tool_calls: tuple[ToolCall, ...] = ()


class Answers:
    """Starts, stops and keeps answers. Every method is safe from any thread."""

    def __init__(
        self,
        *,
        chats: ChatStore,
        engine: EngineDesk,
        hub: EventHub,
        telemetry: Sampler,
        log: LogBook,
    ) -> None:
        self._chats, self._engine, self._hub, self._telemetry, self._log = chats, engine, hub, telemetry, log
        self._lock = threading.Lock()
        self._writing: dict[str, _Writing] = {}
        self._unsaved: dict[str, tuple[Message, _Ending]] = {}
        self._retry: threading.Thread | None = None
        self._closing = threading.Event()

    def start(
        self,
        chat_id: str,
        *,
        parent_id: str | None,
        values: Mapping[str, SettingValue] | None = None,
        continue_message_id: str | None = None,
    ) -> Message:
        """Start an answer to `parent_id` (or go on with `continue_message_id`) and return its message, being written.

        Raises `NoModelLoaded`, `Busy`, `BadValue` and `NotFound`; the question stays where it is.
        """
        model = self._engine.ready_model()
        asked = check_values(dict(values or {}))
        _only_for_answers(asked, model)
        merged = {**model.values, **asked}
        going_on = None if continue_message_id is None else self._chats.message(continue_message_id)
        if going_on is not None and going_on.role != "assistant":
            raise BadRequest(
                "Only an answer can be continued; this message is a person's. Ask for an answer instead."
            )
        if going_on is not None and going_on.id in self._writing:
            raise BadRequest("This answer is still being written. Stop it before continuing it.")
        leaf = going_on.id if going_on is not None else parent_id
        path = self._chats.path_to(leaf) if leaf is not None else ()
        if not path:
            raise BadRequest("There is nothing to answer in this chat yet. Write a message first.")
        self._name_chat(chat_id, path)
        if going_on is None:
            message = self._chats.add(
                chat_id,
                role="assistant",
                text="",
                parent_id=parent_id,
                facts=AnswerFacts(
                    model=model.name, preset=model.preset
                ),  # known even of an answer that is cut off
                state="writing",
            )
        else:
            message = self._chats.reopen(going_on.id)
        most = merged.get("max_tokens")
        request = GenerateRequest(
            id=uuid.uuid4().hex,
            messages=tuple(turns_of(path, merged.get("system_prompt"))),
            values=asked,
            max_tokens=int(most) if isinstance(most, (int, float)) and most > 0 else None,
            thinking_counts=False,
            continue_last=going_on is not None,
        )
        writing = _Writing(message, request, merged)
        if going_on is not None:
            writing.text, writing.thought = going_on.text, going_on.thought or ""
            writing.shown_text, writing.shown_thought = len(writing.text), len(writing.thought)
        with self._lock:
            self._writing[message.id] = writing
        writing.thread = threading.Thread(target=self._write, args=(writing,), name="answer", daemon=True)
        writing.thread.start()
        return message

    def stop(self, message_id: str) -> Message:
        """Stop the answer at the next token and return it as it stands; one that has ended is returned as it is."""
        with self._lock:
            writing = self._writing.get(message_id)
        if writing is None:
            return self._chats.message(message_id)
        writing.stop.set()
        return self._so_far(writing)

    def writing(self) -> tuple[Message, ...]:
        """Return the answers being written, with the text that listeners have been told, and those that are written but
        could not be saved yet. Call with the hub's order held to get neither more nor less than the stream says."""
        with self._lock:
            kept = tuple(message for message, _ in self._unsaved.values())
            return tuple(self._so_far(writing) for writing in self._writing.values()) + kept

    def turns_of_chat(self, chat_id: str) -> list[ChatTurn]:
        """Return the turns of the chat's present path as the engine would get them."""
        model = self._engine.state().model
        system = model.values.get("system_prompt") if model is not None else None
        return turns_of(self._chats.view(chat_id).messages, system)

    def close(self, *, patience_seconds: float = 5.0) -> None:
        """Stop every answer, wait for their last words to be saved, and try once more what could not be."""
        with self._lock:
            threads = [writing.thread for writing in self._writing.values()]
            for writing in self._writing.values():
                writing.stop.set()
        end = time.monotonic() + patience_seconds
        for thread in threads:
            if thread is not None:
                thread.join(max(0.0, end - time.monotonic()))
        self._closing.set()
        if self._retry is not None:
            self._retry.join(2.0)
        self._save_endings()

    # One answer, on its own thread

    def _write(self, writing: _Writing) -> None:
        finished: AnswerFinished | None = None
        failure: PultError | None = None
        started: AnswerStarted | None = None
        model = self._engine.state().model
        try:
            for event in self._engine.generate(writing.request, stop=writing.stop):
                match event:
                    case AnswerStarted():
                        started = event
                        self._say(writing, prefill=0.0)
                    case PrefillProgress():
                        self._say(writing, prefill=event.done_tokens / max(1, event.total_tokens))
                    case AnswerDelta():
                        self._take(writing, event)
                    case AnswerFinished():
                        finished = event
        except NotFound:
            finished = None  # the chat or the message is gone: nothing is left to write into
            failure = NotFound("The chat of this answer was removed while it was being written.")
        except PultError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - the border of this thread: reported, and said on the message
            self._log.crash("answer", error)
            failure = PultError(
                "The answer failed unexpectedly: {what}. The log has the details.",
                what=f"{type(error).__name__}: {error}"[:300],
                remedies=("log",),
            )
        try:
            self._end(writing, finished, failure, started, model)
        except Exception as error:  # noqa: BLE001 - the border of this thread: reported, and the answer is not left open
            self._log.crash("answer", error)
        finally:
            with self._lock:
                self._writing.pop(writing.message.id, None)

    def _take(self, writing: _Writing, delta: AnswerDelta) -> None:
        writing.text += delta.text
        writing.thought += delta.thought
        writing.tokens += delta.tokens
        writing.last = delta
        now = time.monotonic()
        length = len(writing.text) + len(writing.thought)
        pause = RETRY_SECONDS / 4 if writing.save_failed else length / SAVE_CHARACTERS_PER_SECOND
        if now - writing.saved >= pause:
            writing.saved = now
            self._save(writing)
        if now - writing.published >= PUBLISH_SECONDS:
            self._say(writing)

    def _say(
        self, writing: _Writing, *, prefill: float | None = None, timings: Timings | None = None
    ) -> None:
        writing.published = time.monotonic()
        last = writing.last
        model = self._engine.state().model
        with self._hub.order:
            text, thought = writing.text[writing.shown_text :], writing.thought[writing.shown_thought :]
            writing.shown_text, writing.shown_thought = len(writing.text), len(writing.thought)
            self._hub.publish(
                AnswerText(
                    chat_id=writing.message.chat_id,
                    message_id=writing.message.id,
                    text=text,
                    thought=thought,
                    tokens=writing.tokens,
                    prefill_fraction=prefill,
                    decode_tokens_per_second=last.decode_tokens_per_second if last is not None else None,
                    context_used_tokens=last.context_used_tokens if last is not None else None,
                    context_size_tokens=model.context if model is not None else None,
                    timings=timings,
                )
            )

    def _save(self, writing: _Writing) -> None:
        try:
            self._chats.write(writing.message.id, text=writing.text, thought=writing.thought or None)
        except StorageFailed as error:
            if not writing.save_failed:
                writing.save_failed = True
                self._log.problem(error)
            return
        writing.save_failed = False

    def _end(
        self,
        writing: _Writing,
        finished: AnswerFinished | None,
        failure: PultError | None,
        started: AnswerStarted | None,
        model: LoadedModel | None,
    ) -> None:
        timings = finished.timings if finished is not None else Timings()
        self._say(writing, timings=timings if finished is not None else None)
        now = time.time()
        began = min(writing.started_at, now)  # the clock may have been set back meanwhile
        facts = AnswerFacts(
            model=model.name if model is not None else None,
            preset=model.preset if model is not None else None,
            values=_sampling(writing.values),
            experts_used=finished.experts_used if finished is not None else None,
            seed=finished.seed if finished is not None else started.seed if started is not None else None,
            timings=timings,
            finish_reason=finished.finish_reason if finished is not None else None,
            error=failure.sentence if failure is not None else None,
            energy_joules=self._telemetry.energy_joules(began, now),
            peak_vram_bytes=self._telemetry.peak_vram_bytes(began, now),
        )
        state: EndState = "failed" if failure is not None or finished is None else "done"
        if finished is not None and finished.finish_reason == "cancelled":
            state = "stopped"
        ending = _Ending(
            text=writing.text,
            thought=writing.thought or None,
            state=state,
            facts=facts,
            tool_calls=finished.tool_calls if finished is not None else (),
        )
        message_id = writing.message.id
        try:
            self._finish(message_id, ending)
        except NotFound as error:
            self._log.add("info", "service", error.sentence)
        except StorageFailed as error:
            self._keep(writing, ending, error)
        except Exception as error:  # noqa: BLE001 - the border of this thread: the text is kept and the failure reported
            self._log.crash("chat store", error)
            self._keep(writing, ending, None)
        if failure is not None:
            self._log.add("error", "service", f"An answer failed: {failure.sentence}")

    def _finish(self, message_id: str, ending: _Ending) -> None:
        self._chats.finish(
            message_id,
            text=ending.text,
            thought=ending.thought,
            state=ending.state,
            facts=ending.facts,
            tool_calls=ending.tool_calls,
        )

    # When the disk is full

    def _keep(self, writing: _Writing, ending: _Ending, error: StorageFailed | None) -> None:
        message = writing.message.model_copy(
            update={
                "text": ending.text,
                "thought": ending.thought,
                "state": ending.state,
                "facts": ending.facts,
                "tool_calls": ending.tool_calls,
            }
        )
        with self._lock:
            self._unsaved[message.id] = (message, ending)
            start = self._retry is None
            if start:
                self._retry = threading.Thread(target=self._retry_saving, name="unsaved answers", daemon=True)
        self._hub.publish(MessageChanged(message=message))
        if error is not None and not writing.save_failed:
            self._log.problem(error)
        if start and self._retry is not None:
            self._retry.start()

    def _retry_saving(self) -> None:
        while not self._closing.wait(RETRY_SECONDS):
            self._save_endings()
            with self._lock:
                if not self._unsaved:
                    self._retry = None
                    return

    def _save_endings(self) -> None:
        with self._lock:
            endings = dict(self._unsaved)
        for message_id, (_, ending) in endings.items():
            try:
                self._finish(message_id, ending)
            except StorageFailed:
                continue  # said when it first failed; tried again
            except NotFound:
                pass  # removed meanwhile
            with self._lock:
                self._unsaved.pop(message_id, None)

    # Small things

    def _so_far(self, writing: _Writing) -> Message:
        return writing.message.model_copy(
            update={
                "text": writing.text[: writing.shown_text],
                "thought": writing.thought[: writing.shown_thought] or None,
            }
        )

    def _name_chat(self, chat_id: str, path: Iterable[Message]) -> None:
        if self._chats.chat(chat_id).title:
            return
        for message in path:
            words = title_of(message.text) if message.role == "user" else ""
            if words:
                self._chats.change(chat_id, title=words)
                return


def _sampling(values: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    table = settings()
    return {
        key: value
        for key, value in values.items()
        if key in table and table[key].stage is Stage.SAMPLE and value != table[key].default
    }


def _only_for_answers(values: Mapping[str, SettingValue], model: LoadedModel) -> None:
    for key in values:
        knob = find(key)
        if key == "experts" and model.switches_experts:
            continue
        if knob is not None and knob.stage is not Stage.SAMPLE:
            raise BadRequest(
                "{label} acts only when the model is loaded, so it cannot be given for one answer. Reload with it.",
                label=knob.label,
                remedies=("reload",),
            )
