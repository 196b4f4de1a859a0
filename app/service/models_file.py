"""`models.toml`: files opened before, watched folders, saved remote servers, and which preset a model takes by itself.

It may hold servers' keys, so only this user may read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError
from tomlkit.exceptions import TOMLKitError

from app.shared import paths
from app.shared.atomic_file import write_atomically
from app.shared.engine import RemoteServer
from app.shared.errors import StorageFailed

_LOCK = threading.RLock()  # two stores write this file


class OpenedModel(BaseModel):
    """A file that was loaded or inspected by hand; `opened_at` is Unix time."""

    model_config = ConfigDict(frozen=True)

    path: str
    opened_at: float


class KnownModels(BaseModel):
    """The whole file. `defaults` maps a model's path to a preset's name; the empty path stands for every other model."""

    opened: tuple[OpenedModel, ...] = ()
    folders: tuple[str, ...] = ()
    remotes: tuple[RemoteServer, ...] = ()
    defaults: dict[str, str] = {}


def read_known() -> KnownModels:
    """Return what the file holds; raises `StorageFailed` for a file that is not ours to understand."""
    with _LOCK:
        path = paths.models_file()
        try:
            data: dict[str, Any] = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
            return KnownModels.model_validate(data)
        except FileNotFoundError:
            return KnownModels()
        except (TOMLKitError, ValidationError, UnicodeDecodeError, OSError) as error:
            raise _unreadable(path, error) from error


def change_known(change: Callable[[KnownModels], KnownModels]) -> KnownModels:
    """Read, change and write the file as one step; unchanged content is not written."""
    with _LOCK:
        before = read_known()
        after = change(before)
        if after != before:
            text = tomlkit.dumps(after.model_dump(mode="json", exclude_defaults=True))
            write_atomically(paths.models_file(), text, private=True)
        return after


def _unreadable(path: Path, error: Exception) -> StorageFailed:
    reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return StorageFailed(
        "{path} cannot be read: {reason}. Correct it, or delete it to start with an empty list of models.",
        path=str(path),
        reason=reason.rstrip("."),
        remedies=("settings", "log"),
    )
