"""Pages are made anew when the language changes; what outlives them must not hold on to them."""

from __future__ import annotations

import re
from pathlib import Path

UI = Path(__file__).resolve().parents[3] / "app" / "ui"
# Qt forgets a bound method with its object, a lambda it keeps: senders that outlive a page must get methods.
LASTING = re.compile(r"\b(state|bridge|themes\(\)|tongue\(\))\.\w+\.connect\(\s*(lambda|partial)\b")


def test_no_lambda_on_a_lasting_sender() -> None:
    found = [
        f"{file.relative_to(UI)}: {match.group(0)}"
        for file in UI.rglob("*.py")
        for match in LASTING.finditer(file.read_text(encoding="utf-8"))
    ]
    assert found == []
