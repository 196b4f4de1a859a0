"""A preset: a name, the reason for it, and the values that differ from the defaults; TOML on disk.

Reading never fails on a single wrong value: the preset carries the sentence in `problem`, so that a list can show it.
Writing into an existing text keeps its comments and the keys that this version does not know.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

import tomlkit
from pydantic import BaseModel, ConfigDict
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from app.shared.engine import SettingValue
from app.shared.errors import BadValue, ErrorInfo
from app.shared.settings import find, settings

Kind = Literal["any", "moe", "dense"]
KINDS: tuple[Kind, ...] = ("any", "moe", "dense")
LONGEST_NAME = 64
LARGEST_FILE_BYTES = 1_000_000

_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)
}
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


class Preset(BaseModel):
    """One preset. `values` holds only checked values that differ from the defaults.

    `problem` says why the file, or one value in it, cannot be used; such a preset is listed and not loaded.
    `unknown` names keys in the file that this version does not have; they stay in the file and change nothing.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""  # the reason for it
    kind: Kind = "any"
    values: dict[str, SettingValue] = {}
    shipped: bool = False  # comes with Pult and is read-only
    shadows: bool = False  # the user's own version of a shipped preset
    unknown: tuple[str, ...] = ()
    problem: ErrorInfo | None = None
    path: str | None = None


def checked_name(name: str) -> str:
    """Return the name as files and lists carry it; raise `BadValue` for one that some system cannot store."""
    tidy = unicodedata.normalize("NFC", " ".join(name.split()))
    wrong = ""
    if not tidy:
        wrong = "is empty. Give it a name"
    elif len(tidy) > LONGEST_NAME:
        wrong = f"is longer than {LONGEST_NAME} characters. Shorten it"
    elif found := _FORBIDDEN.search(name):
        wrong = f"has {found[0]!r} in it, which file names cannot have. Leave it out"
    elif tidy.startswith(".") or tidy.endswith("."):
        wrong = "begins or ends with a full stop, which file names should not. Leave it out"
    elif tidy.split(".")[0].lower() in _WINDOWS_DEVICES:
        wrong = "is a device's name on Windows. Choose another"
    if wrong:
        raise BadValue("The preset's name {name} " + wrong + ".", key="name", name=repr(name[:80]))
    return tidy


def different_values(values: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Return the values that differ from the table's defaults, in the table's order."""
    table = settings()
    return {
        key: values[key]
        for key, knob in table.items()
        if key in values and (type(values[key]) is not type(knob.default) or values[key] != knob.default)
    }


def parse_preset(text: str, *, name: str, shipped: bool = False, path: str | None = None) -> Preset:
    """Return the preset that a TOML text describes; what is wrong with it stands in `problem`."""
    try:
        data = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        broken = BadValue(
            "The preset {name} is not valid TOML: {reason}. Correct the file or delete it.",
            key="toml",
            name=name,
            reason=str(error).rstrip("."),
        )
        return Preset(name=name, shipped=shipped, problem=broken.info(), path=path)
    problem: BadValue | None = None
    unknown = [key for key in data if key not in ("name", "description", "kind", "values")]
    description = data.get("description", "")
    kind = data.get("kind", "any")
    if not isinstance(description, str):
        problem = _wrong("description", description, name, "It takes text")
    if kind not in KINDS:
        problem = _wrong("kind", kind, name, "It takes one of " + ", ".join(KINDS))
    given = data.get("values", {})
    if not isinstance(given, dict):
        problem = _wrong("values", given, name, "It takes a table [values]")
        given = {}
    values: dict[str, SettingValue] = {}
    for key, value in given.items():
        knob = find(key)
        if knob is None:
            unknown.append(f"values.{key}")
            continue
        try:
            values[knob.key] = knob.check(value)
        except BadValue as error:
            problem = problem or error
    return Preset(
        name=name,
        description=description if isinstance(description, str) else "",
        kind=kind if kind in KINDS else "any",
        values=different_values(values),
        shipped=shipped,
        unknown=tuple(unknown),
        problem=None if problem is None else problem.info(),
        path=path,
    )


def preset_toml(preset: Preset, *, before: str = "") -> str:
    """Return the preset as TOML. `before` is the file's present text: its comments and unknown keys are kept.

    Values equal to the defaults are left out; former keys are replaced by the present ones.
    """
    try:
        document = tomlkit.parse(before)
    except TOMLKitError:
        document = tomlkit.document()  # what was broken is being replaced by what the form shows
    _set(document, "description", preset.description or None)
    _set(document, "kind", None if preset.kind == "any" else preset.kind)
    table = document.get("values")
    if not isinstance(table, Table):
        document.pop("values", None)
        table = tomlkit.table()
        document["values"] = table
    values = different_values(preset.values)
    for key in list(table):
        knob = find(key)
        if knob is not None and (knob.key != key or key not in values):
            table.remove(key)
    for key, value in values.items():
        _set(table, key, value)
    return tomlkit.dumps(document)


def _set(table: Table | tomlkit.TOMLDocument, key: str, value: SettingValue | None) -> None:
    if value is None:
        table.pop(key, None)
    elif key not in table or _plain(table[key]) != value or type(_plain(table[key])) is not type(value):
        table[key] = value


def _plain(item: object) -> object:
    unwrap = getattr(item, "unwrap", None)
    return unwrap() if callable(unwrap) else item


def _wrong(key: str, value: object, name: str, what: str) -> BadValue:
    return BadValue(
        "In the preset {name}, {field} is {value}. " + what + ".",
        key=key,
        name=name,
        field=key,
        value=repr(value)[:80],
    )
