"""Everything `GET /events` can say. Each is one SSE message: `id:` the sequence number, `data:` this JSON.

The first event of a stream is always `state`. A client that fell behind by more than the hub's buffer gets a fresh
`state` and goes on. Answer text comes merged, at most 60 times a second.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.shared.chats import Chat, Folder, Message
from app.shared.engine import EngineState, Timings
from app.shared.errors import ErrorInfo
from app.shared.telemetry import Marker, TelemetrySample


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class State(_Event):
    """The snapshot a new listener starts from."""

    type: Literal["state"] = "state"
    version: str
    address: str  # http://127.0.0.1:PORT
    engine: EngineState
    preset: str | None = None
    answering: tuple[Message, ...] = ()  # answers being written now, with the text so far
    telemetry: TelemetrySample | None = None
    engine_version: str | None = None  # "llama.cpp b…, llama-cpp-python 0.3.36, CUDA"


class EngineChanged(_Event):
    type: Literal["engine"] = "engine"
    engine: EngineState


class AnswerText(_Event):
    """More of an answer being written."""

    type: Literal["answer"] = "answer"
    chat_id: str
    message_id: str
    text: str = ""
    thought: str = ""
    tokens: int = 0  # so far, thought included
    prefill_fraction: float | None = None  # while the prompt is being read
    decode_tokens_per_second: float | None = None
    context_used_tokens: int | None = None
    context_size_tokens: int | None = None
    timings: Timings | None = None


class MessageChanged(_Event):
    """A message was added, edited or finished. Replaces what the listener has."""

    type: Literal["message"] = "message"
    message: Message


class ChatChanged(_Event):
    type: Literal["chat"] = "chat"
    chat: Chat


class ChatRemoved(_Event):
    type: Literal["chat_removed"] = "chat_removed"
    chat_id: str
    undo: bool = True


class FoldersChanged(_Event):
    type: Literal["folders"] = "folders"
    folders: tuple[Folder, ...]


class PresetsChanged(_Event):
    """Presets on disk changed; fetch them again."""

    type: Literal["presets"] = "presets"


class ModelsChanged(_Event):
    """The library of known models changed; fetch it again."""

    type: Literal["models"] = "models"


class Telemetry(_Event):
    type: Literal["telemetry"] = "telemetry"
    sample: TelemetrySample


class MarkerAdded(_Event):
    type: Literal["marker"] = "marker"
    marker: Marker


class LogLine(_Event):
    type: Literal["log"] = "log"
    at: float
    level: Literal["debug", "info", "warning", "error"]
    source: str  # "llama.cpp", "worker", "service"
    text: str


class Problem(_Event):
    """An error that belongs to no request: the worker died while idle, the disk is full, a GPU vanished."""

    type: Literal["problem"] = "problem"
    error: ErrorInfo


Event = Annotated[
    State
    | EngineChanged
    | AnswerText
    | MessageChanged
    | ChatChanged
    | ChatRemoved
    | FoldersChanged
    | PresetsChanged
    | ModelsChanged
    | Telemetry
    | MarkerAdded
    | LogLine
    | Problem,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
