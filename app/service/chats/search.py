"""Full-text search over chats: each word of the query is taken as the beginning of a word, in any script."""

from __future__ import annotations

import re
import sqlite3

from app.service.chats import tree
from app.shared.chats import SearchHit

MARK_BEGIN, MARK_END = "\ue000", "\ue001"
_WORD = re.compile(r"\w+")
_AROUND_WORDS = 16


def search_in(db: sqlite3.Connection, query: str, *, limit: int, temporary: bool) -> list[SearchHit]:
    """Return hits in titles first, then in messages by rank; an empty query finds nothing."""
    words = _WORD.findall(query)
    if not words or limit <= 0:
        return []
    chats = {chat.id: chat for chat in tree.all_chats(db, temporary=temporary)}
    hits = [
        SearchHit(chat=chat, message_id=None, snippet=marked)
        for chat in chats.values()
        if (marked := _marked_title(chat.title, words)) is not None
    ]
    rows = db.execute(
        "SELECT m.id, m.chat_id, snippet(words, 0, ?, ?, '…', ?) AS snippet FROM words"
        " JOIN messages m ON m.seq = words.rowid JOIN chats c ON c.id = m.chat_id"
        " WHERE words MATCH ? AND m.removed_by IS NULL AND c.removed_at IS NULL ORDER BY rank, m.seq DESC LIMIT ?",
        (MARK_BEGIN, MARK_END, _AROUND_WORDS, " ".join(f'"{word}"*' for word in words), limit),
    )
    hits += [
        SearchHit(chat=chats[row["chat_id"]], message_id=row["id"], snippet=row["snippet"]) for row in rows
    ]
    return hits[:limit]


def _marked_title(title: str, words: list[str]) -> str | None:
    """Return the title with what was found marked, or None if a word of the query begins no word of it."""
    begins = [word.casefold() for word in words]
    found: set[str] = set()

    def mark(match: re.Match[str]) -> str:
        word = match[0]
        fitting = [begin for begin in begins if word.casefold().startswith(begin)]
        found.update(fitting)
        return f"{MARK_BEGIN}{word}{MARK_END}" if fitting else word

    marked = _WORD.sub(mark, title)
    return marked if found == set(begins) else None
