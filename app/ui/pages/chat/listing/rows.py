"""What the list shows, in order: group headings, chats, hits of a search. No Qt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.ui.i18n import mark

if TYPE_CHECKING:
    from app.shared.chats import Chat, SearchHit

PINNED = mark("Pinned")
TODAY = mark("Today")
YESTERDAY = mark("Yesterday")
THIS_WEEK = mark("This week")
EARLIER = mark("Earlier")
TEMPORARY = mark("Temporary")
_ORDER = (TEMPORARY, PINNED, TODAY, YESTERDAY, THIS_WEEK, EARLIER)
_WEEK_DAYS = 7


@dataclass(frozen=True)
class Heading:
    """A group's name, still to be translated."""

    title: str


@dataclass(frozen=True)
class ChatRow:
    chat: Chat


@dataclass(frozen=True)
class HitRow:
    hit: SearchHit


Row = Heading | ChatRow | HitRow


def grouped(chats: Iterable[Chat], *, now: float, folder_id: str | None = None) -> list[Row]:
    """Return headings and chats: temporary and pinned first, then by the day of the last change, newest first.

    With `folder_id` only that folder's chats.
    """
    groups: dict[str, list[Chat]] = {title: [] for title in _ORDER}
    today = dt.datetime.fromtimestamp(now).date()
    for chat in sorted(chats, key=lambda chat: -chat.updated_at):
        if folder_id is None or chat.folder_id == folder_id:
            groups[_group_of(chat, today)].append(chat)
    rows: list[Row] = []
    for title, members in groups.items():
        if members:
            rows.append(Heading(title))
            rows.extend(ChatRow(chat) for chat in members)
    return rows


def hit_rows(hits: Sequence[SearchHit]) -> list[Row]:
    """Return a search's hits as rows."""
    return [HitRow(hit) for hit in hits]


def _group_of(chat: Chat, today: dt.date) -> str:
    if chat.temporary:
        return TEMPORARY
    if chat.pinned:
        return PINNED
    days = (today - dt.datetime.fromtimestamp(chat.updated_at).date()).days
    if days <= 0:
        return TODAY
    if days == 1:
        return YESTERDAY
    return THIS_WEEK if days < _WEEK_DAYS else EARLIER
