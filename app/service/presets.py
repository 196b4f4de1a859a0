"""The presets on disk: those that come with Pult, read-only, and the user's own; one TOML file each.

The folder is looked at on every call, so that a file changed in an editor is seen; texts are parsed only when they changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from app.service.models_file import KnownModels, change_known, read_known
from app.shared import paths
from app.shared.atomic_file import write_atomically
from app.shared.errors import BadValue, Busy, Conflict, NotFound, StorageFailed, from_info
from app.shared.events import Event, PresetsChanged
from app.shared.presets import LARGEST_FILE_BYTES, Preset, checked_name, parse_preset, preset_toml
from app.shared.settings import ModelFacts, check_values

_Stamp = tuple[int, int]


class PresetStore:
    """All presets by name. Names are unique whatever their case, because some file systems say so."""

    def __init__(
        self,
        *,
        publish: Callable[[Event], None],
        shipped: Path | None = None,
        own: Path | None = None,
    ) -> None:
        self._publish = publish
        self._shipped = shipped or paths.shipped_presets_dir()
        self._own = own or paths.user_presets_dir()
        self._lock = threading.RLock()
        self._parsed: dict[Path, tuple[_Stamp, Preset]] = {}

    def list(self) -> tuple[Preset, ...]:
        """Return the user's presets, then the shipped ones that they do not shadow, each by name; broken ones too."""
        with self._lock:
            shipped = {preset.name.lower(): preset for preset in self._in(self._shipped, shipped=True)}
            own = self._in(self._own, shipped=False)
            seen = {preset.name.lower() for preset in own}
            mine = [preset.model_copy(update={"shadows": preset.name.lower() in shipped}) for preset in own]
            return (*mine, *(preset for key, preset in shipped.items() if key not in seen))

    def find(self, name: str) -> Preset:
        """Return the preset of this name, broken or not; raises `NotFound`."""
        wanted = name.strip().lower()
        for preset in self.list():
            if preset.name.lower() == wanted:
                return preset
        raise NotFound("There is no preset named {name}. pult presets list shows them.", name=name)

    def show(self, name: str) -> Preset:
        """Return a preset that can be loaded; raises `NotFound`, or the sentence that says what is wrong with it."""
        preset = self.find(name)
        if preset.problem is not None:
            raise from_info(preset.problem)
        return preset

    def text(self, name: str) -> str:
        """Return the preset's TOML as it stands on disk, comments included."""
        path = self.find(name).path
        return "" if path is None else _text(Path(path))

    def save(self, preset: Preset) -> Preset:
        """Write the user's preset of this name and return it; a shipped one of that name is shadowed, not changed.

        Raises `BadValue` for a name or value that may not be, `StorageFailed`.
        """
        name = checked_name(preset.name)
        tidy = preset.model_copy(update={"name": name, "values": check_values(preset.values)})
        with self._lock:
            path = self._own_path(name)
            source = path if path.exists() else self._shipped / f"{name}.toml"
            before = _text(source) if source.exists() else ""
            write_atomically(path, preset_toml(tidy, before=before))
            saved = self.find(name)
        self._publish(PresetsChanged())
        return saved

    def remove(self, name: str) -> None:
        """Delete the user's preset; one that shadowed a shipped one lets it appear again. Raises `Conflict` for shipped ones."""
        with self._lock:
            preset = self.find(name)
            path = self._writable(preset, "deleted")
            try:
                path.unlink()
            except OSError as error:
                raise StorageFailed(
                    "{path} could not be deleted: {reason}.",
                    path=str(path),
                    reason=error.strerror or str(error),
                ) from error
        self._publish(PresetsChanged())

    def rename(self, name: str, new_name: str) -> Preset:
        """Give the user's preset another name; models that take it by itself follow."""
        new_name = checked_name(new_name)
        with self._lock:
            preset = self.find(name)
            path = self._writable(preset, "renamed")
            if new_name.lower() != preset.name.lower():
                self._must_be_free(new_name)
            target = self._own / f"{new_name}.toml"
            try:
                path.rename(target)
            except OSError as error:
                raise StorageFailed(
                    "{path} could not be renamed: {reason}.",
                    path=str(path),
                    reason=error.strerror or str(error),
                ) from error
            old = preset.name

            def follow(known: KnownModels) -> KnownModels:
                defaults = {
                    model: new_name if chosen.lower() == old.lower() else chosen
                    for model, chosen in known.defaults.items()
                }
                return known.model_copy(update={"defaults": defaults})

            change_known(follow)
            renamed = self.find(new_name)
        self._publish(PresetsChanged())
        return renamed

    def duplicate(self, name: str, new_name: str | None = None) -> Preset:
        """Copy a preset with its comments; without a name the first free `name 2`, `name 3`… is taken."""
        with self._lock:
            preset = self.find(name)
            if new_name is None:
                new_name = self._free_name(preset.name)
            new_name = checked_name(new_name)
            self._must_be_free(new_name)
            write_atomically(self._own / f"{new_name}.toml", self.text(name))
            copy = self.find(new_name)
        self._publish(PresetsChanged())
        return copy

    def import_toml(self, text: str, name: str | None = None) -> Preset:
        """Take in a preset's TOML text as one of the user's; raises `BadValue` for a text with something wrong in it.

        Without a name, the text's own `name` is taken, or `imported`; a name that is taken gets a number.
        """
        if len(text.encode("utf-8", "replace")) > LARGEST_FILE_BYTES:
            raise BadValue(
                "The text is larger than {size_bytes}. A preset is a few lines of TOML.",
                key="toml",
                size_bytes=LARGEST_FILE_BYTES,
            )
        wanted = checked_name(name or _own_name(text) or "imported")
        parsed = parse_preset(text, name=wanted)
        if parsed.problem is not None:
            raise from_info(parsed.problem)
        with self._lock:
            taken = {preset.name.lower() for preset in self.list()}
            free = wanted if wanted.lower() not in taken else self._free_name(wanted)
            write_atomically(self._own / f"{free}.toml", text)
            imported = self.find(free)
        self._publish(PresetsChanged())
        return imported

    def check(self, preset: Preset, facts: ModelFacts | None = None) -> tuple[BadValue, ...]:
        """Return everything wrong with a preset, for this model if one is given; empty when it may be loaded."""
        wrong: list[BadValue] = []
        if preset.problem is not None:
            error = from_info(preset.problem)
            wrong.append(error if isinstance(error, BadValue) else BadValue(error.template, key="toml"))
        for key, value in preset.values.items():
            try:
                check_values({key: value}, facts)
            except BadValue as error:
                wrong.append(error)
        if not wrong:
            try:
                check_values(preset.values, facts)
            except BadValue as error:
                wrong.append(error)
        return tuple(wrong)

    def default_for(self, model_path: str | None) -> str | None:
        """Return the preset that a model takes by itself: its own, else the one for every model; None when neither exists."""
        defaults = read_known().defaults
        names = {preset.name.lower() for preset in self.list()}
        for key in (model_path, ""):
            if key is not None and defaults.get(key, "").lower() in names:
                return defaults[key]
        return None

    def set_default(self, preset: str | None, *, model_path: str | None = None) -> None:
        """Let a model, or every model, take this preset by itself; None takes that back. Raises `NotFound`."""
        name = None if preset is None else self.find(preset).name

        def change(known: KnownModels) -> KnownModels:
            defaults = {key: value for key, value in known.defaults.items() if key != (model_path or "")}
            if name is not None:
                defaults[model_path or ""] = name
            return known.model_copy(update={"defaults": defaults})

        change_known(change)
        self._publish(PresetsChanged())

    def _in(self, folder: Path, *, shipped: bool) -> tuple[Preset, ...]:
        try:
            files = sorted(folder.glob("*.toml"), key=lambda path: path.stem.lower())
        except OSError:
            return ()
        found = (self._read(path, shipped=shipped) for path in files if not path.name.startswith("."))
        return tuple(preset for preset in found if preset is not None)

    def _read(self, path: Path, *, shipped: bool) -> Preset | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None  # deleted between listing and looking
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._parsed.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            preset = parse_preset(_text(path), name=path.stem, shipped=shipped, path=str(path))
        except StorageFailed as error:
            preset = Preset(name=path.stem, shipped=shipped, path=str(path), problem=error.info())
        self._parsed[path] = (stamp, preset)
        return preset

    def _own_path(self, name: str) -> Path:
        """The user's file of this name in the case it already has."""
        for path in self._own.glob("*.toml"):
            if path.stem.lower() == name.lower():
                return path
        return self._own / f"{name}.toml"

    def _writable(self, preset: Preset, what: str) -> Path:
        if preset.shipped or preset.path is None:
            raise Conflict(
                "The preset {name} comes with Pult and cannot be {what}. Duplicate it and change the copy.",
                name=preset.name,
                what=what,
            )
        return Path(preset.path)

    def _must_be_free(self, name: str) -> None:
        if any(preset.name.lower() == name.lower() for preset in self.list()):
            raise Busy("There is already a preset named {name}. Choose another name.", name=name)

    def _free_name(self, name: str) -> str:
        taken = {preset.name.lower() for preset in self.list()}
        stem, _, number = name.rpartition(" ")
        base, start = (stem, int(number) + 1) if stem and number.isascii() and number.isdigit() else (name, 2)
        base = base[:58]
        while f"{base} {start}".lower() in taken:
            start += 1
        return f"{base} {start}"


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise StorageFailed(
                "{path} is larger than {size_bytes}; that is no preset.",
                path=str(path),
                size_bytes=LARGEST_FILE_BYTES,
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise StorageFailed("{path} is not UTF-8 text. Save it as UTF-8.", path=str(path)) from None
    except OSError as error:
        raise StorageFailed(
            "{path} cannot be read: {reason}.", path=str(path), reason=error.strerror or str(error)
        ) from error


def _own_name(text: str) -> str | None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        found = tomlkit.parse(text).get("name")
    except TOMLKitError:
        return None
    return str(found) if isinstance(found, str) else None
