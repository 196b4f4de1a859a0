"""Turns Markdown into blocks with markdown-it (CommonMark, tables, strikethrough), and finds maths in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TypedDict
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from app.ui.pages.chat.markdown.blocks import Align, Block, Code, Paragraph, Rule, Run, Table
from app.ui.pages.chat.markdown.maths import readable

_SAFE_SCHEMES = frozenset(("http", "https", "mailto"))
_CHECK = re.compile(r"^\[([ xX])\] ")
_BULLETS = ("•", "◦", "▪")
_NESTING_LIMIT = 20


class _Place(TypedDict):
    indent: int
    quote: int
    first_line: int
    end_line: int


def parse(source: str, *, first_line: int = 0) -> tuple[Block, ...]:
    """Return the blocks of `source`; `first_line` is added to every block's source lines."""
    tokens = _parser().parse(source)
    lines = source.count("\n") + 1
    return tuple(_Flattener(source, first_line).blocks(tokens, lines))


def safe_link(target: str) -> str | None:
    """Return the target if a click may open it (web pages and mail), else None."""
    try:
        scheme = urlsplit(target).scheme.lower()
    except ValueError:
        return None
    return target if scheme in _SAFE_SCHEMES else None


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING_LIMIT})
    parser.enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline", "image"])
    parser.inline.ruler.before("escape", "maths", _inline_maths)
    parser.block.ruler.before("fence", "maths", _block_maths, {"alt": ["paragraph", "blockquote", "list"]})
    return parser


def _inline_maths(state: StateInline, silent: bool) -> bool:
    source, at = state.src, state.pos
    if source.startswith("\\(", at):
        opening, closing = 2, "\\)"
    elif source.startswith("\\[", at):
        opening, closing = 2, "\\]"
    elif source.startswith("$$", at):
        opening, closing = 2, "$$"
    elif source[at] == "$":
        opening, closing = 1, "$"
    else:
        return False
    end = source.find(closing, at + opening, state.posMax)
    if end <= at + opening:
        return False
    inner = source[at + opening : end]
    after = source[end + 1 : end + 2]
    # A lone dollar is money more often than maths: "$5 and $6" is text, as in Pandoc's rule.
    if closing == "$" and (inner[0].isspace() or inner[-1].isspace() or after.isdigit() or "\n\n" in inner):
        return False
    if not silent:
        token = state.push("maths", "", 0)
        token.content = inner
    state.pos = end + len(closing)
    return True


