"""What commands print: JSON for programs, plain lines for people; errors as one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from app.shared.errors import PultError


def print_json(value: Any) -> None:
    """Print a value as one JSON document; models by their fields."""
    print(json.dumps(plain(value), ensure_ascii=False, indent=None, allow_nan=False), flush=True)


def plain(value: Any) -> Any:
    """Return JSON's own types for models and sequences of them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as aligned columns."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def complain(error: PultError, *, as_json: bool) -> int:
    """Say what went wrong and return the exit status: 2 for a wrong request, 1 for everything else."""
    if as_json:
        print_json({"error": error.info().model_dump(mode="json")})
    print(f"pult: {error.sentence}", file=sys.stderr, flush=True)
    return 2 if error.status == 400 else 1
