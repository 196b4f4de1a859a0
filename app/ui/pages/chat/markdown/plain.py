"""An answer's words without Markdown."""

from __future__ import annotations

from app.ui.pages.chat.markdown.blocks import Code, Paragraph, Table
from app.ui.pages.chat.markdown.parse import parse


def plain_text(source: str) -> str:
    """Return Markdown as plain text: markers of lists kept, table cells parted by tabs."""
    parts: list[str] = []
    for block in parse(source):
        match block:
            case Paragraph():
                marker = f"{'  ' * max(block.indent - 1, 0)}{block.marker} " if block.marker else ""
                text = marker + block.text.replace("\u2028", "\n")
            case Code():
                text = block.text
            case Table():
                text = "\n".join(
                    "\t".join("".join(run.text for run in cell) for cell in row)
                    for row in (block.head, *block.rows)
                )
            case _:
                continue
        parts.append(text if not parts or (block.tight and parts) else "\n" + text)
    return "\n".join(parts)
