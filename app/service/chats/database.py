"""The SQLite file under the chats: opening, schema, migration, and SQLite's errors as sentences.

WAL with `synchronous=NORMAL`: whatever was committed survives the death of this process at any moment. A power cut may take
the last commits, never the file.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.shared.errors import StorageFailed

SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE folders (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    position INTEGER NOT NULL
);
CREATE TABLE chats (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    folder_id TEXT REFERENCES folders(id) ON DELETE SET NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    draft TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    model TEXT,
    chosen_id TEXT,                       -- the first message on the path shown
    removed_at REAL
);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- age; also the row in `words`
    id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
    parent_id TEXT REFERENCES messages(id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    thought TEXT,
    attachments TEXT NOT NULL DEFAULT '[]',
    tool_calls TEXT NOT NULL DEFAULT '[]',
    tool_call_id TEXT,
    created_at REAL NOT NULL,
    edited_at REAL,
    facts TEXT,
    state TEXT NOT NULL,
    chosen_id TEXT,                       -- the child on the path shown
    removed_by TEXT,                      -- the message whose removal took this one along
    removed_at REAL
);
CREATE INDEX messages_of_chat ON messages(chat_id, removed_by);
CREATE INDEX messages_of_parent ON messages(parent_id);
CREATE INDEX messages_by_age ON messages(created_at) WHERE role = 'assistant';
CREATE VIRTUAL TABLE words USING fts5(text, tokenize = "unicode61 remove_diacritics 2", prefix = '2 3 4');
"""


class ChatDatabase:
    """One connection, used by any thread, one at a time. `path` None keeps everything in memory.

    A file that cannot be opened does not raise here: `problem` says why and every use raises it, so that the service starts
    and can say so. Only `set_aside` moves the file.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.problem: StorageFailed | None = None
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._open()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for a consistent look."""
        with self._lock, self._worded():
            connection = self._living()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction: all of it happens, or nothing."""
        with self._lock, self._worded():
            connection = self._living()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def set_aside(self) -> Path | None:
        """Move the file (with its journal) to a name with the time in it, open an empty one, return where the old one is."""
        if self.path is None:
            return None
        with self._lock:
            self.close()
            aside = self.path.with_name(f"{self.path.stem}.{time.strftime('%Y%m%d-%H%M%S')}.aside.db")
            try:
                for ending in ("", "-wal", "-shm"):
                    old = self.path.with_name(self.path.name + ending)
                    if old.exists():
                        old.replace(aside.with_name(aside.name + ending))
            except OSError as error:
                raise StorageFailed(
                    "{path} could not be set aside: {reason}. Close other programs that use it.",
                    path=str(self.path),
                    reason=error.strerror or str(error),
                ) from error
            self.problem = None
            self._open()
        return aside

    def close(self) -> None:
        """Close the file; what is committed is in it."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> None:
        try:
            with self._worded():
                connection = sqlite3.connect(
                    ":memory:" if self.path is None else self.path,
                    timeout=BUSY_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._connection = connection
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                self._migrate(connection)
        except StorageFailed as error:
            self.close()
            self.problem = error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StorageFailed(
                "{path} was written by a newer Pult (version {found} of the file, this one knows {known}). Start that one.",
                path=str(self.path),
                found=version,
                known=SCHEMA_VERSION,
                remedies=("log",),
            )
        if version == 0:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables:
                raise StorageFailed(
                    "{path} is a database of another program. Set it aside to let Pult keep its chats there.",
                    path=str(self.path),
                    remedies=("log",),
                )
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        # Later versions add their steps here, one `if version < n` each, inside one transaction.

    def _living(self) -> sqlite3.Connection:
        if self.problem is not None:
            raise self.problem
        if self._connection is None:
            raise StorageFailed("The chats are closed: the service is ending.", remedies=())
        return self._connection

    @contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._sentence(error) from error
        except OSError as error:
            raise StorageFailed(
                "The chats in {path} cannot be reached: {reason}.",
                path=str(self.path),
                reason=error.strerror or str(error),
            ) from error

    def _sentence(self, error: sqlite3.Error) -> StorageFailed:
        where, code = str(self.path or "memory"), getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        details = f"{type(error).__name__} {getattr(error, 'sqlite_errorname', '')}: {error}"
        if primary == sqlite3.SQLITE_FULL:
            return StorageFailed(
                "The disk is full: nothing more can be written to {path}. Free some space; what is on screen is kept.",
                path=where,
                details=details,
            )
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StorageFailed(
                "The chats in {path} are damaged ({reason}). Nothing was deleted: restore the file from a backup, or run "
                "pult chats set-aside to keep it under another name and begin with an empty one.",
                path=where,
                reason=str(error),
                remedies=("log",),
                details=details,
            )
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StorageFailed(
                "Another program has held {path} for {wait_seconds}. Close it and try again.",
                path=where,
                wait_seconds=BUSY_SECONDS,
                remedies=("log",),
                details=details,
            )
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StorageFailed(
                "{path} cannot be opened for writing ({reason}). Check the folder's permissions.",
                path=where,
                reason=str(error),
                remedies=("log",),
                details=details,
            )
        return StorageFailed(
            "The chats in {path} could not be read or written: {reason}.",
            path=where,
            reason=str(error),
            details=details,
        )
