"""The chats of one database: rows to types, and the operations on a chat's tree of messages.

Everything here takes a connection and neither commits nor tells anyone: that is the store's part.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter

from app.shared.chats import AnswerFacts, Attachment, Chat, ChatView, Folder, Message
from app.shared.engine import ToolCall
from app.shared.errors import BadRequest, NotFound

_ATTACHMENTS = TypeAdapter(tuple[Attachment, ...])
_CALLS = TypeAdapter(tuple[ToolCall, ...])
_CHAT = """
SELECT chats.*, (SELECT count(*) FROM messages WHERE chat_id = chats.id AND removed_by IS NULL) AS message_count
FROM chats
"""


def new_id() -> str:
    return uuid.uuid4().hex


def chat_of(row: sqlite3.Row, *, temporary: bool) -> Chat:
    return Chat(
        id=row["id"],
        title=row["title"],
        folder_id=row["folder_id"],
        pinned=bool(row["pinned"]),
        temporary=temporary,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        model=row["model"],
        message_count=row["message_count"],
        draft=row["draft"],
    )


def find_chat(db: sqlite3.Connection, chat_id: str, *, temporary: bool, removed: bool = False) -> Chat:
    """Return the chat; raises `NotFound` for one that is not there, or is removed unless `removed`."""
    row = db.execute(_CHAT + "WHERE id = ?", (chat_id,)).fetchone()
    if row is None or (row["removed_at"] is not None and not removed):
        raise NotFound("There is no such chat: {id}. It may have been deleted in another window.", id=chat_id)
    return chat_of(row, temporary=temporary)


def all_chats(db: sqlite3.Connection, *, temporary: bool) -> list[Chat]:
    rows = db.execute(_CHAT + "WHERE removed_at IS NULL ORDER BY pinned DESC, updated_at DESC, rowid DESC")
    return [chat_of(row, temporary=temporary) for row in rows]


def all_folders(db: sqlite3.Connection) -> tuple[Folder, ...]:
    rows = db.execute("SELECT * FROM folders ORDER BY position, rowid")
    return tuple(Folder(id=row["id"], name=row["name"], position=row["position"]) for row in rows)


def message_row(db: sqlite3.Connection, message_id: str, *, removed: bool = False) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT messages.*, chats.removed_at AS chat_removed FROM messages JOIN chats ON chats.id = chat_id"
        " WHERE messages.id = ?",
        (message_id,),
    ).fetchone()
    if row is None or row["chat_removed"] is not None or (row["removed_by"] is not None and not removed):
        raise NotFound("There is no such message: {id}. It may have been deleted.", id=message_id)
    return row


def messages_of(db: sqlite3.Connection, ids: Sequence[str]) -> tuple[Message, ...]:
    """Return the messages in the order of `ids`, each with its siblings."""
    if not ids:
        return ()
    rows = {
        row["id"]: row
        for row in db.execute(
            "SELECT * FROM messages WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
        )
    }
    siblings: dict[str | None, list[str]] = {}
    chat_id = next(iter(rows.values()))["chat_id"]
    parents = json.dumps([row["parent_id"] for row in rows.values() if row["parent_id"] is not None])
    for child in db.execute(
        "SELECT id, parent_id FROM messages WHERE removed_by IS NULL AND chat_id = :chat AND"
        " (parent_id IS NULL OR parent_id IN (SELECT value FROM json_each(:parents))) ORDER BY seq",
        {"chat": chat_id, "parents": parents},
    ):
        siblings.setdefault(child["parent_id"], []).append(child["id"])
    return tuple(_message(rows[each], siblings.get(rows[each]["parent_id"], [])) for each in ids)


def _message(row: sqlite3.Row, siblings: Sequence[str]) -> Message:
    return Message(
        id=row["id"],
        chat_id=row["chat_id"],
        parent_id=row["parent_id"],
        role=row["role"],
        text=row["text"],
        thought=row["thought"],
        attachments=_ATTACHMENTS.validate_json(row["attachments"]),
        tool_calls=_CALLS.validate_json(row["tool_calls"]),
        tool_call_id=row["tool_call_id"],
        created_at=row["created_at"],
        edited_at=row["edited_at"],
        facts=None if row["facts"] is None else AnswerFacts.model_validate_json(row["facts"]),
        sibling_index=siblings.index(row["id"]) if row["id"] in siblings else 0,
        sibling_count=max(1, len(siblings)),
        sibling_ids=tuple(siblings),
        state=row["state"],
    )


def ancestors(db: sqlite3.Connection, message_id: str) -> list[str]:
    """Return the ids from the root to this message."""
    rows = db.execute(
        "WITH RECURSIVE up(id, parent_id, depth) AS ("
        " SELECT id, parent_id, 0 FROM messages WHERE id = ?"
        " UNION ALL SELECT m.id, m.parent_id, depth + 1 FROM messages m JOIN up ON m.id = up.parent_id)"
        " SELECT id FROM up ORDER BY depth DESC",
        (message_id,),
    )
    return [row["id"] for row in rows]


def shown_path(db: sqlite3.Connection, chat_id: str) -> list[str]:
    """Return the ids on the present path: at each step the chosen child, or the newest where that one is gone."""
    children: dict[str | None, list[str]] = {}
    chosen: dict[str | None, str | None] = {}
    for row in db.execute(
        "SELECT id, parent_id, chosen_id FROM messages WHERE chat_id = ? AND removed_by IS NULL ORDER BY seq",
        (chat_id,),
    ):
        children.setdefault(row["parent_id"], []).append(row["id"])
        chosen[row["id"]] = row["chosen_id"]
    first = db.execute("SELECT chosen_id FROM chats WHERE id = ?", (chat_id,)).fetchone()
    chosen[None] = None if first is None else first["chosen_id"]
    path: list[str] = []
    at: str | None = None
    while at in children:
        wanted = chosen.get(at)
        at = wanted if wanted in children[at] else children[at][-1]
        assert at is not None
        path.append(at)
    return path


def view_of(db: sqlite3.Connection, chat_id: str, *, temporary: bool) -> ChatView:
    chat = find_chat(db, chat_id, temporary=temporary)
    return ChatView(chat=chat, messages=messages_of(db, shown_path(db, chat_id)))


def put_on_path(db: sqlite3.Connection, message_id: str) -> None:
    """Let every ancestor choose the way to this message; below it the earlier choices stay."""
    way = ancestors(db, message_id)
    chat_id = db.execute("SELECT chat_id FROM messages WHERE id = ?", (message_id,)).fetchone()["chat_id"]
    db.execute("UPDATE chats SET chosen_id = ? WHERE id = ?", (way[0], chat_id))
    db.executemany(
        "UPDATE messages SET chosen_id = :child WHERE id = :parent AND chosen_id IS NOT :child",
        [{"child": child, "parent": parent} for parent, child in itertools.pairwise(way)],
    )


def insert_message(db: sqlite3.Connection, message: Message, *, chosen_id: str | None = None) -> None:
    """Write a new row; raises `BadRequest` if its parent is not of the same chat."""
    if message.parent_id is not None:
        parent = message_row(db, message.parent_id)
        if parent["chat_id"] != message.chat_id:
            raise BadRequest("The message to follow is of another chat.")
    found = db.execute(
        "INSERT INTO messages (id, chat_id, parent_id, role, text, thought, attachments, tool_calls, tool_call_id,"
        " created_at, edited_at, facts, state, chosen_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.id,
            message.chat_id,
            message.parent_id,
            message.role,
            message.text,
            message.thought,
            _ATTACHMENTS.dump_json(message.attachments).decode(),
            _CALLS.dump_json(message.tool_calls).decode(),
            message.tool_call_id,
            message.created_at,
            message.edited_at,
            None if message.facts is None else message.facts.model_dump_json(),
            message.state,
            chosen_id,
        ),
    )
    if message.state != "writing":
        seq = found.lastrowid
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (seq, searchable(message)))


def searchable(message: Message) -> str:
    """What the search looks into: the text and the attached files, not the thought."""
    return "\n".join((message.text, *(f"{file.name}\n{file.text}" for file in message.attachments)))


def index_again(db: sqlite3.Connection, message: Message) -> None:
    seq = db.execute("SELECT seq FROM messages WHERE id = ?", (message.id,)).fetchone()["seq"]
    db.execute("INSERT OR REPLACE INTO words (rowid, text) VALUES (?, ?)", (seq, searchable(message)))


def touch(db: sqlite3.Connection, chat_id: str) -> None:
    db.execute("UPDATE chats SET updated_at = ? WHERE id = ?", (time.time(), chat_id))


def subtree(db: sqlite3.Connection, message_id: str) -> list[str]:
    """Return the ids of a message and of everything below it that is not removed."""
    rows = db.execute(
        "WITH RECURSIVE down(id) AS (SELECT ? UNION ALL SELECT m.id FROM messages m JOIN down ON m.parent_id = down.id"
        " WHERE m.removed_by IS NULL) SELECT id FROM down",
        (message_id,),
    )
    return [row["id"] for row in rows]


def mark_removed(db: sqlite3.Connection, ids: Iterable[str], *, by: str, at: float) -> None:
    db.executemany(
        "UPDATE messages SET removed_by = ?, removed_at = ? WHERE id = ?", [(by, at, each) for each in ids]
    )


def purge(db: sqlite3.Connection, *, before: float) -> None:
    """Delete for good what was removed before this time."""
    gone = (
        "SELECT seq FROM messages WHERE removed_at < :before OR chat_id IN"
        " (SELECT id FROM chats WHERE removed_at < :before)"
    )
    db.execute(f"DELETE FROM words WHERE rowid IN ({gone})", {"before": before})
    db.execute("DELETE FROM messages WHERE removed_at < ?", (before,))
    db.execute("DELETE FROM chats WHERE removed_at < ?", (before,))
