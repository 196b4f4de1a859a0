"""Presets on disk: the shipped ones, read-only, and the user's own, one TOML file each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from app.service.atomic import write_text
from app.service.preferences import Preferences
from app.shared import paths
from app.shared.engine import SettingValue
from app.shared.errors import Busy, Conflict, NotFound, StorageFailed
from app.shared.events import Event, PresetsChanged
from app.shared.presets import Preset, check_name, only_changed, read_toml, write_toml
from app.shared.settings import ModelFacts, check_values

FALLBACK = "dialog"
_DEFAULTS = "preset_by_model"
_DEFAULT = "preset"


class PresetStore:
    """Both folders as one list. Files are read when asked for, so edits from outside are seen."""

    def __init__(
        self,
        *,
        publish: Callable[[Event], None],
        preferences: Preferences | None = None,
        own: Path | None = None,
        shipped: Path | None = None,
    ) -> None:
        self._publish = publish
        self._preferences = preferences if preferences is not None else Preferences()
        self._own = own if own is not None else paths.user_presets_dir()
        self._shipped = shipped if shipped is not None else paths.shipped_presets_dir()
        self._lock = threading.RLock()

    def list(self) -> tuple[Preset, ...]:
        """Return the user's presets, then the shipped ones, each by name. A user's own hides a shipped one of its name."""
        own = self._folder(self._own, shipped=False)
        shipped = self._folder(self._shipped, shipped=True)
        return (*own.values(), *(preset for name, preset in shipped.items() if name not in own))

    def show(self, name: str) -> Preset:
        """Return one preset. Raises `NotFound`."""
        found = next((preset for preset in self.list() if preset.name == name), None)
        if found is None:
            raise NotFound("There is no preset named {name}. pult presets list shows all.", name=name)
        return found

    def save(self, preset: Preset) -> Preset:
        """Write a preset into the user's folder; saving a shipped one makes the user's own of that name.

        Raises `BadValue` for a name or value that may not be, `StorageFailed` when the disk refuses.
        """
        name = check_name(preset.name)
        values = only_changed(check_values(dict(preset.values)))
        with self._lock:
            file = self._file(name)
            before = ""
            if file.is_file():
                before = _text(file)
            elif (source := self._shipped / f"{name}.toml").is_file():
                before = _text(source)
            write_text(file, write_toml(preset.model_copy(update={"values": values}), before))
        self._publish(PresetsChanged())
        return self.show(name)

    def remove(self, name: str) -> None:
        """Delete a user's preset. Raises `NotFound`, `Conflict` for a shipped one."""
        preset = self.show(name)
        if preset.shipped:
            raise Conflict(
                "{name} came with Pult and cannot be deleted. Duplicate it to change it.", name=name
            )
        with self._lock:
            try:
                self._file(name).unlink()
            except OSError as error:
                raise _refused(self._file(name), error) from error
        self._publish(PresetsChanged())

    def rename(self, name: str, new_name: str) -> Preset:
        """Give a user's preset another name; per-model defaults follow it."""
        preset = self.show(name)
        if preset.shipped:
            raise Conflict("{name} came with Pult and keeps its name. Duplicate it under another.", name=name)
        wanted = check_name(new_name)
        if wanted == name:
            return preset
        with self._lock:
            self._refuse_taken(wanted, unless=name)
            try:
                self._file(name).rename(self._file(wanted))
            except OSError as error:
                raise _refused(self._file(wanted), error) from error
            self._follow_rename(name, wanted)
        self._publish(PresetsChanged())
        return self.show(wanted)

    def duplicate(self, name: str, new_name: str | None = None) -> Preset:
        """Copy a preset under a new name; without one the first free of `name 2`, `name 3`…"""
        preset = self.show(name)
        with self._lock:
            wanted = check_name(new_name) if new_name else self._free_name(preset.name)
            self._refuse_taken(wanted)
            return self.save(preset.model_copy(update={"name": wanted, "shipped": False}))

    def import_toml(self, text: str, name: str | None = None) -> Preset:
        """Take in a preset's text, under a free name. Raises `Conflict` if it has a problem."""
        preset = read_toml(text, name=check_name(name or "imported"))
        if preset.problem is not None:
            raise Conflict("The preset was not taken in. {problem}", problem=preset.problem)
        with self._lock:
            taken = {each.name for each in self.list()}
            free = preset.name if preset.name not in taken else self._free_name(preset.name)
            write_text(self._file(free), text if text.endswith("\n") else text + "\n")
        self._publish(PresetsChanged())
        return self.show(free)

    def check(self, values: Mapping[str, object], facts: ModelFacts | None = None) -> dict[str, SettingValue]:
        """Return the values in their types; raises `BadValue` for the first that may not be."""
        return check_values(values, facts)

    def default_for(self, model_path: str | None) -> str | None:
        """Return the preset a model is loaded with when none is named: its own, else everyone's, if it still exists."""
        names = {preset.name for preset in self.list()}
        by_model = self._preferences.get(_DEFAULTS, {})
        chosen = by_model.get(model_path) if isinstance(by_model, dict) and model_path else None
        for name in (chosen, self._preferences.get(_DEFAULT, FALLBACK)):
            if isinstance(name, str) and name in names:
                return name
        return None

    def set_default(self, preset: str | None, *, model_path: str | None = None) -> None:
        """Use this preset by itself for one model, or for all; None forgets the choice."""
        if preset is not None:
            self.show(preset)
        if model_path is None:
            self._preferences.set(_DEFAULT, preset)
            return
        kept = self._preferences.get(_DEFAULTS, {})
        by_model = dict(kept) if isinstance(kept, dict) else {}
        by_model.pop(model_path, None)
        if preset is not None:
            by_model[model_path] = preset
        self._preferences.set(_DEFAULTS, by_model)

    def _follow_rename(self, name: str, wanted: str) -> None:
        kept = self._preferences.get(_DEFAULTS, {})
        if isinstance(kept, dict) and name in kept.values():
            self._preferences.set(_DEFAULTS, {k: wanted if v == name else v for k, v in kept.items()})
        if self._preferences.get(_DEFAULT, None) == name:
            self._preferences.set(_DEFAULT, wanted)

    def _free_name(self, name: str) -> str:
        stem = name.rstrip("0123456789").rstrip() if name[-1:].isdigit() and " " in name else name
        taken = {preset.name.lower() for preset in self.list()}
        number = 2
        while f"{stem} {number}".lower() in taken:
            number += 1
        return f"{stem} {number}"

    def _refuse_taken(self, name: str, *, unless: str | None = None) -> None:
        # Case-blind: Windows and macOS would write both into one file.
        for preset in self.list():
            if preset.name.lower() == name.lower() and preset.name != unless:
                raise Busy("There is a preset named {name} already. Choose another name.", name=preset.name)

    def _file(self, name: str) -> Path:
        return self._own / f"{name}.toml"

    def _folder(self, folder: Path, *, shipped: bool) -> dict[str, Preset]:
        presets: dict[str, Preset] = {}
        for file in sorted(folder.glob("*.toml"), key=lambda each: each.stem.lower()):
            if file.name.startswith("."):
                continue
            try:
                preset = read_toml(_text(file), name=file.stem)
            except StorageFailed as error:
                preset = Preset(name=file.stem, problem=error.sentence)
            presets[file.stem] = preset.model_copy(update={"shipped": shipped, "path": str(file)})
        return presets


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StorageFailed("{path} is not UTF-8 text. Save it as UTF-8.", path=str(file)) from error
    except OSError as error:
        raise _refused(file, error) from error


def _refused(file: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        "{path} could not be used: {reason}.", path=str(file), reason=error.strerror or type(error).__name__
    )
