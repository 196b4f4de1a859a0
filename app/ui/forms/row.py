"""One knob of the form: label, control, stage; its explanation unfolds under it while it has the focus."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.errors import BadValue
from app.shared.settings import ModelFacts, Setting, find
from app.ui.controls import (
    Combo,
    ElidedLabel,
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
from app.ui.controls.painting import draw_box
from app.ui.forms.scales import decimals_of, resting_number, scale_of
from app.ui.i18n import error_sentence, language, number, tr
from app.ui.theme import theme, themes

AUTOMATIC = ""  # the key of "as the file says" in a choice
FIELD_WIDTH = 120
SIDE = 12
ALL_LAYERS = 999


class SettingRow(QWidget):
    """A row of the form. `value` None means the default: as the file, the machine or llama.cpp says.

    `edited` tells a good new value (None: back to the default), `focused` that the row was entered.
    """

    edited = Signal(str, object)
    focused = Signal(str)

    def __init__(self, knob: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.knob = knob
        self._facts: ModelFacts | None = None
        self._value: SettingValue | None = None
        self._opened = False
        self._reason: str | None = None
        self._quiet = False
        self._build()
        self.set_facts(None)
        self.set_value(None)
        themes().changed.connect(self.update)

    # ---- building

    def _build(self) -> None:
        knob = self.knob
        column = QVBoxLayout(self)
        column.setContentsMargins(SIDE, 0, SIDE, 0)
        column.setSpacing(0)
        self._line = QHBoxLayout()
        self._line.setSpacing(8)
        tall = knob.key == "system_prompt"
        self._line.setContentsMargins(0, 4 if tall else 0, 0, 4 if tall else 0)
        self.label = ElidedLabel(tr(knob.label), "body")
        self.label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.label.setFixedWidth(theme().by_language("form_label", language()))
        if not tall:
            self.label.setFixedHeight(theme().metric("form_row"))
        self._line.addWidget(
            self.label, 0, Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter
        )
        self.slider: Slider | None = None
        self.control = self._make_control()
        self.stage = StageBadge(knob.stage)
        stage_box = QWidget()
        stage_box.setFixedWidth(theme().by_language("form_stage", language()))
        stage_row = QHBoxLayout(stage_box)
        stage_row.setContentsMargins(4, 0, 0, 0)
        stage_row.addWidget(self.stage)
        stage_row.addStretch(1)
        self._line.addWidget(
            stage_box, 0, Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter
        )
        column.addLayout(self._line)
        self.problem = Label("", "secondary", "err", wrap=True)
        self.problem.setContentsMargins(0, 0, 0, 6)
        self.problem.hide()
        column.addWidget(self.problem)
        self.explanation: RichText | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._watch(self)

    def _make_control(self) -> QWidget:
        knob, name = self.knob, tr(self.knob.label)
        match knob.kind:
            case "bool":
                switch = Switch(name)
                switch.toggled.connect(self._chose)
                self._line.addWidget(switch)
                self._line.addStretch(1)
                return switch
            case "choice":
                options = [(choice.key, tr(choice.label), choice.detail) for choice in knob.choices]
                if knob.default is None:
                    options.insert(0, (AUTOMATIC, tr("As in the file"), ""))
                few = len(options) <= 4
                chooser: Segments | Combo
                if few:
                    chooser = Segments([(key, words) for key, words, _ in options], label=name)
                else:
                    chooser = Combo(
                        [(key, f"{words} · {detail}" if detail else words) for key, words, detail in options],
                        label=name,
                    )
                    chooser.setFixedWidth(180)
                chooser.chosen.connect(lambda key: self._chose(None if key == AUTOMATIC else key))
                self._line.addWidget(chooser)
                self._line.addStretch(1)
                return chooser
            case "text":
                return self._text_control(name)
            case _:
                self.slider = Slider(label=name)
                self.slider.numberEdited.connect(self._chose_number)
                field = NumberField(
                    label=name,
                    low=knob.low,
                    high=knob.high,
                    step=knob.step or 1,
                    decimals=decimals_of(knob),
                    unit=tr(knob.unit) if knob.unit else "",
                    automatic=tr(knob.automatic) if knob.default is None else None,
                )
                field.numberEdited.connect(self._chose_number)
                field.problemChanged.connect(self._show_problem)
                self._line.addWidget(self.slider, 1)
                self._spring = QWidget()
                self._line.addWidget(self._spring, 1)
                self._line.addWidget(field)
                field.setFixedWidth(FIELD_WIDTH)
                return field

    def _text_control(self, name: str) -> QWidget:
        if self.knob.key == "system_prompt":
            area = TextArea(placeholder=tr("None"), label=name, min_height=72, max_height=200)
            area.textChanged.connect(lambda: self._chose_text(area.toPlainText()))
            self._line.addWidget(area, 1)
            return area
        field = TextField(placeholder=tr(self.knob.automatic), label=name, compact=True)
        field.textEdited.connect(self._chose_text)
        self._line.addWidget(field, 1)
        return field

    def _watch(self, widget: QWidget) -> None:
        # The row hears of focus and clicks in any of its parts, also in those of composed controls.
        for part in (widget, *widget.findChildren(QWidget)):
            part.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.MouseButtonPress):
            self.focused.emit(self.knob.key)
        return False

    # ---- what is shown

    @property
    def value(self) -> SettingValue | None:
        """The value in force; None is the default."""
        return self._value

    def set_value(self, value: SettingValue | None) -> None:
        """Show a value without telling `edited`."""
        self._value = value
        shown = self.knob.default if value is None else value
        control = self.control
        if isinstance(control, Switch):
            self._quiet = True  # its own signal also moves the painted knob
            control.setChecked(bool(shown))
            self._quiet = False
        elif isinstance(control, (Segments, Combo)):
            control.set_current(AUTOMATIC if shown is None else str(shown))
        elif isinstance(control, TextArea):
            if control.toPlainText() != str(shown or ""):
                control.blockSignals(True)
                control.setPlainText(str(shown or ""))
                control.blockSignals(False)
        elif isinstance(control, TextField):
            if control.text() != str(shown or ""):
                control.setText(str(shown or ""))
        elif isinstance(control, NumberField):
            control.set_number(shown if isinstance(shown, (int, float)) else None)
            self._place_slider()
        self._show_problem("")

    def set_facts(self, facts: ModelFacts | None) -> None:
        """Fit range, unit, tick and whether the knob applies at all to this model; None: any model."""
        self._facts = facts
        control, knob = self.control, self.knob
        if isinstance(control, NumberField):
            control.set_range(knob.low, knob.limit(facts))
            if knob.high_fact in ("layers", "experts") and (most := knob.limit(facts)) and facts is not None:
                control.set_unit(tr("of {count}", count=int(most)) if most != knob.high else "")
            scale = scale_of(knob, facts)
            assert self.slider is not None
            self.slider.setVisible(scale is not None)
            self._spring.setVisible(scale is None)
            if scale is not None:
                whole = knob.kind == "int"
                low, high, step = (int(v) if whole else v for v in (scale.low, scale.high, scale.step))
                self.slider.set_scale(low, high, step=step, logarithmic=scale.logarithmic)
                tick = scale.tick
                self.slider.set_tick(int(tick) if whole and tick is not None else tick)
            self._place_slider()
        self.set_other_values({})

    def set_other_values(self, values: dict[str, SettingValue]) -> None:
        """Follow the knobs this one depends on; a knob that reaches nothing is grey and keeps its value."""
        reason = self._why_not(values)
        if reason == self._reason and self._reason is not None:
            return
        self._reason = reason
        for control in (self.control, self.slider):
            if control is not None and hasattr(control, "set_reason"):
                control.set_reason(reason)
        self.label.set_color("text" if reason is None else "text3")
        if reason is not None:
            self.label.setToolTip(reason)

    def set_changed(self, changed: bool) -> None:
        """Say whether the value differs from what is loaded."""
        self.stage.set_changed(changed)

    @property
    def reason(self) -> str | None:
        """Why the knob does nothing here; None while it acts."""
        return self._reason

    def _why_not(self, values: dict[str, SettingValue]) -> str | None:
        if self._facts is not None and not self.knob.applies(self._facts):
            return tr("This model has no experts, so it does nothing here.")
        if self.knob.needs:
            key, _, wanted = self.knob.needs.partition("=")
            other = find(key)
            if other is not None and values.get(key, other.default) != wanted:
                choice = next((c for c in other.choices if c.key == wanted), None)
                words = tr(choice.label) if choice is not None else wanted
                return tr("Acts only with {setting}: {choice}.", setting=tr(other.label), choice=words)
        return None

    def _place_slider(self) -> None:
        if self.slider is None:
            return
        shown = self._value if self._value is not None else self.knob.default
        if not isinstance(shown, (int, float)):
            shown = resting_number(self.knob, self._facts)
        if shown is None:
            # Left to the machine: the handle rests at the low end, the field says so in words.
            shown = self.knob.low or 0
        self.slider.set_number(int(shown) if self.knob.kind == "int" else shown)

    # ---- what the person does

    def _chose_number(self, chosen: object) -> None:
        if chosen is None:
            self._chose(None)
        elif isinstance(chosen, (int, float)):
            self._chose(int(chosen) if self.knob.kind == "int" else float(chosen))

    def _chose_text(self, text: str) -> None:
        self._chose(text if text.strip() else None)

    def _chose(self, chosen: SettingValue | None) -> None:
        if self._quiet:
            return
        if chosen is not None:
            try:
                chosen = self.knob.check(chosen, self._facts)
            except BadValue as error:
                self._show_problem(error_sentence(error.info()))
                return
        if chosen == self.knob.default:
            chosen = None
        self._show_problem("")
        if chosen == self._value:
            return
        self._value = chosen
        if isinstance(self.control, NumberField):
            shown = self.knob.default if chosen is None else chosen
            self.control.set_number(shown if isinstance(shown, (int, float)) else None)
            self._place_slider()
        self.edited.emit(self.knob.key, chosen)

    def _show_problem(self, sentence: str) -> None:
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    # ---- explanation

    @property
    def opened(self) -> bool:
        """Whether the explanation is unfolded."""
        return self._opened

    def set_opened(self, opened: bool) -> None:
        """Unfold the explanation under the row, or fold it."""
        if opened == self._opened:
            return
        self._opened = opened
        if opened and self.explanation is None:
            self.explanation = RichText(self._explanation_html(), style="secondary", color="text2")
            self.explanation.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self.explanation.setContentsMargins(0, 0, 0, 8)
            column = self.layout()
            assert isinstance(column, QVBoxLayout)
            column.addWidget(self.explanation)
            column.addSpacing(0)
        if self.explanation is not None:
            self.explanation.setVisible(opened)
        column = self.layout()
        assert column is not None
        column.setContentsMargins(SIDE, 4 if opened else 0, SIDE, 10 if opened else 0)
        self.update()

    def _explanation_html(self) -> str:
        parts = [f"<b>{escape(tr('What it changes.'))}</b> {escape(tr(self.knob.changes))}"]
        if self.knob.belief:
            parts.append(f"<b>{escape(tr('What people believe.'))}</b> {escape(tr(self.knob.belief))}")
        return " ".join(parts)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._opened:
            look = theme()
            painter = QPainter(self)
            draw_box(
                painter,
                QRectF(self.rect()),
                radius=look.metric("radius.card"),
                fill=look.color("bg2"),
                border=look.color("accent_mid"),
            )
            painter.end()


def value_words(knob: Setting, value: SettingValue | None) -> str:
    """Word a value for lists and comparisons: `131,072`, `YaRN`, `on`, or what the default means."""
    if value is None:
        value = knob.default
    if value is None:
        return tr(knob.automatic)
    if isinstance(value, bool):
        return tr("on") if value else tr("off")
    if isinstance(value, str):
        if knob.kind == "choice":
            found = next((choice for choice in knob.choices if choice.key == value), None)
            return tr(found.label) if found is not None else value
        flat = " ".join(value.split())
        return flat if len(flat) <= 40 else flat[:39] + "…"
    if isinstance(value, int):
        # More layers than any model has is the usual way to say "all".
        return tr("all") if knob.high_fact == "layers" and value >= ALL_LAYERS else number(value)
    return number(value, decimals=decimals_of(knob))
