"""Writing a small file so that a crash leaves either the old or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from app.shared.errors import StorageFailed

_TRIES = 5


def write_atomically(path: Path, text: str, *, private: bool = False) -> None:
    """Replace `path` by `text` in UTF-8; with `private` only this user may read it. Raises `StorageFailed`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:32]}-", suffix=".new")
        fresh = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if os.name == "posix" and not private:
                fresh.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
            _replace(fresh, path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageFailed(
            "{path} could not be written: {reason}. What it held before is unchanged.",
            path=str(path),
            reason=error.strerror or str(error),
        ) from error


def _replace(fresh: Path, path: Path) -> None:
    """Windows refuses while a scanner or an editor holds the old file open, usually for a moment."""
    for attempt in range(_TRIES):
        try:
            fresh.replace(path)
        except PermissionError:
            if os.name != "nt" or attempt == _TRIES - 1:
                raise
            time.sleep(0.05 * (attempt + 1))
        else:
            return
