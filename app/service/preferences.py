"""What the service remembers of a person's taste: `preferences.toml`, readable and editable by hand."""

from __future__ import annotations

import contextlib
import logging
import threading
import tomllib
from pathlib import Path
from typing import Any

import tomlkit

from app.service.atomic import write_text
from app.shared import paths

_log = logging.getLogger(__name__)


class Preferences:
    """Values by key. A broken file is set aside and costs the preferences, never the start."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file if file is not None else paths.preferences_file()
        self._lock = threading.Lock()
        self._values = self._read()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value, on disk at once; None forgets it. Raises `StorageFailed`, with the old file kept."""
        with self._lock:
            changed = dict(self._values)
            if value is None:
                changed.pop(key, None)
            else:
                changed[key] = value
            if changed == self._values:
                return
            write_text(self._file, tomlkit.dumps(_without_none(changed)))
            self._values = changed

    def all(self) -> dict[str, Any]:
        """Return all values."""
        return dict(self._values)

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning("%s is unreadable (%s); starting with the defaults", self._file, error)
            with contextlib.suppress(OSError):
                self._file.replace(self._file.with_name(self._file.name + ".broken"))
            return {}


def _without_none(value: Any) -> Any:
    # TOML has no null: JSON clients may send one inside a table.
    if isinstance(value, dict):
        return {str(key): _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_none(each) for each in value if each is not None]
    return value
