"""The context ledger: system prompt, history, thinking and what is free, as a bar and as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.controls import Label, Legend, SectionHeading, StackBar, StackPart
from app.ui.i18n import ntr, number, tr

if TYPE_CHECKING:
    from app.shared.engine import TokenCounts


class Ledger(QWidget):
    """Shows a count; None says that there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(8)
        self.heading = SectionHeading(tr("Context"))
        self.bar = StackBar(tr("Context"))
        self.legend = Legend(shares=True)
        self.note = Label(tr("Counted as soon as a model is loaded."), "secondary", "text3", wrap=True)
        for part in (self.heading, self.bar, self.legend, self.note):
            column.addWidget(part)
        self.show_counts(None)

    def show_counts(self, counts: TokenCounts | None) -> None:
        """Show how the context is filled."""
        known = counts is not None
        self.bar.setVisible(known and counts is not None and counts.context is not None)
        self.legend.setVisible(known)
        self.note.setVisible(not known)
        if counts is None:
            self.heading.set_note("")
            return
        # What the template adds around the messages belongs to no part: it is counted as history.
        history = max(counts.history, counts.total - counts.system - counts.thinking)
        parts = [
            StackPart(
                label=tr("System prompt"), amount=counts.system, color="d1", text=number(counts.system)
            ),
            StackPart(label=tr("History"), amount=history, color="d4", text=number(history)),
            StackPart(label=tr("Thinking"), amount=counts.thinking, color="d5", text=number(counts.thinking)),
        ]
        if counts.context is None:
            self.heading.set_note(ntr("{n} token", "{n} tokens", counts.total))
            self.legend.set_parts(parts)
            return
        free = max(0, counts.context - counts.total)
        self.heading.set_note(tr("{used} of {size}", used=counts.total, size=counts.context))
        self.bar.set_parts(parts, counts.context)
        self.legend.set_parts(parts, counts.context, free=(tr("Free"), number(free)))
