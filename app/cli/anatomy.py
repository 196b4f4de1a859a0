"""`pult anatomy`: the same as `pult models anatomy`, by its short name."""

from __future__ import annotations

from typing import Any

from app.cli.models import add_anatomy


def add_parser(commands: Any) -> None:
    """Declare `pult anatomy`."""
    add_anatomy(
        commands.add_parser("anatomy", help="a model's shape, what its parts weigh, what works on one token")
    )
