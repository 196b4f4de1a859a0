"""The blocks an answer is made of. Nesting is flattened: every block carries its own indent and quote depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text in one style. `link` is a target already found safe, `code` means inline code."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    maths: bool = False
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Where a block stands: list indent in levels, quote depth, and the source lines it came from."""

    indent: int = 0
    quote: int = 0
    tight: bool = False  # follows its neighbour closely: items of a tight list
    first_line: int = 0
    end_line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph(_Placed):
    """Running text, a heading (`level` 1–6) or one item's paragraph of a list (`marker` is "•", "3." or a check box)."""

    runs: tuple[Run, ...]
    level: int = 0
    marker: str | None = None
    display_maths: bool = False

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(_Placed):
    """A fenced or indented code block; `closed` is False while the closing fence has not been written yet."""

    text: str
    language: str = ""
    closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(_Placed):
    """A table; every row has as many cells as `aligns`."""

    aligns: tuple[Align, ...]
    head: tuple[tuple[Run, ...], ...]
    rows: tuple[tuple[tuple[Run, ...], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(_Placed):
    """A horizontal rule."""


Block = Paragraph | Code | Table | Rule
