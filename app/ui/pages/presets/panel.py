"""What the preset would mean: the model it is for, memory as far as the header tells, the difference to another preset, Load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.models.anatomy import kv_cache_bytes
from app.models.card import ModelCard
from app.shared.engine import LoadedModel, SettingValue
from app.shared.errors import ErrorInfo, PultError
from app.shared.forecast import FitAnswer, Forecast, ForecastRecord, Keep
from app.shared.presets import Preset
from app.shared.settings import settings
from app.ui.controls import (
    Badge,
    Button,
    ElidedLabel,
    FlatCombo,
    Hairline,
    Label,
    Menu,
    MenuButton,
    SectionHeading,
    Surface,
    ValueRow,
)
from app.ui.forms.words import value_words
from app.ui.i18n import error_sentence, file_size, mark, memory_parts, number, tr
from app.ui.operations import Operations
from app.ui.pages.presets.forecast_asking import ForecastAsking
from app.ui.pages.presets.forecast_view import ForecastView, said

LOADED_NOW = "\x00loaded"
OTHER_FILE = "\x00file"
MOST_DIFFERENCES = 12
LEARNT_MS = 3000
_KEEPS: tuple[tuple[Keep, str], ...] = (
    ("context", mark("Keep the context")),
    ("speed", mark("Keep the speed")),
    ("kv_precision", mark("Keep the cache's precision")),
)


class PresetPanel(Surface):
    """`model_chosen` tells a path, `file_wanted` that one is to be looked for, `load_wanted` that Load was pressed.

    With `operations` it asks the service for forecasts, and `fitted` brings the settings to change so that it
    fits; without, it shows arithmetic.
    """

    model_chosen = Signal(str)
    file_wanted = Signal()
    load_wanted = Signal()
    fitted = Signal(object)

    def __init__(self, operations: Operations | None = None) -> None:
        super().__init__("bg1", edges="l")
        self._values: Mapping[str, SettingValue] = {}
        self._cards: Sequence[ModelCard] = ()
        self._card: ModelCard | None = None
        self._presets: Sequence[Preset] = ()
        self._loaded: LoadedModel | None = None
        self.model = FlatCombo(label=tr("Model to load"))
        self.model.chosen.connect(self._model_chosen)
        self.model_line = Label("", "secondary", "text3", wrap=True)
        self.memory = QVBoxLayout()
        self.memory.setSpacing(2)
        self.note = Label("", "secondary", "text3", wrap=True)
        self.forecast = ForecastView()
        self.forecast.hide()
        self.gave_up = Label("", "secondary", "text2", wrap=True)
        self.gave_up.hide()
        self._operations = operations
        self._asking: ForecastAsking | None = None
        if operations is not None:
            self._asking = ForecastAsking(operations, self)
            self._asking.told.connect(self._show_forecast)
            self._asking.refused.connect(self._show_refusal)
            self._asking.records.connect(self._show_records)
        self._learnt = QTimer(self)  # the service measures a load after it has said that it is done
        self._learnt.setSingleShot(True)
        self._learnt.setInterval(LEARNT_MS)
        self._learnt.timeout.connect(self._ask_all)
        self.compare = FlatCombo(label=tr("Compared with"))
        self.compare.chosen.connect(lambda _key: self._show_differences())
        self.differences = QVBoxLayout()
        self.differences.setSpacing(2)
        self.load = Button(tr("Load"), kind="primary", keys="Ctrl Enter")
        self.load.clicked.connect(self.load_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(_block(_head(tr("Load on"), self.model), self.model_line))
        column.addWidget(Hairline())
        memory = SectionHeading(tr("Memory"))
        memory.add_widget(Badge(tr("arithmetic"), "warn"))
        self._arithmetic = _block(memory, self.memory, self.note)
        column.addWidget(self._arithmetic)
        self._forecast_block = _block(self.forecast, self.gave_up)
        self._forecast_block.hide()
        column.addWidget(self._forecast_block)
        column.addWidget(Hairline())
        column.addWidget(_block(_head(tr("Compared with"), self.compare), self.differences))
        column.addStretch(1)
        column.addWidget(Hairline())
        foot = QWidget()
        buttons = QHBoxLayout(foot)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(8)
        menu = Menu(self)
        for keep, words in _KEEPS:
            menu.addAction(tr(words), partial(self._fit, keep))
        self.fit = MenuButton(tr("Fit…"), menu)
        if operations is None:  # shown without a parent it would be a window of its own for a moment
            self.fit.hide()
        self.fit.set_reason(tr("Choose a model first."))
        buttons.addWidget(self.fit)
        buttons.addWidget(self.load, 1)
        column.addWidget(_block(foot, spacing=12))

    def card(self) -> ModelCard | None:
        """Return the model the preset would be loaded on."""
        return self._card

    def differences_shown(self) -> list[str]:
        """Return the lines of the comparison, as a screen reader would say them."""
        return _spoken(self.differences)

    def memory_shown(self) -> list[str]:
        """Return the lines of the memory block."""
        return _spoken(self.memory)

    def show_models(self, cards: Sequence[ModelCard], chosen: ModelCard | None) -> None:
        """Offer these models."""
        self._card = chosen
        self._cards = (
            cards if chosen is None or any(card.path == chosen.path for card in cards) else (*cards, chosen)
        )
        options = [(card.path, card.name) for card in self._cards]
        self.model.set_options([*options, (OTHER_FILE, tr("Another file…"))])
        self.model.set_current(chosen.path if chosen is not None else OTHER_FILE)
        self._show_memory()

    def show_values(self, values: Mapping[str, SettingValue]) -> None:
        """Take the values of the form."""
        if dict(values) != dict(self._values):
            self.gave_up.hide()
        self._values = values
        self._show_memory()
        self._show_differences()

    def show_loaded(self, model: LoadedModel | None) -> None:
        """Take what is loaded, for the comparison."""
        if model != self._loaded:
            self._ask_all()
            self._learnt.start()
            newly, self._loaded = self._loaded is None, model
            self._offer_comparisons(prefer=LOADED_NOW if newly else None)

    def show_presets(self, presets: Sequence[Preset]) -> None:
        """Offer these for comparison."""
        self._presets = presets
        self._offer_comparisons()

    def set_load_reason(self, reason: str | None) -> None:
        """Say why loading is not possible now; None when it is."""
        self.load.set_reason(reason)

    def _model_chosen(self, key: str) -> None:
        if key == OTHER_FILE:
            if self._card is not None:
                self.model.set_current(self._card.path)
            self.file_wanted.emit()
        else:
            self.model_chosen.emit(key)

    def _offer_comparisons(self, *, prefer: str | None = None) -> None:
        before = prefer or self.compare.current()
        options = [(LOADED_NOW, tr("what is loaded"))] if self._loaded is not None else []
        options += [(preset.name, preset.name) for preset in self._presets if preset.problem is None]
        self.compare.set_options(options)
        keys = [key for key, _ in options]
        if before in keys:
            self.compare.set_current(str(before))
        elif keys:
            self.compare.set_current(keys[0])
        self._show_differences()

    def _show_memory(self) -> None:
        self._ask()
        _empty(self.memory)
        card = self._card
        if card is None or card.problem is not None:
            self._swap(forecast=False)
        if card is None:
            self.model_line.setText(tr("Choose a model to see its bounds and what it takes."))
            self.note.setText("")
            return
        if card.problem is not None:
            self.model_line.setText(error_sentence(card.problem))
            self.note.setText("")
            return
        told = [card.architecture or "", card.quantisation or ""]
        if card.file_bytes is not None:
            told.append(tr("{size} on disk", size=file_size(card.file_bytes)))
        self.model_line.setText(" · ".join(word for word in told if word))
        cache = kv_cache_bytes(card, self._values)
        for label, size in ((tr("Weights"), card.weight_bytes), (tr("KV cache"), cache)):
            row = ValueRow(label)
            row.set_value(*(("–", "") if size is None else memory_parts(size)))
            self.memory.addWidget(row)
        if card.weight_bytes is not None and cache is not None:
            row = ValueRow(tr("Together"))
            row.set_value(*memory_parts(card.weight_bytes + cache))
            self.memory.addWidget(row)
        self.note.setText(
            tr(
                "Computed from the file's header. Compute buffers, the driver's share and what other programs use are not in it."
            )
        )

    # forecasts

    def _ask(self, *, records: bool = False) -> None:
        """Have the forecast made for what stands here, if there is a model for it."""
        usable = self._card is not None and self._card.problem is None
        self.fit.set_reason(None if usable else tr("Choose a model first."))
        if self._asking is None:
            return
        if usable and self._card is not None:
            self._asking.want(self._card.path, self._values)
        if records:
            self._asking.want_records()

    def _ask_all(self) -> None:
        self._ask(records=True)

    def _show_forecast(self, told: Forecast) -> None:
        if self._card is None or self._card.path != told.model_path:
            return
        self.forecast.show_forecast(told)
        self._swap(forecast=True)

    def _show_refusal(self, problem: ErrorInfo) -> None:
        """A value that may not be is said in the forecast's place; any other failure leaves the arithmetic."""
        if problem.status < 500:
            self.forecast.show_problem(problem)
        self._swap(forecast=problem.status < 500)

    def _show_records(self, records: tuple[ForecastRecord, ...]) -> None:
        self.forecast.show_records(records)

    def _swap(self, *, forecast: bool) -> None:
        self._arithmetic.setVisible(not forecast)
        self._forecast_block.setVisible(forecast)
        self.forecast.setVisible(forecast)

    def _fit(self, keep: Keep) -> None:
        card, values = self._card, dict(self._values)
        if self._operations is None or card is None:
            return
        self.fit.set_reason(tr("Looking for settings that fit."))
        self._operations.run(
            self,
            lambda client: client.fit(card.path, preset="", values=values, keep=keep),
            done=self._take_fit,
            failed=self._no_fit,
        )

    def _take_fit(self, answer: FitAnswer) -> None:
        self.fit.set_reason(None)
        if answer.found:
            self.fitted.emit(dict(answer.changed))
        self.gave_up.setText("\n".join(said(sentence) for sentence in answer.gave_up))
        self.gave_up.show()

    def _no_fit(self, error: PultError) -> None:
        self.fit.set_reason(None)
        self._show_refusal(error.info())

    def _show_differences(self) -> None:
        _empty(self.differences)
        other: Mapping[str, SettingValue]
        key = self.compare.current()
        if key == LOADED_NOW and self._loaded is not None:
            other = self._loaded.values
        else:
            found = next((preset for preset in self._presets if preset.name == key), None)
            if found is None:
                self.differences.addWidget(Label(tr("Nothing to compare with yet."), "secondary", "text3"))
                return
            other = found.values
        different = [
            (knob, other.get(name, knob.default), self._values.get(name, knob.default))
            for name, knob in settings().items()
            if other.get(name, knob.default) != self._values.get(name, knob.default)
        ]
        for knob, before, after in different[:MOST_DIFFERENCES]:
            self.differences.addWidget(
                _Difference(tr(knob.label), value_words(knob, before), value_words(knob, after))
            )
        if len(different) > MOST_DIFFERENCES:
            text = tr("and {count} more", count=number(len(different) - MOST_DIFFERENCES))
            self.differences.addWidget(Label(text, "secondary", "text3"))
        if not different:
            self.differences.addWidget(Label(tr("The same values."), "secondary", "text3"))


class _Difference(QWidget):
    def __init__(self, label: str, before: str, after: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(ElidedLabel(label, "secondary", "text2"), 1)
        row.addWidget(Label(before, "secondary", "text3"))
        row.addWidget(Label("›", "secondary", "text3"))
        row.addWidget(Label(after, "label_strong"))
        self.setAccessibleName(
            tr("{label}: {before} becomes {after}", label=label, before=before, after=after)
        )


def _head(text: str, combo: FlatCombo) -> QWidget:
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    row.addWidget(Label(text, "section"))
    row.addWidget(combo)
    row.addStretch(1)
    return box


def _block(*parts: QWidget | QVBoxLayout, spacing: int = 12) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(16, spacing, 16, spacing)
    column.setSpacing(6)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)
    return box


def _empty(column: QVBoxLayout) -> None:
    while (item := column.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()


def _spoken(column: QVBoxLayout) -> list[str]:
    items = (column.itemAt(place) for place in range(column.count()))
    widgets = [widget for item in items if item is not None and (widget := item.widget()) is not None]
    return [widget.text() if isinstance(widget, Label) else widget.accessibleName() for widget in widgets]
