"""Telling a model's thought from its answer while the text streams in, wherever it happens to be cut."""

from __future__ import annotations

from typing import NamedTuple

OPEN = "<think>"
CLOSE = "</think>"


class Split(NamedTuple):
    """What a piece of streamed text added to the answer and to the thought."""

    text: str = ""
    thought: str = ""


def held_back(text: str, marks: tuple[str, ...]) -> int:
    """Return how many characters at the end of `text` could be the beginning of one of `marks`."""
    longest = max((len(mark) for mark in marks), default=0) - 1
    for length in range(min(longest, len(text)), 0, -1):
        tail = text[-length:]
        if any(mark.startswith(tail) for mark in marks):
            return length
    return 0


class ThoughtSplitter:
    """Splits streamed text into thought and answer.

    A thought is what stands between `<think>` and `</think>` at the very beginning; later marks are ordinary
    text, because an answer may quote them. `inside` starts within the thought, for templates whose prompt
    already ends in `<think>`. Newlines next to the marks belong to neither part. What comes out does not
    depend on how the text was cut into pieces.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._state = "thought" if inside else "start"
        self._held = ""
        self._fresh = inside  # nothing but blanks seen since the opening mark
        self.had_thought = inside

    @property
    def thinking(self) -> bool:
        """Whether the text stands inside a thought now."""
        return self._state == "thought"

    @property
    def answering(self) -> bool:
        """Whether it is settled that the text now belongs to the answer."""
        return self._state in ("answer", "gap")

    def feed(self, piece: str) -> Split:
        """Take the next piece and return what is certain so far."""
        return self._advance(piece, last=False)

    def finish(self) -> Split:
        """Return what was held back; the text is over."""
        return self._advance("", last=True)

    def _advance(self, piece: str, *, last: bool) -> Split:
        if self._state == "answer":
            return Split(text=piece)
        self._held += piece
        thought = ""
        if self._state == "start":
            begin = self._held.lstrip()
            if begin.startswith(OPEN):
                self._state, self._held, self._fresh, self.had_thought = (
                    "thought",
                    begin[len(OPEN) :],
                    True,
                    True,
                )
            elif not last and OPEN.startswith(begin):
                return Split()
            else:
                self._state = "answer"
                text, self._held = self._held, ""
                return Split(text=text)
        if self._state == "thought":
            if self._fresh:
                self._held = self._held.lstrip()
                self._fresh = not self._held
            before, mark, after = self._held.partition(CLOSE)
            if mark:
                thought, self._held, self._state = before.rstrip(), after, "gap"
            elif last:
                thought, self._held = self._held.rstrip(), ""
                return Split(thought=thought)
            else:
                sure = before[: len(before) - held_back(before, (CLOSE,))].rstrip()
                self._held = before[len(sure) :]
                return Split(thought=sure)
        text = self._held.lstrip("\r\n")  # state "gap": the blank lines between thought and answer
        if text or last:
            self._held, self._state = "", "answer"
        else:
            self._held = ""
        return Split(text=text, thought=thought)
