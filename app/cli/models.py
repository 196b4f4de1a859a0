"""`pult models`: the known models, and what a GGUF file says about itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from app.cli.arguments import add_json
from app.cli.output import print_json, print_table
from app.client.launch import open_service
from app.models.anatomy_tensors import read_anatomy
from app.models.card import ModelCard, read_card
from app.models.hf_config import explain
from app.shared.errors import BadRequest, NotFound
from app.shared.settings import ModelFacts, check_values
from app.shared.units import file_size_words, memory_words


def add_parser(commands: Any) -> None:
    """Declare `pult models`."""
    parser = commands.add_parser("models", help="known models; what a GGUF file says")
    inside = parser.add_subparsers(dest="what", required=True)
    listing = inside.add_parser("list", help="the guide, files opened before, watched folders")
    add_json(listing)
    listing.set_defaults(run=run_list)
    looking = inside.add_parser(
        "inspect", help="one file's header; no weights are read, no service is needed"
    )
    looking.add_argument("file")
    add_json(looking)
    looking.set_defaults(run=run_inspect)
    shape = inside.add_parser(
        "anatomy",
        help="one file's shape, what its parts weigh, what works on one token; no service is needed",
    )
    add_anatomy(shape)
    explaining = inside.add_parser(
        "explain",
        help="a config.json, generation_config.json, tokenizer_config.json or GGUF keys, line by line",
    )
    explaining.add_argument("file", metavar="FILE|-", help="- reads the standard input")
    add_json(explaining)
    explaining.set_defaults(run=run_explain)


def add_anatomy(parser: argparse.ArgumentParser) -> None:
    """The options of `pult models anatomy`, which `pult anatomy` has too."""
    parser.add_argument("file")
    parser.add_argument(
        "--experts",
        type=int,
        default=None,
        metavar="K",
        help="count with K experts per token; default: as trained",
    )
    add_json(parser)
    parser.set_defaults(run=run_anatomy)


def run_list(arguments: argparse.Namespace) -> int:
    """Print the known models."""
    service = open_service()
    client = service.client()
    try:
        cards = client.models()
    finally:
        client.close()
        service.close()
    if arguments.json:
        print_json(cards)
        return 0
    print_table([_row(card) for card in cards])
    return 0


def run_inspect(arguments: argparse.Namespace) -> int:
    """Print one file's card; a file that cannot be used is an error."""
    card = read_card(Path(arguments.file).expanduser().absolute())
    if arguments.json:
        print_json(card)
        return 0
    shown = card.model_dump(exclude={"problem", "guide", "opened_at", "modified_at", "default_preset"})
    print_table([(name.replace("_", " "), _word(name, value)) for name, value in shown.items()])
    return 0


def run_anatomy(arguments: argparse.Namespace) -> int:
    """Print the anatomy of a file; with `--json` the line of `active` that was asked for stands under `at`."""
    found = read_anatomy(Path(arguments.file).expanduser().absolute())
    if arguments.experts is not None:
        check_values(
            {"experts": arguments.experts},
            ModelFacts(architecture=found.architecture or found.name, experts=found.experts),
        )
    at = found.at(arguments.experts)
    if arguments.json:
        print_json({**found.model_dump(mode="json"), "at": at.model_dump(mode="json")})
        return 0
    shown = found.model_dump(exclude={"parts", "active"})
    print_table([(name.replace("_", " "), _word(name, value)) for name, value in shown.items()])
    print()
    heads = ("part", "tensors", "parameters", "size")
    print_table(
        [heads]
        + [
            (part.part.replace("_", " "), f"{part.tensors:,}", f"{part.parameters:,}", _size(part.size_bytes))
            for part in found.parts
        ]
    )
    print()
    with_experts = "" if at.experts is None else f" with {at.experts} of {found.experts} experts"
    print(
        f"On one token work {at.parameters:,} of {found.parameters:,} parameters{with_experts};"
        f" {_size(at.read_bytes)} of {_size(found.weight_bytes)} of weights are read."
    )
    return 0


def run_explain(arguments: argparse.Namespace) -> int:
    """Print what each line means, then what a preset can take over."""
    found = explain(_text(arguments.file))
    if arguments.json:
        print_json(found)
        return 0
    for line in found.lines:
        meaning = "not known to Pult" if line.meaning is None else line.meaning.text
        print(f"{line.key} = {line.value}\n    {meaning}")
        if line.refused is not None:
            print(f"    {line.refused.text}")
    if found.left_out:
        print(f"{found.left_out:,} more lines are left out.")
    if found.values:
        print("\nFor a preset:")
        print_table([(f"  {key}", str(value)) for key, value in found.values.items()])
    return 0


def _text(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    path = Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound("There is no file {path}.", path=str(path)) from None
    except UnicodeDecodeError:
        raise BadRequest("{path} is not UTF-8 text. Give a config.json.", path=str(path)) from None


def _size(size_bytes: int | None) -> str:
    return "not known" if size_bytes is None else memory_words(size_bytes)


def _row(card: ModelCard) -> tuple[str, ...]:
    if card.problem is not None:
        return (card.name, "", "", card.problem.sentence)
    size = "" if card.file_bytes is None else file_size_words(card.file_bytes)
    return (card.name, card.quantisation or "", size, card.path)


def _word(name: str, value: object) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return file_size_words(value) if name.endswith("_bytes") else f"{value:,}"
    return str(value)
