"""Colours code with Pygments: spans of five kinds, line by line, so that a painter needs only the lines it shows."""

from __future__ import annotations

from collections.abc import Iterator
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
    return tuple(highlight_lines(text, language))


def highlight_lines(text: str, language: str) -> Iterator[tuple[Span, ...]]:
    """Yield the spans of one line after another, so that a long text can be coloured in slices of time."""
    count = text.count("\n") + 1
    lexer = _lexer(_ALIASES.get(language, language))
    line: list[Span] = []
    done = column = 0
    for token_type, value in lexer.get_tokens(text) if lexer is not None else ():
        kind = _kind(token_type)
        for index, part in enumerate(value.split("\n")):
            if index:
                yield tuple(line)
                line, column, done = [], 0, done + 1
                if done == count:
                    return
            if part and kind is not None:
                line.append(Span(column, len(part), kind))
            column += len(part)
    yield tuple(line)
    for _ in range(count - done - 1):
        yield ()


def prepare(language: str) -> None:
    """Compile a language's grammar, which takes tens of milliseconds the first time; any thread may do it."""
    lexer = _lexer(_ALIASES.get(language, language))
    if lexer is not None:
        next(iter(lexer.get_tokens(" ")), None)


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer | None:
    if not language or language in ("text", "plain", "txt", "none"):
        return None
    try:
        # Pygments adds a newline and strips leading ones otherwise, which would shift every line.
        return get_lexer_by_name(language, ensurenl=False, stripnl=False)
    except ClassNotFound:
        return None


_KINDS: tuple[tuple[_TokenType, Kind], ...] = (
    (Comment, "code_com"),
    (Keyword, "code_kw"),
    (Operator.Word, "code_kw"),
    (Name.Tag, "code_kw"),
    (String, "code_str"),
    (Number, "code_num"),
    (Name.Function, "code_fn"),
    (Name.Class, "code_fn"),
    (Name.Decorator, "code_fn"),
)


def _kind(token_type: _TokenType) -> Kind | None:
    """A token type is a path such as Token.Literal.String.Doc; the kind belongs to one of its beginnings."""
    return next((kind for family, kind in _KINDS if token_type[: len(family)] == tuple(family)), None)
