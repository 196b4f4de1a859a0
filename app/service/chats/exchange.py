"""Chats as files to take along: JSON without loss, Markdown for reading that can be taken back.

Markdown carries each part behind an HTML comment, invisible where it is rendered; a file written by hand may use plain
headings `## User` and `## Assistant` instead.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from app.service.chats import tree
from app.shared.chats import Attachment, Chat, ChatView, Message
from app.shared.engine import ToolCall
from app.shared.errors import BadRequest

FORMAT, VERSION = "pult-chats", 1
LONGEST_IMPORT = 256 * 1024 * 1024
_ROLES = tuple(get_args(Message.model_fields["role"].annotation))
_PLACE = {"sibling_index", "sibling_count", "sibling_ids", "chat_id"}
_MARK = re.compile(r"^<!-- pult:(?P<what>[a-z_]+)(?: (?P<rest>\{.*\}))? -->$")
_ESCAPE = re.compile(r"^<!-- (?=\\*pult:)", re.MULTILINE)
_UNESCAPE = re.compile(r"^<!-- \\(?=\\*pult:)", re.MULTILINE)
_HEADING = re.compile(r"^##\s+(system|user|you|human|assistant|model|tool)\s*:?\s*$", re.IGNORECASE)
_SAME_ROLE = {"you": "user", "human": "user", "model": "assistant"}


class _FileMessage(Message):
    chat_id: str = ""
    chosen_id: str | None = None  # the child on the path shown


class _FileChat(BaseModel):
    chat: Chat
    chosen_id: str | None = None  # the first message on the path shown
    messages: tuple[_FileMessage, ...] = ()


class _File(BaseModel):
    format: str
    version: int
    chats: tuple[_FileChat, ...]


@dataclass
class ParsedChat:
    """A chat to be taken in. Messages come parents first; `chosen` maps a parent (None: the chat) to its child shown."""

    chat: Chat
    messages: list[Message]
    chosen: dict[str | None, str]


def to_json(db: sqlite3.Connection, chat: Chat) -> str:
    """Return one chat with all its branches."""
    rows = db.execute(
        "SELECT id, chosen_id FROM messages WHERE chat_id = ? AND removed_by IS NULL ORDER BY seq", (chat.id,)
    ).fetchall()
    chosen = {row["id"]: row["chosen_id"] for row in rows}
    messages: list[dict[str, Any]] = []
    for message in tree.messages_of(db, list(chosen)):
        told = message.model_dump(mode="json", exclude=_PLACE)
        messages.append(told | {"chosen_id": chosen[message.id] if chosen[message.id] in chosen else None})
    first = db.execute("SELECT chosen_id FROM chats WHERE id = ?", (chat.id,)).fetchone()["chosen_id"]
    heading = chat.model_dump(mode="json", exclude={"folder_id", "temporary", "message_count"})
    body = {"chat": heading, "chosen_id": first if first in chosen else None, "messages": messages}
    return json.dumps({"format": FORMAT, "version": VERSION, "chats": [body]}, ensure_ascii=False, indent=1)


def from_json(text: str) -> list[ParsedChat]:
    """Return the chats of an exported JSON text; raises `BadRequest`."""
    _check_size(text)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadRequest(
            "The file is not JSON: {reason}. Choose a file exported by Pult.", reason=str(error)
        ) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadRequest("The file is JSON but no export of chats. Choose a file exported by Pult.")
    if not isinstance(data.get("version"), int) or data["version"] > VERSION:
        raise BadRequest(
            "The file is of version {found}; this Pult reads up to {known}. Update Pult to import it.",
            found=str(data.get("version")),
            known=VERSION,
        )
    try:
        file = _File.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRequest(
            "The file does not fit at {place}: {reason}.",
            place=".".join(str(part) for part in first["loc"]),
            reason=str(first["msg"]).rstrip("."),
        ) from None
    return [_parsed(each) for each in file.chats]


def _parsed(file: _FileChat) -> ParsedChat:
    seen: set[str] = set()
    chosen: dict[str | None, str] = {}
    for message in file.messages:
        if message.id in seen:
            raise BadRequest("The file has two messages with the id {id}.", id=message.id)
        if message.parent_id is not None and message.parent_id not in seen:
            raise BadRequest(
                "Message {id} follows a message that does not stand before it in the file.", id=message.id
            )
        seen.add(message.id)
    children = {message.id: message.parent_id for message in file.messages}
    for parent, child in [(None, file.chosen_id), *((each.id, each.chosen_id) for each in file.messages)]:
        if child is not None and child in children and children[child] == parent:
            chosen[parent] = child
    return ParsedChat(file.chat, list(file.messages), chosen)


def insert(db: sqlite3.Connection, parsed: ParsedChat) -> str:
    """Write a parsed chat under new ids and return its own."""
    chat, chat_id = parsed.chat, tree.new_id()
    ids = {message.id: tree.new_id() for message in parsed.messages}
    first = parsed.chosen.get(None)
    db.execute(
        "INSERT INTO chats (id, title, pinned, draft, created_at, updated_at, model, chosen_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            chat_id,
            chat.title[:200],
            int(chat.pinned),
            chat.draft,
            chat.created_at,
            chat.updated_at,
            chat.model,
            None if first is None else ids[first],
        ),
    )
    for message in parsed.messages:
        child = parsed.chosen.get(message.id)
        moved = {
            "id": ids[message.id],
            "chat_id": chat_id,
            "parent_id": None if message.parent_id is None else ids[message.parent_id],
            "state": "cut_off" if message.state == "writing" else message.state,
        }
        tree.insert_message(
            db, message.model_copy(update=moved), chosen_id=None if child is None else ids[child]
        )
    return chat_id


def to_markdown(view: ChatView) -> str:
    """Return the path shown, readable anywhere; the other branches are not in it."""
    parts = [f"# {view.chat.title}\n"]
    for message in view.messages:
        at = datetime.fromtimestamp(message.created_at, UTC).isoformat(timespec="seconds")
        told: dict[str, str] = {"at": at}
        if message.facts is not None and message.facts.model is not None:
            told["model"] = message.facts.model
        if message.tool_call_id is not None:
            told["tool_call_id"] = message.tool_call_id
        parts.append(_part(message.role, told, f"## {message.role.capitalize()}", message.text))
        if message.thought is not None:
            parts.append(_part("thought", None, "### Thought", message.thought))
        for file in message.attachments:
            parts.append(_part("attachment", {"name": file.name}, "### Attachment", file.text))
        for call in message.tool_calls:
            parts.append(
                _part("tool_call", {"id": call.id, "name": call.name}, "### Tool call", call.arguments)
            )
    return "\n".join(parts)


def _part(what: str, told: dict[str, str] | None, heading: str, text: str) -> str:
    rest = "" if told is None else " " + json.dumps(told, ensure_ascii=False).replace("-->", "--\\u003e")
    return f"<!-- pult:{what}{rest} -->\n{heading}\n\n{_ESCAPE.sub(_slash, text)}\n"


def _slash(_: re.Match[str]) -> str:
    return "<!-- \\"


def from_markdown(text: str) -> list[ParsedChat]:
    """Return the one chat of a Markdown text; raises `BadRequest` when it has no messages in it."""
    _check_size(text)
    lines = text.replace("\r\n", "\n").split("\n")
    marked = any(_MARK.match(line) for line in lines)
    title, parts = "", _marked_parts(lines) if marked else _headed_parts(lines)
    for line in lines:
        if line.startswith("# "):
            title = line[2:].strip()
            break
        if _MARK.match(line) or _HEADING.match(line):
            break
    now = time.time()
    messages: list[Message] = []
    for what, told, body in parts:
        if what in _ROLES:
            messages.append(_message(what, told, body, after=messages[-1].id if messages else None, now=now))
        elif messages:
            messages[-1] = _with_part(messages[-1], what, told, body)
    if not messages:
        raise BadRequest(
            "There are no messages in the file. Each begins with a heading ## User or ## Assistant."
        )
    chat = Chat(id="", title=title, created_at=messages[0].created_at, updated_at=messages[-1].created_at)
    return [ParsedChat(chat, messages, {})]


def _message(role: str, told: dict[str, str], text: str, *, after: str | None, now: float) -> Message:
    try:
        at = datetime.fromisoformat(told["at"]).timestamp()
    except (KeyError, ValueError):
        at = now
    return Message(
        id=tree.new_id(),
        chat_id="",
        parent_id=after,
        role=cast(Any, role),  # one of _ROLES, which are the literal's own
        text=text,
        tool_call_id=told.get("tool_call_id"),
        created_at=at,
    )


def _with_part(message: Message, what: str, told: dict[str, str], body: str) -> Message:
    match what:
        case "thought":
            return message.model_copy(update={"thought": body})
        case "attachment":
            file = Attachment(name=told.get("name", "file"), text=body)
            return message.model_copy(update={"attachments": (*message.attachments, file)})
        case "tool_call":
            call = ToolCall(id=told.get("id", ""), name=told.get("name", ""), arguments=body)
            return message.model_copy(update={"tool_calls": (*message.tool_calls, call)})
        case _:
            return message  # a part of a newer version: its text is in the file still


def _marked_parts(lines: list[str]) -> list[tuple[str, dict[str, str], str]]:
    starts = [(number, found) for number, line in enumerate(lines) if (found := _MARK.match(line))]
    parts = []
    for place, (number, found) in enumerate(starts):
        end = starts[place + 1][0] if place + 1 < len(starts) else len(lines)
        body = lines[number + 1 : end]
        if body and body[0].startswith("#"):
            body = body[1:]  # the visible heading
        if body and not body[0]:
            body = body[1:]
        if len(body) > 1 and not body[-1]:
            body = body[:-1]  # the line that parts it from the next
        try:
            told = json.loads(found["rest"]) if found["rest"] else {}
        except ValueError:
            told = {}
        words = {key: value for key, value in told.items() if isinstance(value, str)}
        parts.append((found["what"], words, _UNESCAPE.sub("<!-- ", "\n".join(body))))
    return parts


def _headed_parts(lines: list[str]) -> list[tuple[str, dict[str, str], str]]:
    parts: list[tuple[str, list[str]]] = []
    for line in lines:
        found = _HEADING.match(line)
        if found:
            role = found[1].lower()
            parts.append((_SAME_ROLE.get(role, role), []))
        elif parts:
            parts[-1][1].append(line)
    return [(role, {}, "\n".join(body).strip("\n")) for role, body in parts]


def _check_size(text: str) -> None:
    if len(text) > LONGEST_IMPORT:
        raise BadRequest(
            "The file is larger than {size_bytes}. Import chats one by one.", size_bytes=LONGEST_IMPORT
        )
