"""`pult models`: the known models, and what a GGUF file says about itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.cli.arguments import add_json
from app.cli.output import print_json, print_table
from app.client.launch import open_service
from app.models.card import ModelCard, read_card
from app.shared.units import file_size_words


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
