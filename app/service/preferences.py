"""What the service remembers about a person's taste: one TOML file of plain keys, replaced atomically."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from app.shared import paths
from app.shared.atomic_file import write_atomically
from app.shared.errors import BadValue

PlainValue = bool | int | float | str | list[Any] | dict[str, Any]


class Preferences:
    """Keys and plain values. Safe from any thread; a file edited by hand keeps its comments.

    A file that is no TOML is set aside as `preferences.broken.toml` before the first write, and `problem` says so.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or paths.preferences_file()
        self._lock = threading.Lock()
        self.problem: str | None = None
        self._document = self._read()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value kept under `key`, or `default`."""
        with self._lock:
            return self._document.unwrap().get(key, default)

    def set(self, key: str, value: PlainValue | None) -> None:
        """Keep `value` under `key`; None forgets the key. Raises `BadValue` for what TOML cannot hold."""
        if not key or len(key) > 200:
            raise BadValue("A preference's key has 1 to 200 characters.", key="key")
        with self._lock:
            before = tomlkit.dumps(self._document)
            if value is None:
                self._document.pop(key, None)
            else:
                try:
                    self._document[key] = tomlkit.item(value)
                    tomlkit.dumps(self._document)
                except (ValueError, TypeError, TOMLKitError):
                    self._document = tomlkit.parse(before)
                    raise BadValue(
                        "The preference {name} cannot hold {value}. It takes text, numbers, true or false, and lists of them.",
                        key=key,
                        name=key,
                        value=repr(value)[:80],
                    ) from None
            try:
                write_atomically(self._path, tomlkit.dumps(self._document))
            except BaseException:
                self._document = tomlkit.parse(before)
                raise

    def all(self) -> dict[str, Any]:
        """Return every preference."""
        with self._lock:
            return dict(self._document.unwrap())

    def _read(self) -> tomlkit.TOMLDocument:
        try:
            return tomlkit.parse(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return tomlkit.document()
        except (TOMLKitError, UnicodeDecodeError, OSError) as error:
            aside = self._path.with_suffix(".broken.toml")
            self.problem = f"{self._path} could not be read ({error}); it was set aside as {aside.name}."
            try:
                self._path.replace(aside)
            except OSError as why:
                self.problem = f"{self._path} could not be read ({error}) nor set aside ({why})."
            return tomlkit.document()
