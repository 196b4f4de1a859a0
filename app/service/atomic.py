"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from app.shared.errors import StorageFailed


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file's content in one step; kill -9 leaves the old or the new one. `private` makes it mode 0600.

    Raises `StorageFailed` with the reason; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if private else 0o644
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFailed(
            "{path} could not be written: {reason}. What was there before is kept.",
            path=str(path),
            reason=error.strerror or type(error).__name__,
        ) from error
