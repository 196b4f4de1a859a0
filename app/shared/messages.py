"""What goes through the pipe between supervisor and worker: typed messages as JSON bytes, never pickle.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON. Requests carry an `id`; every request ends in
exactly one of `Done`, `Failed`. Between them come events of that id. `Log` and `Heartbeat` come at any time.
"""

from __future__ import annotations

import struct
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.shared.engine import (
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    TokenCounts,
    TokenEvent,
)
from app.shared.errors import ErrorInfo

LIMIT_BYTES = 256 * 1024 * 1024


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


# Supervisor → worker


class Load(_Message):
    type: Literal["load"] = "load"
    id: str
    plan: LoadPlan


class Eject(_Message):
    type: Literal["eject"] = "eject"
    id: str


class Generate(_Message):
    type: Literal["generate"] = "generate"
    id: str
    request: GenerateRequest


class Count(_Message):
    type: Literal["count"] = "count"
    id: str
    messages: tuple[ChatTurn, ...]
    tools: tuple[JsonObject, ...] = ()
    thinking: bool | None = None


class Cancel(_Message):
    """Stop the request `id` at the next safe point; it still ends in its one outcome."""

    type: Literal["cancel"] = "cancel"
    id: str


class Ping(_Message):
    type: Literal["ping"] = "ping"
    id: str


class Quit(_Message):
    type: Literal["quit"] = "quit"


Request = Annotated[Load | Eject | Generate | Count | Cancel | Ping | Quit, Field(discriminator="type")]


# Worker → supervisor


class Ready(_Message):
    """First message of a worker: which llama.cpp it is, and what it can use."""

    type: Literal["ready"] = "ready"
    pid: int
    engine: str
    devices: tuple[str, ...] = ()
    gpu_offload: bool = False


class Progress(_Message):
    """Load progress 0…1."""

    type: Literal["progress"] = "progress"
    id: str
    fraction: float


class Token(_Message):
    type: Literal["token"] = "token"
    id: str
    event: TokenEvent


class Done(_Message):
    """A request's good end; which field is set depends on the request (none for generate, eject, ping)."""

    type: Literal["done"] = "done"
    id: str
    model: LoadedModel | None = None
    counts: TokenCounts | None = None


class Failed(_Message):
    type: Literal["failed"] = "failed"
    id: str
    error: ErrorInfo


class Log(_Message):
    """A line of llama.cpp's own log, or the worker's."""

    type: Literal["log"] = "log"
    level: Literal["debug", "info", "warning", "error"]
    source: str  # "llama.cpp" or "worker"
    text: str


class Heartbeat(_Message):
    """The worker's control thread lives; `progressing` counts steps (ubatches, tokens, load callbacks) since its start."""

    type: Literal["heartbeat"] = "heartbeat"
    steps: int
    busy: str | None = None  # "load", "prefill", "decode" or None


Reply = Annotated[Ready | Progress | Token | Done | Failed | Log | Heartbeat, Field(discriminator="type")]

REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)


def write_frame(stream: BinaryIO, message: BaseModel) -> None:
    """Write one message and flush. The caller holds the lock of that stream."""
    body = message.model_dump_json(exclude_defaults=False).encode()
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one message's bytes; None at the end of the stream, also in the middle of a frame.

    Raises ValueError when the length is absurd, which means that something else wrote into the pipe.
    """
    head = _exactly(stream, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > LIMIT_BYTES:
        raise ValueError(f"a frame of {length} bytes is longer than the limit of {LIMIT_BYTES}")
    return _exactly(stream, length)


def _exactly(stream: BinaryIO, count: int) -> bytes | None:
    parts: list[bytes] = []
    missing = count
    while missing:
        part = stream.read(missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
