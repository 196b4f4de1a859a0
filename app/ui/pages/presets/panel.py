"""The right panel: the model a preset would be loaded with, what memory arithmetic can say, what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.presets import Preset
from app.shared.settings import changed_stages, settings
from app.shared.telemetry import TelemetrySample
from app.ui.controls import Badge, Button, Combo, ElidedLabel, FlatCombo, Hairline, Label, Surface, ValueRow
from app.ui.forms.row import value_words
from app.ui.i18n import memory, memory_parts, tr
from app.ui.pages.presets.arithmetic import cache_bytes
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.models.card import ModelCard

LOADED = ""  # the key of "what is loaded" among the things to compare with


class LoadPanel(Surface):
    """Model, arithmetic, comparison and Load."""

    loadWanted = Signal()  # noqa: N815
    modelChosen = Signal(str)  # noqa: N815 - the model's path
    comparedChosen = Signal(str)  # noqa: N815 - a preset's name, "" for what is loaded

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bg2", parent, edges="l")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        body = QWidget()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        self._column.addWidget(scroll, 1)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.setSpacing(6)
        self._model_part(layout)
        self._memory_part(layout)
        self._comparison_part(layout)
        layout.addStretch(1)
        self._column.addWidget(Hairline())
        foot = QHBoxLayout()
        foot.setContentsMargins(16, 12, 16, 12)
        self.load = Button(tr("Load"), kind="primary", keys="Ctrl Enter")
        self.load.clicked.connect(self.loadWanted)
        foot.addWidget(self.load, 1)
        self._column.addLayout(foot)

    def _model_part(self, layout: QVBoxLayout) -> None:
        layout.addWidget(Label(tr("Loads with"), "section"))
        self.models = Combo(label=tr("Model"), compact=False)
        self.models.chosen.connect(self.modelChosen)
        layout.addWidget(self.models)
        self.model_words = Label("", "secondary", "text3", wrap=True)
        layout.addWidget(self.model_words)
        layout.addSpacing(6)
        layout.addWidget(Hairline())
        layout.addSpacing(6)

    def _memory_part(self, layout: QVBoxLayout) -> None:
        head = QHBoxLayout()
        head.addWidget(Label(tr("Memory"), "section"))
        head.addStretch(1)
        self.badge = Badge(tr("arithmetic"), "warn")
        head.addWidget(self.badge)
        layout.addLayout(head)
        self.weights = ValueRow(tr("Weights"))
        self.cache = ValueRow(tr("KV cache"))
        self.together = ValueRow(tr("Together"))
        layout.addWidget(self.weights)
        layout.addWidget(self.cache)
        layout.addWidget(self.together)
        self._free_rows = QVBoxLayout()
        self._free_rows.setSpacing(6)
        layout.addLayout(self._free_rows)
        self.memory_words = Label("", "secondary", "text3", wrap=True)
        layout.addWidget(self.memory_words)
        layout.addSpacing(6)
        layout.addWidget(Hairline())
        layout.addSpacing(6)

    def _comparison_part(self, layout: QVBoxLayout) -> None:
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(Label(tr("Compared with"), "section"))
        self.compared = FlatCombo(label=tr("Compared with"))
        self.compared.chosen.connect(self.comparedChosen)
        head.addWidget(self.compared)
        head.addStretch(1)
        layout.addLayout(head)
        self._changes = QVBoxLayout()
        self._changes.setSpacing(4)
        layout.addLayout(self._changes)

    # ---- what is shown

    def show_models(self, cards: Sequence[ModelCard], chosen: str | None) -> None:
        """Offer these models."""
        self.models.set_options([(card.path, card.name, card.quantisation or "") for card in cards])
        if chosen is not None:
            self.models.set_current(chosen)
        self.models.set_reason(None if cards else tr("No model is known yet. Open one with Ctrl+L."))

    def show_model(self, card: ModelCard | None) -> None:
        """Say what the chosen model is."""
        self.load.set_reason(
            None
            if card is not None
            else tr("Choose a model first: Ctrl+L opens a file, or drop one on the window.")
        )
        if card is None:
            self.model_words.setText(tr("No model is known yet. Open a GGUF file with Ctrl+L."))
            return
        words = [card.architecture or ""]
        if card.layers:
            words.append(tr("{layers} layers", layers=card.layers))
        if card.experts:
            words.append(
                tr("{experts} experts, {used} per token", experts=card.experts, used=card.experts_used or 0)
            )
        if card.trained_context:
            words.append(tr("trained on {count} tokens", count=card.trained_context))
        self.model_words.setText(" · ".join(word for word in words if word))

    def show_memory(
        self, card: ModelCard | None, values: Mapping[str, SettingValue], sample: TelemetrySample | None
    ) -> None:
        """Show what the header's numbers add up to, beside what is free now; never more than that."""
        weights = card.weight_bytes or card.file_bytes if card is not None else None
        cache = cache_bytes(card, values) if card is not None else None
        for row, amount in (
            (self.weights, weights),
            (self.cache, cache),
            (self.together, weights + cache if weights is not None and cache is not None else None),
        ):
            number, unit = memory_parts(amount) if amount is not None else ("–", "")
            row.set_value(number, unit)
        self._show_free(sample)
        self.memory_words.setText(
            tr(
                "Worked out from the file's header. Compute buffers and the GPU's own overhead are not in it, nor how the "
                "layers are shared between GPU and RAM."
            )
        )

    def _show_free(self, sample: TelemetrySample | None) -> None:
        _clear(self._free_rows)
        if sample is None:
            return
        for gpu in sample.gpus:
            if gpu.memory_total_bytes is not None and gpu.memory_used_bytes is not None:
                row = ValueRow(tr("Free on GPU {index}", index=str(gpu.index)))
                row.set_value(*memory_parts(gpu.memory_total_bytes - gpu.memory_used_bytes))
                row.setToolTip(tr("of {size}", size=memory(gpu.memory_total_bytes)))
                self._free_rows.addWidget(row)
        row = ValueRow(tr("Free RAM"))
        row.set_value(*memory_parts(sample.host.memory_available_bytes))
        row.setToolTip(tr("of {size}", size=memory(sample.host.memory_total_bytes)))
        self._free_rows.addWidget(row)

    def show_comparison(
        self,
        presets: Sequence[Preset],
        against: str,
        before: Mapping[str, SettingValue] | None,
        after: Mapping[str, SettingValue],
    ) -> None:
        """List what differs between `before` (None: nothing is loaded) and `after`."""
        options = [(LOADED, tr("what is loaded")), *((preset.name, preset.name) for preset in presets)]
        self.compared.set_options(options)
        self.compared.set_current(against)
        _clear(self._changes)
        if before is None:
            self._changes.addWidget(Label(tr("Nothing is loaded."), "secondary", "text3", wrap=True))
            return
        changed = changed_stages(before, after)
        if not changed:
            self._changes.addWidget(Label(tr("No differences."), "secondary", "text3", wrap=True))
        for key in changed:
            self._changes.addWidget(_Change(key, before.get(key), after.get(key)))


class _Change(QWidget):
    """`Context length   8,192 › 131,072`."""

    def __init__(self, key: str, before: SettingValue | None, after: SettingValue | None) -> None:
        super().__init__()
        knob = settings()[key]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(ElidedLabel(tr(knob.label), "secondary", "text2"), 1)
        if knob.key == "system_prompt":
            row.addWidget(Label(tr("differs"), "secondary"))
            return
        was, now = value_words(knob, before), value_words(knob, after)
        row.addWidget(Label(was, "secondary", "text3"))
        row.addWidget(Label("›", "secondary", "text3"))
        row.addWidget(Label(now, "control"))
        self.setToolTip(f"{tr(knob.label)}: {was} › {now}")


def _clear(layout: QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()


def panel_width(*, wide: bool) -> int:
    """Return the panel's width for a window under or over 1,500 px."""
    return theme().width("panel_width", "forecast", wide=wide)
