"""The shape of the model that a preset would be loaded on: what works per token, what each part weighs, the numbers."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.models.anatomy_parts import Part
from app.models.anatomy_tensors import Anatomy
from app.ui.controls import (
    Button,
    Hairline,
    Label,
    Legend,
    SectionHeading,
    StackBar,
    StackPart,
    Surface,
    ValueRow,
)
from app.ui.i18n import file_size, mark, memory, number, tr
from app.ui.pages.presets.anatomy_chart import ActiveChart, count_words

PART_WORDS: Mapping[Part, str] = {
    Part.EMBEDDING: mark("Embedding"),
    Part.ATTENTION: mark("Attention"),
    Part.RECURRENT: mark("Recurrent layers"),
    Part.DENSE: mark("Dense network"),
    Part.ROUTER: mark("Router"),
    Part.EXPERTS: mark("Experts"),
    Part.SHARED_EXPERT: mark("Shared expert"),
    Part.NORMS: mark("Norms"),
    Part.PREDICTION: mark("Prediction heads"),
    Part.OUTPUT: mark("Output"),
    Part.OTHER: mark("Other"),
}
TWO_COLUMNS = 400  # the width from which the numbers stand in two columns
_SHADES = ("d1", "d2", "d3", "d4", "d5")


class AnatomyView(Surface):
    """`explain_wanted` tells that a configuration file is to be pasted."""

    explain_wanted = Signal()

    def __init__(self, parent: QWidget | None = None, *, ground: str = "bg1", edges: str = "l") -> None:
        super().__init__(ground, parent, edges=edges)
        self._anatomy: Anatomy | None = None
        self._experts: int | None = None
        self.message = Label("", "secondary", "text3", wrap=True)
        self.active_heading = SectionHeading(tr("Parameters that work per token"), tr("by experts"))
        self.chart = ActiveChart()
        self.chart.pointed.connect(lambda _k: self._say_active())
        self.active = Label("", "body", "text", wrap=True)
        self.active_note = Label("", "secondary", "text3", wrap=True)
        self.parts_heading = SectionHeading(tr("Weights by part"))
        self.bar = StackBar(tr("Weights by part"))
        self.legend = Legend(shares=True)
        self.facts = QGridLayout()
        self.facts.setContentsMargins(0, 0, 0, 0)
        self.facts.setHorizontalSpacing(24)
        self.facts.setVerticalSpacing(4)
        self.reason = Label(
            tr(
                "Read-only: it is the shape the weights were trained in. Another shape would need other weights."
            ),
            "secondary",
            "text3",
            wrap=True,
        )
        self.explain = Button(tr("Explain a config.json…"), kind="ghost", compact=True)
        self.explain.clicked.connect(self.explain_wanted)
        self._build()
        self.show_message(tr("Choose a model to see its anatomy."))

    def show_message(self, text: str) -> None:
        """Show a sentence in place of an anatomy: what is missing, or why a file cannot be read."""
        self._anatomy = None
        self.message.setText(text)
        self.message.show()
        self._body.hide()

    def show_anatomy(self, anatomy: Anatomy, experts: int | None) -> None:
        """Show a model's anatomy at this many experts per token; None means as trained."""
        same = anatomy is self._anatomy
        self._anatomy, self._experts = anatomy, experts
        self.message.hide()
        self._body.show()
        mixture = len(anatomy.active) > 1
        self.chart.setVisible(mixture)
        if mixture:
            self.chart.show_amounts(
                [each.parameters for each in anatomy.active],
                trained=anatomy.experts_trained,
                chosen=anatomy.at(experts).experts,
            )
        self.active_heading.set_note(tr("by experts") if mixture else tr("no experts: all of them"))
        self._say_active()
        if not same:
            self._show_parts(anatomy)
            self._show_facts(anatomy)

    def facts_shown(self) -> list[str]:
        """Return the numbers as a screen reader would say them."""
        items = (self.facts.itemAt(place) for place in range(self.facts.count()))
        widgets = [widget for item in items if item is not None and (widget := item.widget()) is not None]
        return [widget.accessibleName() for widget in widgets]

    def needed_width(self) -> int:
        """Return the width in pixels below which something would be cut off."""
        return self._inside.minimumSizeHint().width() + 1

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        columns_change = (event.size().width() >= TWO_COLUMNS) != (event.oldSize().width() >= TWO_COLUMNS)
        if columns_change and self._anatomy is not None:
            self._show_facts(self._anatomy)

    # inside

    def _build(self) -> None:
        inside = self._inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(16, 16, 16, 24)
        column.setSpacing(16)
        column.addWidget(self.message)
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(8)
        for part in (self.active_heading, self.chart, self.active, self.active_note, Hairline()):
            body.addWidget(part)
        body.addWidget(self.parts_heading)
        body.addWidget(self.bar)
        body.addWidget(self.legend)
        body.addWidget(Hairline())
        body.addWidget(SectionHeading(tr("Anatomy"), tr("read-only")))
        body.addLayout(self.facts)
        body.addWidget(self.reason)
        column.addWidget(self._body)
        below = QHBoxLayout()
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.explain)
        below.addStretch(1)
        column.addLayout(below)
        column.addStretch(1)
        view = QScrollArea()
        view.setWidgetResizable(True)
        view.setFrameShape(QFrame.Shape.NoFrame)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setWidget(inside)
        view.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(1, 0, 0, 0)
        outside.addWidget(view)

    def _say_active(self) -> None:
        found = self._anatomy
        if found is None:
            return
        at = found.at(self.chart.pointed_at or self._experts)
        if at.experts is None:
            self.active.setText(
                tr("All {parameters} parameters work on every token.", parameters=count_words(at.parameters))
            )
        else:
            self.active.setText(
                tr(
                    "With {experts} of {count} experts {active} of {parameters} parameters work.",
                    experts=at.experts,
                    count=found.experts,
                    active=count_words(at.parameters),
                    parameters=count_words(found.parameters),
                )
            )
        if at.read_bytes is None or found.weight_bytes is None:
            self.active_note.setText(tr("The file has tensors of a type whose size is not known here."))
        else:
            self.active_note.setText(
                tr(
                    "{weight_bytes} of weights are in memory; {read_bytes} of them are read for each token, and the KV cache.",
                    weight_bytes=found.weight_bytes,
                    read_bytes=at.read_bytes,
                )
            )

    def _show_parts(self, anatomy: Anatomy) -> None:
        known = sorted(anatomy.parts, key=lambda size: -(size.size_bytes or 0))
        shades = {size.part: shade for size, shade in zip(known, _SHADES, strict=False)}
        parts = [
            StackPart(
                label=tr(PART_WORDS[size.part]),
                amount=float(size.size_bytes or 0),
                color=shades.get(size.part, "other"),
                text="–" if size.size_bytes is None else memory(size.size_bytes),
            )
            for size in known
        ]
        total = float(sum(part.amount for part in parts))
        self.bar.set_parts(parts, total)
        self.legend.set_parts(parts, total)
        self.parts_heading.set_note("" if anatomy.weight_bytes is None else memory(anatomy.weight_bytes))

    def _show_facts(self, anatomy: Anatomy) -> None:
        while (item := self.facts.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        columns = 2 if self.width() >= TWO_COLUMNS else 1
        for place, (label, value) in enumerate(_facts(anatomy)):
            self.facts.addWidget(ValueRow(label, value), place // columns, place % columns)
        self.facts.setColumnStretch(0, 1)
        self.facts.setColumnStretch(1, 1 if columns == 2 else 0)
        self.facts.setHorizontalSpacing(24 if columns == 2 else 0)


def _facts(anatomy: Anatomy) -> list[tuple[str, str]]:
    def words(*values: float | None) -> str:
        return ", ".join("–" if value is None else number(value) for value in values)

    found = [(tr("Layers"), words(anatomy.layers))]
    if anatomy.hybrid:
        found.append((tr("Attention, recurrent"), words(anatomy.attention_layers, anatomy.recurrent_layers)))
    found += [
        (tr("Heads, KV heads"), words(anatomy.heads, anatomy.kv_heads)),
        (tr("Head size"), words(anatomy.key_length)),
        (tr("Hidden size"), words(anatomy.embedding)),
    ]
    if anatomy.experts:
        found.append((tr("Experts, trained k"), words(anatomy.experts, anatomy.experts_trained)))
        found.append((tr("Expert width"), words(anatomy.expert_width)))
    if anatomy.shared_expert_width is not None:
        found.append((tr("Shared expert width"), words(anatomy.shared_expert_width)))
    if not anatomy.experts or anatomy.expert_layers < (anatomy.layers or 0):
        found.append((tr("Dense width"), words(anatomy.feed_forward)))
    found += [
        (tr("Vocabulary"), words(anatomy.vocabulary)),
        (tr("Trained length"), words(anatomy.trained_context)),
        (tr("RoPE theta"), words(anatomy.rope_base)),
        (tr("Parameters"), count_words(anatomy.parameters)),
        (tr("Output matrix"), tr("the embedding") if anatomy.tied_output else tr("its own")),
    ]
    if anatomy.file_bytes is not None:
        found.append(
            (tr("File"), ", ".join(filter(None, [file_size(anatomy.file_bytes), anatomy.quantisation])))
        )
    return found
