"""Reads dropped and chosen files as text. No Qt: it runs on another thread."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from app.shared.chats import Attachment
from app.shared.errors import BadRequest, NotFound

LIMIT_BYTES = 4 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text_files(paths: Sequence[str]) -> tuple[Attachment, ...]:
    """Return the files' texts. Raises `BadRequest` for what is no text or too long, `NotFound` for what is gone."""
    return tuple(_read(Path(path)) for path in paths)


def _read(path: Path) -> Attachment:
    try:
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise BadRequest(
                "{name} has {size_file_size}; a file in a message may have {limit_file_size}. Attach a shorter part of it.",
                name=path.name,
                size_file_size=size,
                limit_file_size=LIMIT_BYTES,
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFound("There is no file {name} any more.", name=path.name) from None
    except OSError as error:
        raise BadRequest(
            "{name} cannot be read: {reason}. Choose another file.",
            name=path.name,
            reason=error.strerror or str(error),
        ) from error
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = ""
    if (not text and raw) or "\0" in text:
        raise BadRequest(
            "{name} is no text in UTF-8 or UTF-16. Convert it to text, then attach it.", name=path.name
        )
    return Attachment(name=path.name, text=text.replace("\r\n", "\n"))
