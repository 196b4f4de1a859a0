"""Colours code with Pygments: spans of five kinds, line by line, so that a painter needs only the lines it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

Kind = Literal["code_kw", "code_str", "code_num", "code_fn", "code_com"]
_ALIASES = {"py3": "python", "shell": "bash", "jsonc": "json", "gguf": "text", "math": "text", "latex": "tex"}


@dataclass(frozen=True, slots=True)
class Span:
    """`length` characters of a line from `start` are of one kind; kinds are colour tokens of the theme."""

    start: int
    length: int
    kind: Kind


def highlight(text: str, language: str) -> tuple[tuple[Span, ...], ...]:
    """Return the coloured spans of every line of `text`; unknown languages have none."""
    lexer = _lexer(_ALIASES.get(language, language))
    count = text.count("\n") + 1
    if lexer is None:
        return ((),) * count
    lines: list[list[Span]] = [[]]
    column = 0
    for token_type, value in lexer.get_tokens(text):
        kind = _kind(token_type)
        for index, part in enumerate(value.split("\n")):
            if index:
                lines.append([])
                column = 0
            if part and kind is not None:
                lines[-1].append(Span(column, len(part), kind))
            column += len(part)
    lines.extend([] for _ in range(count - len(lines)))
    return tuple(tuple(line) for line in lines[:count])


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer | None:
    if not language or language in ("text", "plain", "txt", "none"):
        return None
    try:
        # Pygments adds a newline and strips leading ones otherwise, which would shift every line.
        return get_lexer_by_name(language, ensurenl=False, stripnl=False)
    except ClassNotFound:
        return None


def _kind(token_type: _TokenType) -> Kind | None:
    if token_type in Comment:
        return "code_com"
    if token_type in Keyword or token_type in Operator.Word or token_type in Name.Tag:
        return "code_kw"
    if token_type in String:
        return "code_str"
    if token_type in Number:
        return "code_num"
    if token_type in Name.Function or token_type in Name.Class or token_type in Name.Decorator:
        return "code_fn"
    return None
