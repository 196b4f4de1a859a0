"""One selection over all messages of the conversation, as far as they are on screen or whole between its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.ui.pages.chat.prose.view import Place, ProseView

if TYPE_CHECKING:
    from app.ui.pages.chat.conversation.view import Entry


@dataclass(frozen=True, order=True)
class Anchor:
    """A text place of the whole conversation: message, which of its texts, place in it."""

    message: int
    part: int
    place: Place


class Selection:
    """From where the pointer went down to where it is. Applies itself to the texts that exist."""

    def __init__(self) -> None:
        self.first: Anchor | None = None
        self.second: Anchor | None = None

    @property
    def empty(self) -> bool:
        return self.first is None or self.second is None or self.first == self.second

    @property
    def ends(self) -> tuple[Anchor, Anchor] | None:
        """The two ends in reading order."""
        if self.first is None or self.second is None or self.first == self.second:
            return None
        return min(self.first, self.second), max(self.first, self.second)

    def clear(self) -> None:
        self.first = self.second = None

    def apply(self, index: int, texts: tuple[ProseView, ...]) -> None:
        """Mark the selected part of one message's texts."""
        ends = self.ends
        for part, text in enumerate(texts):
            if ends is None:
                text.select(None)
                continue
            begin, stop = ends
            here = (index, part)
            if here < (begin.message, begin.part) or here > (stop.message, stop.part):
                text.select(None)
                continue
            first = begin.place if here == (begin.message, begin.part) else text.start
            last = stop.place if here == (stop.message, stop.part) else text.end
            text.select(first, last)

    def text(self, entries: list[Entry]) -> str:
        """Return what is selected; messages between the ends that are not laid out give their whole text."""
        ends = self.ends
        if ends is None:
            return ""
        begin, stop = ends
        parts = []
        for index in range(begin.message, min(stop.message + 1, len(entries))):
            view = entries[index].view
            if view is None:
                parts.append(entries[index].message.text)
                continue
            parts.extend(chosen for text in view.prose if (chosen := text.selected_text()))
        return "\n\n".join(part for part in parts if part)
