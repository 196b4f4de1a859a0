"""The store of chats: every change is one transaction on disk, then an event to whoever listens.

Temporary chats live in a second database in memory, so that the same operations serve them and nothing of them ever
reaches the disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from app.service.chats import exchange, tree
from app.service.chats.database import ChatDatabase
from app.service.chats.search import search_in
from app.shared.chats import AnswerFacts, Attachment, Chat, ChatView, Folder, Message, SearchHit
from app.shared.engine import ToolCall
from app.shared.errors import BadRequest, BadValue, NotFound, StorageFailed
from app.shared.events import ChatChanged, ChatRemoved, Event, FoldersChanged, MessageChanged

Role = Literal["system", "user", "assistant", "tool"]
MessageState = Literal["writing", "done", "stopped", "failed", "cut_off"]
EndState = Literal["done", "stopped", "failed"]

PURGE_AFTER_SECONDS = 7 * 24 * 3600.0  # what was deleted can be taken back at least this long
LONGEST_TITLE = 200


class _Unchanged:
    """Stands for "leave it", where None means "none"."""


UNCHANGED: Final = _Unchanged()


class ChatStore:
    """Chats, folders and messages. Safe from any thread; raises `NotFound`, `BadRequest` and `StorageFailed`."""

    def __init__(self, path: Path, *, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._disk = ChatDatabase(path)
        self._memory = ChatDatabase(None)
        if self._disk.problem is None:
            try:
                with self._disk.writing() as db:
                    tree.purge(db, before=time.time() - PURGE_AFTER_SECONDS)
            except StorageFailed:
                pass  # tidying up can wait for a disk with room; every real write says what is wrong

    @property
    def problem(self) -> StorageFailed | None:
        """Why the file on disk cannot be used at all; None when it can."""
        return self._disk.problem

    def set_aside(self) -> Path | None:
        """With the person's consent: keep the file under another name, begin with an empty one, return the old one's place."""
        return self._disk.set_aside()

    def close(self) -> None:
        """Close the file; temporary chats are gone."""
        self._disk.close()
        self._memory.close()

    # Folders

    def folders(self) -> tuple[Folder, ...]:
        """Return the folders in their order."""
        with self._disk.reading() as db:
            return tree.all_folders(db)

    def create_folder(self, name: str) -> Folder:
        """Make a folder after the others."""
        folder_id = tree.new_id()
        with self._disk.writing() as db:
            db.execute(
                "INSERT INTO folders SELECT ?, ?, coalesce(max(position) + 1, 0) FROM folders",
                (folder_id, _title(name, "folder")),
            )
            folders = tree.all_folders(db)
        self._publish(FoldersChanged(folders=folders))
        return next(folder for folder in folders if folder.id == folder_id)

    def change_folder(
        self, folder_id: str, *, name: str | None = None, position: int | None = None
    ) -> Folder:
        """Rename a folder or move it to a place in the order, from 0."""
        with self._disk.writing() as db:
            order = [folder.id for folder in tree.all_folders(db)]
            if folder_id not in order:
                raise _no_folder(folder_id)
            if name is not None:
                db.execute("UPDATE folders SET name = ? WHERE id = ?", (_title(name, "folder"), folder_id))
            if position is not None:
                order.remove(folder_id)
                order.insert(max(0, min(position, len(order))), folder_id)
                db.executemany("UPDATE folders SET position = ? WHERE id = ?", list(enumerate(order)))
            folders = tree.all_folders(db)
        self._publish(FoldersChanged(folders=folders))
        return next(folder for folder in folders if folder.id == folder_id)

    def remove_folder(self, folder_id: str) -> None:
        """Delete a folder; its chats stay, outside any folder."""
        with self._disk.writing() as db:
            moved = [
                row["id"] for row in db.execute("SELECT id FROM chats WHERE folder_id = ?", (folder_id,))
            ]
            if not db.execute("DELETE FROM folders WHERE id = ?", (folder_id,)).rowcount:
                raise _no_folder(folder_id)
            folders = tree.all_folders(db)
            chats = [chat for chat in tree.all_chats(db, temporary=False) if chat.id in moved]
        self._publish(FoldersChanged(folders=folders))
        self._tell_chats(chats)

    # Chats

    def chats(self) -> tuple[Chat, ...]:
        """Return all chats, pinned first, newest first."""
        with self._disk.reading() as db:
            kept = tree.all_chats(db, temporary=False)
        with self._memory.reading() as db:
            fleeting = tree.all_chats(db, temporary=True)
        return tuple(sorted((*kept, *fleeting), key=lambda chat: (not chat.pinned, -chat.updated_at)))

    def chat(self, chat_id: str) -> Chat:
        """Return one chat's heading."""
        base = self._base_of_chat(chat_id)
        with base.reading() as db:
            return tree.find_chat(db, chat_id, temporary=self._temporary(base))

    def view(self, chat_id: str) -> ChatView:
        """Return a chat with the messages on its present path."""
        base = self._base_of_chat(chat_id)
        with base.reading() as db:
            return tree.view_of(db, chat_id, temporary=self._temporary(base))

    def create(self, *, title: str = "", folder_id: str | None = None, temporary: bool = False) -> Chat:
        """Begin a chat; a temporary one stays in memory and in no folder."""
        base, chat_id, now = self._memory if temporary else self._disk, tree.new_id(), time.time()
        with base.writing() as db:
            if folder_id is not None and not temporary:
                _must_have_folder(db, folder_id)
            db.execute(
                "INSERT INTO chats (id, title, folder_id, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
                (chat_id, _title(title, "chat", empty=True), None if temporary else folder_id, now, now),
            )
            chat = tree.find_chat(db, chat_id, temporary=temporary)
        self._tell_chats((chat,))
        return chat

    def change(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        folder_id: str | _Unchanged | None = UNCHANGED,
        pinned: bool | None = None,
        draft: str | None = None,
    ) -> Chat:
        """Change a chat's heading; its place in the list by age stays."""
        base = self._base_of_chat(chat_id)
        with base.writing() as db:
            tree.find_chat(db, chat_id, temporary=False)
            if title is not None:
                db.execute(
                    "UPDATE chats SET title = ? WHERE id = ?", (_title(title, "chat", empty=True), chat_id)
                )
            if not isinstance(folder_id, _Unchanged) and base is self._disk:
                if folder_id is not None:
                    _must_have_folder(db, folder_id)
                db.execute("UPDATE chats SET folder_id = ? WHERE id = ?", (folder_id, chat_id))
            if pinned is not None:
                db.execute("UPDATE chats SET pinned = ? WHERE id = ?", (int(pinned), chat_id))
            if draft is not None:
                db.execute("UPDATE chats SET draft = ? WHERE id = ?", (draft, chat_id))
            chat = tree.find_chat(db, chat_id, temporary=self._temporary(base))
        self._tell_chats((chat,))
        return chat

    def remove(self, chat_id: str) -> None:
        """Delete a chat; `restore` takes it back within a week, a temporary one until the service ends."""
        base = self._base_of_chat(chat_id)
        with base.writing() as db:
            tree.find_chat(db, chat_id, temporary=False)
            db.execute("UPDATE chats SET removed_at = ? WHERE id = ?", (time.time(), chat_id))
        self._publish(ChatRemoved(chat_id=chat_id))

    def restore(self, chat_id: str) -> Chat:
        """Take a deleted chat back."""
        base = self._base_of_chat(chat_id)
        with base.writing() as db:
            tree.find_chat(db, chat_id, temporary=False, removed=True)
            db.execute("UPDATE chats SET removed_at = NULL WHERE id = ?", (chat_id,))
            chat = tree.find_chat(db, chat_id, temporary=self._temporary(base))
        self._tell_chats((chat,))
        return chat

    # Messages

    def message(self, message_id: str) -> Message:
        """Return one message."""
        with self._base_of_message(message_id).reading() as db:
            return self._one(db, message_id)

    def path_to(self, message_id: str) -> tuple[Message, ...]:
        """Return the messages from the root to this one."""
        with self._base_of_message(message_id).reading() as db:
            tree.message_row(db, message_id)
            return tree.messages_of(db, tree.ancestors(db, message_id))

    def add(
        self,
        chat_id: str,
        *,
        role: Role,
        text: str,
        parent_id: str | None,
        attachments: Sequence[Attachment] = (),
        thought: str | None = None,
        tool_calls: Sequence[ToolCall] = (),
        tool_call_id: str | None = None,
        facts: AnswerFacts | None = None,
        state: MessageState = "done",
    ) -> Message:
        """Add a message below `parent_id` (None: a first message) and put it on the path shown."""
        base = self._base_of_chat(chat_id)
        message = Message(
            id=tree.new_id(),
            chat_id=chat_id,
            parent_id=parent_id,
            role=role,
            text=text,
            thought=thought,
            attachments=tuple(attachments),
            tool_calls=tuple(tool_calls),
            tool_call_id=tool_call_id,
            created_at=time.time(),
            facts=facts,
            state=state,
        )
        with base.writing() as db:
            tree.find_chat(db, chat_id, temporary=False)
            tree.insert_message(db, message)
            tree.put_on_path(db, message.id)
            tree.touch(db, chat_id)
            added, chat = self._one(db, message.id), self._chat(db, base, chat_id)
        self._tell(added, chat)
        return added

    def reopen(self, message_id: str) -> Message:
        """Take an ended answer up again: it is being written from now on, and cut off if the service dies."""
        base = self._base_of_message(message_id)
        with base.writing() as db:
            chat_id = str(tree.message_row(db, message_id)["chat_id"])
            db.execute("UPDATE messages SET state = 'writing' WHERE id = ?", (message_id,))
            message, chat = self._one(db, message_id), self._chat(db, base, chat_id)
        self._tell(message, chat)
        return message

    def write(self, message_id: str, *, text: str, thought: str | None) -> None:
        """Save an answer's progress; nobody is told, because the text itself is streamed."""
        with self._base_of_message(message_id).writing() as db:
            tree.message_row(db, message_id)
            db.execute("UPDATE messages SET text = ?, thought = ? WHERE id = ?", (text, thought, message_id))

    def finish(
        self,
        message_id: str,
        *,
        text: str,
        thought: str | None,
        state: EndState,
        facts: AnswerFacts | None,
        tool_calls: Sequence[ToolCall] = (),
    ) -> Message:
        """Save an answer's last words and how it came about."""
        base = self._base_of_message(message_id)
        calls = f"[{','.join(call.model_dump_json() for call in tool_calls)}]"
        with base.writing() as db:
            chat_id = str(tree.message_row(db, message_id)["chat_id"])
            db.execute(
                "UPDATE messages SET text = ?, thought = ?, state = ?, facts = ?, tool_calls = ? WHERE id = ?",
                (text, thought, state, None if facts is None else facts.model_dump_json(), calls, message_id),
            )
            if facts is not None and facts.model is not None:
                db.execute("UPDATE chats SET model = ? WHERE id = ?", (facts.model, chat_id))
            tree.touch(db, chat_id)
            message, chat = self._one(db, message_id), self._chat(db, base, chat_id)
            tree.index_again(db, message)
        self._tell(message, chat)
        return message

    def rewrite(self, message_id: str, text: str) -> Message:
        """Change a message's text in its place."""
        base = self._base_of_message(message_id)
        with base.writing() as db:
            row = tree.message_row(db, message_id)
            if row["state"] == "writing":
                raise BadRequest("This answer is still being written. Stop it before changing it.")
            db.execute(
                "UPDATE messages SET text = ?, edited_at = ? WHERE id = ?", (text, time.time(), message_id)
            )
            tree.touch(db, row["chat_id"])
            message, chat = self._one(db, message_id), self._chat(db, base, row["chat_id"])
            tree.index_again(db, message)
        self._tell(message, chat)
        return message

    def choose(self, message_id: str) -> ChatView:
        """Put this sibling, and what was last shown below it, on the path."""
        base = self._base_of_message(message_id)
        with base.writing() as db:
            chat_id = str(tree.message_row(db, message_id)["chat_id"])
            tree.put_on_path(db, message_id)
            view = tree.view_of(db, chat_id, temporary=self._temporary(base))
        self._tell_chats((view.chat,))
        return view

    def remove_message(self, message_id: str) -> ChatView:
        """Delete a message and what follows it; `restore_message` takes exactly these back."""
        base = self._base_of_message(message_id)
        with base.writing() as db:
            chat_id = str(tree.message_row(db, message_id)["chat_id"])
            tree.mark_removed(db, tree.subtree(db, message_id), by=message_id, at=time.time())
            tree.touch(db, chat_id)
            view = tree.view_of(db, chat_id, temporary=self._temporary(base))
        self._tell_chats((view.chat,))
        return view

    def restore_message(self, message_id: str) -> ChatView:
        """Take a deleted message and what went with it back, onto the path."""
        base = self._base_of_message(message_id)
        with base.writing() as db:
            row = tree.message_row(db, message_id, removed=True)
            if row["parent_id"] is not None:
                tree.message_row(db, row["parent_id"])  # else it would come back without its beginning
            db.execute(
                "UPDATE messages SET removed_by = NULL, removed_at = NULL WHERE removed_by = ?", (message_id,)
            )
            tree.put_on_path(db, message_id)
            view = tree.view_of(db, row["chat_id"], temporary=self._temporary(base))
        self._tell_chats((view.chat,))
        return view

    # Looking and taking along

    def search(self, query: str, *, limit: int = 50) -> tuple[SearchHit, ...]:
        """Return chats and messages in which every word of the query begins a word, best first; temporary chats too."""
        with self._disk.reading() as db:
            kept = search_in(db, query, limit=limit, temporary=False)
        with self._memory.reading() as db:
            fleeting = search_in(db, query, limit=limit, temporary=True)
        return (*kept, *fleeting)[:limit]

    def answers(self, *, since: float | None = None, limit: int = 500) -> tuple[Message, ...]:
        """Return the latest finished answers with how they came about, oldest first."""
        with self._disk.reading() as db:
            rows = db.execute(
                "SELECT messages.id FROM messages JOIN chats ON chats.id = chat_id WHERE role = 'assistant'"
                " AND facts IS NOT NULL AND state IN ('done', 'stopped', 'failed') AND removed_by IS NULL"
                " AND chats.removed_at IS NULL AND messages.created_at >= ?"
                " ORDER BY messages.created_at DESC LIMIT ?",
                (since or 0.0, limit),
            ).fetchall()
            return tuple(self._one(db, row["id"]) for row in reversed(rows))

    def export_json(self, chat_id: str) -> str:
        """Return the whole chat, all branches, as JSON that `import_chat` takes back without loss."""
        base = self._base_of_chat(chat_id)
        with base.reading() as db:
            return exchange.to_json(db, tree.find_chat(db, chat_id, temporary=self._temporary(base)))

    def export_markdown(self, chat_id: str) -> str:
        """Return the path shown as Markdown."""
        return exchange.to_markdown(self.view(chat_id))

    def import_chat(self, text: str, *, format: Literal["json", "markdown"]) -> tuple[Chat, ...]:
        """Take in exported chats under new ids; raises `BadRequest` with what is wrong, and then nothing was taken in."""
        parsed = exchange.from_json(text) if format == "json" else exchange.from_markdown(text)
        with self._disk.writing() as db:
            ids = [exchange.insert(db, each) for each in parsed]
            chats = tuple(tree.find_chat(db, each, temporary=False) for each in ids)
        self._tell_chats(chats)
        return chats

    def mark_cut_off(self) -> int:
        """At start: mark answers that a dead service was writing, with the text saved so far; return how many."""
        if self._disk.problem is not None:
            return 0  # said by every use of the chats
        with self._disk.writing() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM messages WHERE state = 'writing'")]
            for message_id in ids:
                db.execute("UPDATE messages SET state = 'cut_off' WHERE id = ?", (message_id,))
                tree.index_again(db, self._one(db, message_id))
        return len(ids)

    # Which database, and telling

    def _temporary(self, base: ChatDatabase) -> bool:
        return base is self._memory

    def _base_of_chat(self, chat_id: str) -> ChatDatabase:
        with self._memory.reading() as db:
            found = db.execute("SELECT 1 FROM chats WHERE id = ?", (chat_id,)).fetchone()
        return self._memory if found else self._disk

    def _base_of_message(self, message_id: str) -> ChatDatabase:
        with self._memory.reading() as db:
            found = db.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone()
        return self._memory if found else self._disk

    def _one(self, db: sqlite3.Connection, message_id: str) -> Message:
        tree.message_row(db, message_id)
        return tree.messages_of(db, (message_id,))[0]

    def _chat(self, db: sqlite3.Connection, base: ChatDatabase, chat_id: str) -> Chat:
        return tree.find_chat(db, chat_id, temporary=self._temporary(base))

    def _tell(self, message: Message, chat: Chat) -> None:
        self._publish(MessageChanged(message=message))
        self._publish(ChatChanged(chat=chat))

    def _tell_chats(self, chats: Iterable[Chat]) -> None:
        for chat in chats:
            self._publish(ChatChanged(chat=chat))


def _title(title: str, what: str, *, empty: bool = False) -> str:
    tidy = " ".join(title.split())[:LONGEST_TITLE]
    if not tidy and not empty:
        raise BadValue("The {what}'s name is empty. Give it a name.", key="name", what=what)
    return tidy


def _no_folder(folder_id: str) -> NotFound:
    return NotFound(
        "There is no such folder: {id}. It may have been deleted in another window.", id=folder_id
    )


def _must_have_folder(db: sqlite3.Connection, folder_id: str) -> None:
    if db.execute("SELECT 1 FROM folders WHERE id = ?", (folder_id,)).fetchone() is None:
        raise _no_folder(folder_id)
