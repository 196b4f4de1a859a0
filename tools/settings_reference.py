"""Writes docs/settings.md from the table of settings; `--check` says whether the file is up to date instead."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.shared.settings import Group, Setting, Stage, settings  # noqa: E402 - found only after the line above

TITLES = {
    Group.MODEL: "Model",
    Group.CONTEXT: "Context",
    Group.EXPERTS: "Experts",
    Group.SAMPLING: "Sampling",
    Group.THINKING: "Thinking",
}
STAGES = {
    Stage.LOAD: "reloads the model",
    Stage.CONTEXT: "builds a new context, the weights stay",
    Stage.SAMPLE: "acts on the next answer",
}
BEGINNING = """\
# Settings

Every setting of Pult, made from the one table in `app/shared/settings_table*.py` by `tools/settings_reference.py`.
The same keys stand in preset files, in `pult chat --set key=value` and in requests over HTTP.
"""


def reference() -> str:
    """Return the whole page."""
    parts = [BEGINNING]
    for group in Group:
        parts.append(f"## {TITLES[group]}\n")
        parts += [entry(knob) for knob in settings().values() if knob.group is group]
    return "\n".join(parts)


def entry(knob: Setting) -> str:
    """Return one knob's section."""
    lines = [f"### `{knob.key}` – {knob.label}", "", knob.changes]
    if knob.belief:
        lines += ["", f"*What people believe:* {knob.belief}"]
    lines += [
        "",
        f"- Values: {values(knob)}",
        f"- Default: {default(knob)}",
        f"- When it acts: {STAGES[knob.stage]}",
    ]
    if knob.moe_only:
        lines.append("- Applies to: mixtures of experts only")
    if knob.needs:
        lines.append(f"- Has an effect only with: `{knob.needs}`")
    lines.append(f"- Ends in: `{knob.lands}`")
    if knob.formerly:
        lines.append("- Also read as: " + ", ".join(f"`{name}`" for name in knob.formerly))
    return "\n".join(lines) + "\n"


def values(knob: Setting) -> str:
    match knob.kind:
        case "bool":
            return "`true`, `false`"
        case "choice":
            return ", ".join(
                f"`{choice.key}`" + (f" ({choice.detail})" if choice.detail else "")
                for choice in knob.choices
            )
        case "text":
            return "text"
    unit = f" {knob.unit}" if knob.unit else ""
    kind = "whole number" if knob.kind == "int" else "number"
    low = "" if knob.low is None else number(knob.low)
    if knob.high_fact in ("layers", "experts"):
        return f"{kind}, {low} to the model's {knob.high_fact}{unit}"
    return f"{kind}, {low} to {'' if knob.high is None else number(knob.high)}{unit}"


def default(knob: Setting) -> str:
    if knob.default is None:
        return knob.automatic
    if isinstance(knob.default, bool):
        return "`true`" if knob.default else "`false`"
    if isinstance(knob.default, (int, float)):
        return f"`{number(knob.default, plain=True)}`"
    return f"`{knob.default}`" if knob.default else "empty"


def number(value: float, *, plain: bool = False) -> str:
    if float(value).is_integer():
        return str(int(value)) if plain else f"{int(value):,}"
    return f"{value:g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="do not write; fail if the page is out of date")
    arguments = parser.parse_args()
    page, path = reference(), ROOT / "docs" / "settings.md"
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    if not arguments.check:
        path.write_text(page, encoding="utf-8", newline="\n")
        return 0
    if present == page:
        return 0
    sys.stderr.writelines(
        difflib.unified_diff(present.splitlines(True), page.splitlines(True), "docs/settings.md", "table")
    )
    print("docs/settings.md is out of date: run python tools/settings_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
