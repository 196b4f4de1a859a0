"""Parses an answer while it is being written: each step parses only the last top-level block again.

A Markdown block can still change while it is the last one (a line of `===` makes a heading of it, a further row a
table), but not after the next block has begun. Reference links are the exception, so `finish` parses everything once
more if the answer defines any.
"""

from __future__ import annotations

import re

from app.ui.pages.chat.markdown.blocks import Block, Code
from app.ui.pages.chat.markdown.parse import parse

_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*\S", re.MULTILINE)


class MarkdownStream:
    """The blocks of a growing text. After each step blocks before `changed_from` are the same objects as before."""

    def __init__(self) -> None:
        self.source = ""
        self.blocks: tuple[Block, ...] = ()
        self.changed_from = 0
        self._tail_start = 0  # offset in `source` from which the next step parses
        self._tail_line = 0
        self._tail_block = 0

    def set(self, source: str) -> None:
        """Take a text that may differ anywhere; a text that only grew costs as little as `append`."""
        if self.source and source.startswith(self.source):
            self.append(source[len(self.source) :])
            return
        self.source = source
        self._tail_start = self._tail_line = self._tail_block = 0
        self.blocks = ()
        self._parse_tail()

    def append(self, text: str) -> None:
        """Take more text at the end."""
        if not text:
            self.changed_from = len(self.blocks)
            return
        self.source += text
        last = self.blocks[-1] if self.blocks else None
        if isinstance(last, Code) and not last.closed and last.indent == 0 and last.quote == 0:
            code = self._grown_code(last, text)
            if code is not None:
                self.changed_from = len(self.blocks) - 1
                self.blocks = (*self.blocks[:-1], code)
                return
        self._parse_tail()

    def finish(self) -> None:
        """The text is complete."""
        if _REFERENCE.search(self.source):
            self._tail_start = self._tail_line = self._tail_block = 0
            self._parse_tail()

    def _grown_code(self, code: Code, text: str) -> Code | None:
        """Lines inside an open fence need no parser until a line could close it."""
        line_start = self.source.rfind("\n", 0, len(self.source) - len(text)) + 1
        fence = self.source[self._tail_start :].lstrip()[:1]
        if fence not in ("`", "~") or fence in self.source[line_start:] or line_start <= self._tail_start:
            return None
        body_start = self.source.find("\n", self._tail_start) + 1
        if self.source[self._tail_start : body_start][:1] != fence:
            return None  # an indented fence has its indent taken off: the parser's work
        body = self.source[body_start:]
        lines = self.source.count("\n", len(self.source) - len(text))
        return Code(
            text=body.removesuffix("\n"),
            language=code.language,
            closed=False,
            first_line=code.first_line,
            end_line=code.end_line + lines,
        )

    def _parse_tail(self) -> None:
        tail = parse(self.source[self._tail_start :], first_line=self._tail_line)
        self.changed_from = self._tail_block
        self.blocks = (*self.blocks[: self._tail_block], *tail)
        self._advance()

    def _advance(self) -> None:
        """Move the point from which to parse to the start of the last block that begins at the margin."""
        for index in range(len(self.blocks) - 1, self._tail_block, -1):
            block = self.blocks[index]
            if block.indent == 0 and block.quote == 0:
                self._move_to(index, block.first_line)
                return
            # An item of a long list may start the tail as well: its number is in the text.
            if block.indent == 1 and block.quote == 0 and getattr(block, "marker", None) is not None:
                self._move_to(index, block.first_line)
                return

    def _move_to(self, index: int, line: int) -> None:
        offset = self._tail_start
        for _ in range(line - self._tail_line):
            offset = self.source.index("\n", offset) + 1
        self._tail_start, self._tail_line, self._tail_block = offset, line, index
