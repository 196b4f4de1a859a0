"""What the window remembers between starts: geometry, page, splitters, folds, choices. One JSON file.

A broken file costs the layout and nothing else: it is set aside and the window opens with its defaults.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, TypeVar

from app.shared import paths

T = TypeVar("T", bool, int, float, str, list[Any], dict[str, Any])

_log = logging.getLogger(__name__)


class WindowMemory:
    """Small JSON values by key. `put` only changes memory; `save` writes the file if anything changed.

    Values of another type than the default's count as missing, so an edited file cannot break the window.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file if file is not None else paths.config_dir() / "window.json"
        self._lock = threading.Lock()
        self._values: dict[str, Any] = self._read()
        self._saved = json.dumps(self._values, sort_keys=True)

    def get(self, key: str, default: T) -> T:
        """Return the value kept under `key`, or `default` if there is none of the default's type."""
        value = self._values.get(key)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)  # type: ignore[return-value]  # T is float here; mypy does not narrow type variables
        if isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool):
            return value
        return default

    def text(self, key: str) -> str | None:
        """Return the text kept under `key`; None if there is none."""
        value = self._values.get(key)
        return value if isinstance(value, str) else None

    def put(self, key: str, value: bool | int | float | str | list[Any] | dict[str, Any] | None) -> None:
        """Keep `value` under `key`; None forgets it."""
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def save(self) -> None:
        """Write what changed, atomically. A failure is logged: it must not stop the window from closing."""
        with self._lock:
            body = json.dumps(self._values, sort_keys=True)
            if body == self._saved:
                return
            temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
            try:
                temporary.write_text(json.dumps(self._values, indent=1, ensure_ascii=False), encoding="utf-8")
                temporary.replace(self._file)
            except OSError as error:
                _log.warning("The window's layout could not be saved to %s: %s", self._file, error)
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            else:
                self._saved = body

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self._file.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"it holds a {type(values).__name__}, not an object")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning(
                "The window's layout in %s is unreadable (%s); starting with the defaults", self._file, error
            )
            with contextlib.suppress(OSError):
                self._file.replace(self._file.with_name(self._file.name + ".broken"))
            return {}
        return values
