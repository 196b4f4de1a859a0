"""One knob as a row: label, control, number, stage; unfolded under the focus with what it changes and what people believe."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.errors import BadValue
from app.shared.settings import ModelFacts, Setting
from app.ui.controls import (
    Card,
    Combo,
    Label,
    NumberField,
    RichText,
    Segments,
    Slider,
    StageBadge,
    Switch,
    TextArea,
    TextField,
)
from app.ui.i18n import error_sentence, language, number, tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from collections.abc import Callable

# Where a slider ends when the table's own limit is far beyond use; the field takes more. None: a field alone.
SLIDER_TOP: dict[str, float | None] = {
    "context": 262_144,
    "gpu_layers": 128,
    "moe_cpu_layers": 128,
    "experts": 128,
    "threads": 64,
    "batch_threads": 64,
    "yarn_factor": 16,
    "batch": 8192,
    "ubatch": 8192,
    "temperature": 2,
    "top_k": 100,
    "repeat_last": 4096,
    "max_tokens": 32_768,
    "thinking_budget": 32_768,
    "main_gpu": None,
    "yarn_original_context": None,
    "rope_base": None,
    "seed": None,
}
MOST_SEGMENTS = 4
WIDE_FIELD = 176
AUTOMATIC = ""


class SettingRow(Card):
    """The row of one knob. `edited` carries the new value, None for "automatic"; a refused entry changes nothing."""

    edited = Signal(object)

    def __init__(self, knob: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent, fill=None, margins=(12, 0, 8, 0), spacing=0)
        self.knob = knob
        self._facts: ModelFacts | None = None
        self._show_value: Callable[[SettingValue | None], None]
        self.slider: Slider | None = None
        self.field: NumberField | None = None
        self.control: QWidget
        self.label = Label(tr(knob.label), "body")
        self.label.setFixedWidth(theme().by_language("form_label", language()))
        self.label.setWordWrap(True)
        self.stage = StageBadge(knob.stage)
        self._line = QHBoxLayout()
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(12)
        self._line.addWidget(self.label)
        self._fill_line()
        stage = QWidget()
        stage.setFixedWidth(theme().by_language("form_stage", language()))
        inside = QHBoxLayout(stage)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.stage)
        inside.addStretch(1)
        self._line.addWidget(stage)
        line = QWidget()
        line.setLayout(self._line)
        line.setMinimumHeight(theme().metric("form_row"))
        self.body.addWidget(line)
        self.problem = Label("", "secondary", "err", wrap=True)
        self.problem.hide()
        self.body.addWidget(self.problem)
        self._explanation: RichText | None = None
        self.set_value(knob.default)

    # what others set

    def set_value(self, value: SettingValue | None) -> None:
        """Show a value without telling `edited`; None is "automatic"."""
        self._show_value(value)

    def set_facts(self, facts: ModelFacts | None) -> None:
        """Take a model's bounds and ticks; a knob that reaches nothing in it is greyed with the reason."""
        self._facts = facts
        if self.field is None:
            return
        limit = self.knob.limit(facts)
        known = facts is not None and self.knob.high_fact in ("layers", "experts") and limit != self.knob.high
        unit = tr("of {count}", count=number(limit)) if known and limit is not None else tr(self.knob.unit)
        self.field.set_unit(unit)
        hard = self.knob.high if self.knob.high_fact == "layers" else limit
        self.field.set_range(self.knob.low, hard)
        if self.slider is not None:
            top = self._slider_top()
            self.slider.set_scale(
                self._plain(self.knob.low or 0),
                top,
                step=self._plain(self.knob.step or 1),
                logarithmic=self.knob.logarithmic,
            )
            self.slider.set_tick(self._tick())
            self._show_value(self.field.number())

    def set_reason(self, reason: str | None) -> None:
        """Grey the row and say why in its tooltip; the value is kept. None lifts it."""
        self.label.set_color("text3" if reason else "text")
        self.setToolTip(reason or "")
        for control in (self.control, self.slider, self.field):
            if isinstance(control, (Slider, NumberField, Segments, Combo, Switch, TextField, TextArea)):
                control.set_reason(reason)

    def set_problem(self, sentence: str) -> None:
        """Show what is wrong with the value under the row; empty when it is good."""
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    def set_changed(self, changed: bool) -> None:
        """Mark that the value differs from what is loaded."""
        self.stage.set_changed(changed)

    def unfold(self, opened: bool) -> None:
        """Show or hide the explanation; only one row of a form has it open."""
        if opened and self._explanation is None:
            self._explanation = RichText(self._words, "secondary", "text2")
            self._explanation.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self.body.addWidget(self._explanation)
        if self._explanation is not None:
            self._explanation.setVisible(opened)
        self.set_fill("bg2" if opened else None)
        self.set_marked(opened)
        self.body.setContentsMargins(12, 2 if opened else 0, 8, 10 if opened else 0)

    @property
    def unfolded(self) -> bool:
        return self._explanation is not None and not self._explanation.isHidden()

    def focus_control(self) -> None:
        """Put the focus where the value is set."""
        target = self.slider or self.field or self.control
        if isinstance(target, Segments):
            target = target.button(target.current() or self.knob.choices[0].key)
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.unfolded:  # a folded row stands on the bare ground
            super().paintEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.focus_control()
        super().mousePressEvent(event)

    # the controls

    def _fill_line(self) -> None:
        name = tr(self.knob.label)
        match self.knob.kind:
            case "int" | "float":
                self._number_controls(name)
            case "bool":
                self._switch(name)
            case "choice":
                self._choices(name)
            case _:
                self._text(name)

    def _number_controls(self, name: str) -> None:
        knob = self.knob
        self.field = NumberField(
            label=name,
            low=None if knob.low is None else self._plain(knob.low),
            high=None if knob.high is None else self._plain(knob.high),
            step=self._plain(knob.step or 1),
            decimals=self._decimals(),
            unit=tr(knob.unit),
            automatic=tr(knob.automatic) if knob.default is None else None,
        )
        self.field.set_check(self._refusal)
        self.field.numberEdited.connect(self._number_edited)
        self.field.problemChanged.connect(self.set_problem)
        has_slider = SLIDER_TOP.get(knob.key, knob.high) is not None
        self.field.setFixedWidth(theme().metric("form_number") if has_slider else WIDE_FIELD)
        self.control = self.field
        if has_slider:
            self.slider = Slider(
                label=name,
                low=self._plain(knob.low or 0),
                high=self._slider_top(),
                step=self._plain(knob.step or 1),
                logarithmic=knob.logarithmic,
                tick=self._tick(),
            )
            self.slider.numberEdited.connect(self._number_edited)
            self._line.addWidget(self.slider, 1)
        else:
            self._line.addStretch(1)
        self._line.addWidget(self.field)

        def show(value: SettingValue | None) -> None:
            assert self.field is not None
            amount = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
            self.field.set_number(amount)
            if self.slider is not None:
                resting = self._tick() if self._tick() is not None else self._resting()
                self.slider.set_number(resting if amount is None and resting is not None else amount or 0)

        self._show_value = show

    def _number_edited(self, value: int | float | None) -> None:
        if value is not None and self._refusal(value):
            return
        self._show_value(value)
        self.edited.emit(value)

    def _switch(self, name: str) -> None:
        switch = Switch(name)
        switch.clicked.connect(lambda on: self.edited.emit(bool(on)))
        self.control = switch
        self._line.addWidget(switch)
        self._line.addStretch(1)
        self._show_value = lambda value: switch.setChecked(bool(value))

    def _choices(self, name: str) -> None:
        options = [(choice.key, tr(choice.label), choice.detail) for choice in self.knob.choices]
        if self.knob.default is None:
            options.insert(0, (AUTOMATIC, tr("As the file"), ""))
        box: Segments | Combo
        if len(options) <= MOST_SEGMENTS:
            box = Segments([(key, word) for key, word, _ in options], label=name)
        else:
            words = [(key, f"{word} · {tr(detail)}" if detail else word) for key, word, detail in options]
            box = Combo(words, label=name)
            box.setFixedWidth(180)
        box.chosen.connect(lambda key: self.edited.emit(key or None))
        self.control = box
        self._line.addWidget(box)
        self._line.addStretch(1)
        self._show_value = lambda value: box.set_current(AUTOMATIC if value is None else str(value))

    def _text(self, name: str) -> None:
        if self.knob.key == "system_prompt":
            area = TextArea(label=name, placeholder=tr("None"), min_height=72, max_height=200)
            area.textChanged.connect(lambda: self._text_edited(area.toPlainText()))
            self.control = area
            self._line.addWidget(area, 1)

            def show_area(value: SettingValue | None) -> None:
                words = str(value or "")
                if area.toPlainText() != words:
                    area.blockSignals(True)
                    area.setPlainText(words)
                    area.blockSignals(False)

            self._show_value = show_area
            return
        field = TextField(label=name, placeholder=tr(self.knob.automatic), compact=True)
        field.textEdited.connect(lambda text: self._text_edited(text.strip()))
        self.control = field
        self._line.addWidget(field, 1)

        def show_field(value: SettingValue | None) -> None:
            if field.text() != str(value or ""):
                field.setText(str(value or ""))

        self._show_value = show_field

    def _text_edited(self, text: str) -> None:
        self.edited.emit(text if text or self.knob.default is not None else None)

    # numbers

    def _refusal(self, value: int | float) -> str:
        try:
            self.knob.check(value, self._facts if self.knob.applies(self._facts) else None)
        except BadValue as error:
            return error_sentence(error.info())
        return ""

    def _tick(self) -> int | float | None:
        if self.knob.key == "experts":
            return None if self._facts is None else self._facts.experts_trained
        if self.knob.key == "context" and self._facts is not None and self._facts.trained_context is not None:
            return self._facts.trained_context
        value = self.knob.default
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def _resting(self) -> int | float:
        """Where the handle stands while the value is automatic and no tick is known."""
        return (
            self._slider_top()
            if self.knob.key in ("gpu_layers", "max_tokens", "thinking_budget")
            else self._plain(self.knob.low or 0)
        )

    def _slider_top(self) -> int | float:
        knob, facts = self.knob, self._facts
        limit = knob.limit(facts)
        if knob.high_fact == "trained_context":
            trained = facts.trained_context if facts is not None else None
            return max(int(SLIDER_TOP[knob.key] or 0), 4 * (trained or 0))
        if knob.high_fact and facts is not None and limit != knob.high and limit is not None:
            return self._plain(limit)
        return self._plain(SLIDER_TOP.get(knob.key, knob.high) or 1)

    def _plain(self, value: float) -> int | float:
        return int(value) if self.knob.kind == "int" else float(value)

    def _decimals(self) -> int:
        step = self.knob.step or 1.0
        if self.knob.kind == "int" or step >= 1:
            return 0
        return 3 if (self.knob.low or 1.0) == 0.001 else 2

    def _words(self) -> str:
        knob = self.knob
        # The extraction of phrases does not look into f-strings, so these two stand outside.
        changes, believed = tr("What it changes."), tr("What people believe.")
        told = f"<b>{html.escape(changes)}</b> {html.escape(tr(knob.changes))}"
        if knob.belief:
            told += f" <b>{html.escape(believed)}</b> {html.escape(tr(knob.belief))}"
        return told