def _block_maths(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    closing = {"$$": "$$", "\\[": "\\]"}.get(first[:2])
    if closing is None:
        return False
    lines = [first[2:]]
    line = start
    while closing not in lines[-1]:
        line += 1
        if line >= end or state.isEmpty(line):
            return False
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
    if lines[-1].split(closing, 1)[1].strip():
        return False  # text follows on the same line: inline maths
    if silent:
        return True
    lines[-1] = lines[-1].split(closing, 1)[0]
    token = state.push("maths_block", "", 0)
    token.content = "\n".join(lines)
    token.map = [start, line + 1]
    state.line = line + 1
    return True


class _Flattener:
    """Walks the token stream once, keeping the lists and quotes it is inside of."""

    def __init__(self, source: str, first_line: int) -> None:
        self._source_lines = source.split("\n")
        self._offset = first_line
        self._quote = 0
        self._lists: list[_List] = []
        self._line = 0

    def blocks(self, tokens: list[Token], line_count: int) -> Iterator[Block]:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if token.map is not None:
                self._line = token.map[0]
            match token.type:
                case "blockquote_open":
                    self._quote += 1
                case "blockquote_close":
                    self._quote -= 1
                case "bullet_list_open" | "ordered_list_open":
                    start = token.attrGet("start")
                    number = int(start) if start is not None else 1
                    self._lists.append(_List(number if token.type.startswith("ordered") else None))
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "list_item_open":
                    self._lists[-1].begin_item(depth=len(self._lists))
                case "heading_open":
                    yield self._paragraph(tokens[at + 1], token, level=int(token.tag[1]))
                    at += 2
                case "paragraph_open":
                    yield self._paragraph(tokens[at + 1], token)
                    at += 2
                case "fence" | "code_block":
                    yield self._code(token)
                case "maths_block":
                    runs = (Run(readable(token.content), maths=True),)
                    yield Paragraph(runs=runs, display_maths=True, **self._place(token))
                case "hr":
                    yield Rule(**self._place(token))
                case "table_open":
                    end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
                    yield self._table(token, tokens[at:end])
                    at = end
                case _:
                    pass
            at += 1

    def _place(self, token: Token) -> _Place:
        first, end = token.map or (self._line, self._line + 1)
        return {
            "indent": len(self._lists),
            "quote": self._quote,
            "first_line": first + self._offset,
            "end_line": end + self._offset,
        }

    def _paragraph(self, inline: Token, opening: Token, *, level: int = 0) -> Paragraph:
        runs = tuple(_runs(inline.children or []))
        marker = self._lists[-1].take_marker() if self._lists else None
        if marker is not None and runs and (check := _CHECK.match(runs[0].text)):
            marker = "☐" if check[1] == " " else "☑"
            first = runs[0]
            runs = (Run(first.text[4:], first.bold, first.italic, first.strike), *runs[1:])
        return Paragraph(
            runs=runs or (Run(""),), level=level, marker=marker, tight=opening.hidden, **self._place(opening)
        )

    def _code(self, token: Token) -> Code:
        place = self._place(token)
        text = token.content.removesuffix("\n")
        if self._lists:
            self._lists[-1].take_marker()
        closed = True
        if token.type == "fence" and token.map is not None:
            last = self._source_lines[min(token.map[1], len(self._source_lines)) - 1].strip()
            closed = token.map[1] - token.map[0] > 1 and last.lstrip("> ").startswith(token.markup)
        language = token.info.split()[0].strip("{}.").lower() if token.info.strip() else ""
        return Code(text=text, language=language, closed=closed, **place)

    def _table(self, opening: Token, tokens: list[Token]) -> Table:
        head: list[tuple[Run, ...]] = []
        rows: list[list[tuple[Run, ...]]] = []
        aligns: list[Align] = []
        in_head = False
        for index, token in enumerate(tokens):
            if token.type == "thead_open":
                in_head = True
            elif token.type == "thead_close":
                in_head = False
            elif token.type == "tr_open" and not in_head:
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                runs = tuple(_runs(tokens[index + 1].children or []))
                if in_head:
                    head.append(runs)
                    aligns.append(_align(str(token.attrGet("style") or "")))
                else:
                    rows[-1].append(runs)
        width = len(head)
        return Table(
            aligns=tuple(aligns),
            head=tuple(head),
            rows=tuple(tuple((row + [()] * width)[:width]) for row in rows),
            **self._place(opening),
        )


class _List:
    """One open list: whether it counts, and whether the present item's marker has been written."""

    def __init__(self, number: int | None) -> None:
        self._number = number
        self._marker: str | None = None

    def begin_item(self, *, depth: int) -> None:
        if self._number is None:
            self._marker = _BULLETS[min(depth, len(_BULLETS)) - 1]
        else:
            self._marker = f"{self._number}."
            self._number += 1

    def take_marker(self) -> str | None:
        marker, self._marker = self._marker, None
        return marker


def _align(style: str) -> Align:
    if "right" in style:
        return "right"
    return "center" if "center" in style else "left"


def _runs(tokens: list[Token]) -> Iterator[Run]:
    bold = italic = strike = 0
    link: str | None = None
    for token in tokens:
        match token.type:
            case "strong_open":
                bold += 1
            case "strong_close":
                bold -= 1
            case "em_open":
                italic += 1
            case "em_close":
                italic -= 1
            case "s_open":
                strike += 1
            case "s_close":
                strike -= 1
            case "link_open":
                link = safe_link(str(token.attrGet("href") or ""))
            case "link_close":
                link = None
            case _:
                text = _leaf(token)
                if text:
                    yield Run(
                        text,
                        bold=bold > 0,
                        italic=italic > 0,
                        strike=strike > 0,
                        code=token.type == "code_inline",
                        maths=token.type == "maths",
                        link=link,
                    )


def _leaf(token: Token) -> str:
    match token.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "\u2028"
        case "maths":
            return readable(token.content).replace("\n", " ")
        case _:
            return token.content
