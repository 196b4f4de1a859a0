"""Chats as the store keeps them and HTTP shows them.

A chat is a tree of messages: editing or regenerating makes a sibling, and each parent remembers which child is on the
path shown. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.shared.engine import SettingValue, Timings, ToolCall


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Folder(_Frozen):
    id: str
    name: str
    position: int = 0


class Chat(_Frozen):
    """One conversation's heading."""

    id: str
    title: str
    folder_id: str | None = None
    pinned: bool = False
    temporary: bool = False  # kept in memory only; gone when the service ends
    created_at: float
    updated_at: float
    model: str | None = None  # the model of the last answer
    message_count: int = 0
    draft: str = ""  # what was typed and not sent: survives a crash


class Attachment(_Frozen):
    """A text file that was dropped or a long paste; its text goes into the prompt."""

    name: str
    text: str


class AnswerFacts(_Frozen):
    """How an answer came about: shown in the line under it."""

    model: str | None = None
    preset: str | None = None
    values: dict[str, SettingValue] = {}  # sampling that differed from the defaults
    experts_used: int | None = None
    seed: int | None = None
    timings: Timings = Timings()
    finish_reason: str | None = None  # None while it is being written, or if it was cut off by a crash
    error: str | None = None  # the sentence, if it failed
    energy_joules: float | None = None  # GPU energy while answering, from telemetry
    peak_vram_bytes: int | None = None


class Message(_Frozen):
    """One message and its place in the tree."""

    id: str
    chat_id: str
    parent_id: str | None = None
    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    thought: str | None = None
    attachments: tuple[Attachment, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    created_at: float
    edited_at: float | None = None
    facts: AnswerFacts | None = None  # assistants only
    sibling_index: int = 0  # among the parent's children, oldest first
    sibling_count: int = 1
    sibling_ids: tuple[
        str, ...
    ] = ()  # all the parent's children, oldest first, this one included; what ‹ › step through
    state: Literal["writing", "done", "stopped", "failed", "cut_off"] = (
        "done"  # cut_off: the service died while writing
    )


class ChatView(_Frozen):
    """A chat with the messages on its present path, root first."""

    chat: Chat
    messages: tuple[Message, ...] = ()


class SearchHit(_Frozen):
    """A full-text hit; `snippet` marks the words found with U+E000 … U+E001."""

    chat: Chat
    message_id: str | None
    snippet: str
