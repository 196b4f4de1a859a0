"""Qt counts text in UTF-16 units, Python in characters; they differ for emoji and rare scripts."""

from __future__ import annotations


def units(text: str) -> int:
    """Return the length of `text` in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, start: int, end: int) -> str:
    """Return the part of `text` between two positions in UTF-16 units."""
    if units(text) == len(text):
        return text[start:end]
    raw = text.encode("utf-16-le", "surrogatepass")[start * 2 : end * 2]
    return raw.decode("utf-16-le", "replace")
