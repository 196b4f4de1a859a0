"""`pult presets`: list, show and check presets. Reads the files itself; no service is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.cli.arguments import add_json
from app.cli.output import print_json, print_table
from app.models.card import read_card
from app.shared import paths
from app.shared.errors import BadValue, NotFound, PultError, StorageFailed, from_info
from app.shared.presets import Preset, parse_preset
from app.shared.settings import check_values, settings


def add_parser(commands: Any) -> None:
    """Declare `pult presets`."""
    parser = commands.add_parser("presets", help="list, show and check presets")
    inside = parser.add_subparsers(dest="what", required=True)
    listing = inside.add_parser("list", help="all presets with their reasons")
    add_json(listing)
    listing.set_defaults(run=run_list)
    showing = inside.add_parser("show", help="one preset's values; without a name all settings and defaults")
    showing.add_argument("name", nargs="?")
    add_json(showing)
    showing.set_defaults(run=run_show)
    checking = inside.add_parser(
        "check", help="whether presets can be loaded: names or TOML files; default all"
    )
    checking.add_argument("names", nargs="*", metavar="NAME|FILE")
    checking.add_argument("--model", metavar="F", help="hold the values against this model's bounds")
    add_json(checking)
    checking.set_defaults(run=run_check)


def all_presets() -> list[Preset]:
    """Return own presets, then the shipped ones that they do not shadow."""
    shipped = {preset.name.lower(): preset for preset in _in(paths.shipped_presets_dir(), shipped=True)}
    own = _in(paths.user_presets_dir(), shipped=False)
    names = {preset.name.lower() for preset in own}
    mine = [preset.model_copy(update={"shadows": preset.name.lower() in shipped}) for preset in own]
    return [*mine, *(preset for name, preset in shipped.items() if name not in names)]


def run_list(arguments: argparse.Namespace) -> int:
    """Print all presets."""
    found = all_presets()
    if arguments.json:
        print_json(found)
        return 0
    print_table(
        [
            (
                preset.name,
                "shipped" if preset.shipped else "mine",
                preset.description if preset.problem is None else preset.problem.sentence,
            )
            for preset in found
        ]
    )
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print one preset, or the table of settings."""
    if arguments.name is None:
        rows = [
            (knob.key, knob.automatic if knob.default is None else _word(knob.default), knob.label)
            for knob in settings().values()
        ]
        if arguments.json:
            print_json({knob.key: knob.default for knob in settings().values()})
        else:
            print_table(rows)
        return 0
    preset = _named(arguments.name)
    if preset.problem is not None:
        raise from_info(preset.problem)
    if arguments.json:
        print_json(preset)
        return 0
    print(f"{preset.name}: {preset.description}")
    print_table([(key, _word(value), settings()[key].label) for key, value in preset.values.items()])
    for key in preset.unknown:
        print(f"{key}  (not known to this version; kept and without effect)")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Print what is wrong with presets; the status is 0 only if nothing is."""
    facts = None if arguments.model is None else read_card(Path(arguments.model)).facts()
    chosen = [_named(name) for name in arguments.names] if arguments.names else all_presets()
    report = []
    for preset in chosen:
        problems: list[PultError] = [] if preset.problem is None else [from_info(preset.problem)]
        for key, value in preset.values.items():
            try:
                check_values({key: value}, facts)
            except BadValue as error:
                problems.append(error)
        if not problems:
            try:
                check_values(preset.values, facts)
            except BadValue as error:
                problems.append(error)
        report.append((preset, problems))
    if arguments.json:
        print_json(
            [
                {
                    "name": preset.name,
                    "ok": not problems,
                    "problems": [problem.info() for problem in problems],
                    "unknown": preset.unknown,
                }
                for preset, problems in report
            ]
        )
    else:
        for preset, problems in report:
            for problem in problems:
                print(f"{preset.name}: {problem.sentence}")
            for key in preset.unknown:
                print(f"{preset.name}: {key} is not known to this version; it is kept and has no effect.")
            if not problems:
                print(f"{preset.name}: can be loaded")
    return 1 if any(problems for _, problems in report) else 0


def _named(name: str) -> Preset:
    path = Path(name)
    if path.suffix.lower() == ".toml":
        return _file(path, shipped=False)
    for preset in all_presets():
        if preset.name.lower() == name.strip().lower():
            return preset
    raise NotFound("There is no preset named {name}. pult presets list shows them.", name=name)


def _in(folder: Path, *, shipped: bool) -> list[Preset]:
    files = sorted(folder.glob("*.toml"), key=lambda path: path.stem.lower()) if folder.is_dir() else []
    return [_file(path, shipped=shipped) for path in files if not path.name.startswith(".")]


def _file(path: Path, *, shipped: bool) -> Preset:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound("There is no file {path}.", path=str(path)) from None
    except UnicodeDecodeError:
        broken = StorageFailed("{path} is not UTF-8 text. Save it as UTF-8.", path=str(path))
        return Preset(name=path.stem, shipped=shipped, path=str(path), problem=broken.info())
    except OSError as error:
        raise StorageFailed("{path} cannot be read: {reason}.", path=str(path), reason=str(error)) from error
    return parse_preset(text, name=path.stem, shipped=shipped, path=str(path))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
