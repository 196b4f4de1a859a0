"""The sampling values in force, and their quick change for the next answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.shared.settings import settings
from app.ui.controls import Button, ElidedLabel, IconButton, Label, NumberField, SectionHeading
from app.ui.i18n import number, tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.engine import LoadedModel, SettingValue
    from app.shared.settings import Setting

KEYS = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed")
ROOM_PX = 304 - 2 * 16 - 1  # inside the narrow panel


class Sampling(QWidget):
    """Read at a glance; the pencil turns the values into fields. `valuesChosen({key: value or None})`."""

    valuesChosen = Signal(object)  # noqa: N815 - Qt's naming of signals

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: dict[str, SettingValue] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 14)
        column.setSpacing(8)
        self.heading = SectionHeading(tr("Sampling"))
        self.pencil = IconButton("pencil", tr("Change sampling for the next answers"), size=24)
        self.pencil.setCheckable(True)
        self.pencil.toggled.connect(self._show_fields)
        self.heading.add_widget(self.pencil)
        column.addWidget(self.heading)
        self._shown: dict[str, Label] = {}
        self.fields: dict[str, NumberField] = {}
        self._read = self._reading_grid()
        self._write = self._writing_grid()
        column.addWidget(self._read)
        column.addWidget(self._write)
        self.problem = Label("", "secondary", "err", wrap=True)
        column.addWidget(self.problem)
        self.problem.hide()
        self._write.hide()
        self.show_model(None)

    def _reading_grid(self) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        pairs = _two_columns_fit()
        if pairs:
            grid.setColumnMinimumWidth(2, 6)
        for at, key in enumerate(KEYS):
            label = ElidedLabel(tr(settings()[key].label), "secondary", "text2")
            value = Label("", "control")
            value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            row, column = (at // 2, 3 * (at % 2)) if pairs else (at, 0)
            if pairs:
                label.setMinimumWidth(label.sizeHint().width())
            grid.addWidget(label, row, column)
            grid.addWidget(value, row, column + 1)
            grid.setColumnStretch(column if not pairs else column + 1, 1)
            self._shown[key] = value
        return holder

    def _writing_grid(self) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(0, 1)
        for at, key in enumerate(KEYS):
            knob = settings()[key]
            label = ElidedLabel(tr(knob.label), "body", "text2")
            label.setToolTip(tr(knob.changes))
            field = _field(knob)
            field.numberEdited.connect(lambda value, of=key: self.valuesChosen.emit({of: value}))
            field.problemChanged.connect(self._show_problem)
            grid.addWidget(label, at, 0)
            grid.addWidget(field, at, 1)
            self.fields[key] = field
        foot = QHBoxLayout()
        self.back = Button(tr("Back to the preset's values"), kind="ghost", icon_name="undo", compact=True)
        self.back.clicked.connect(self._reset)
        foot.addWidget(self.back)
        foot.addStretch(1)
        grid.addLayout(foot, len(KEYS), 0, 1, 2)
        return holder

    def show_model(self, model: LoadedModel | None) -> None:
        """Show the values in force for the loaded model; without one, the defaults."""
        self._values = dict(model.values) if model is not None else {}
        for key in KEYS:
            knob = settings()[key]
            value = self._values.get(key, knob.default)
            self._shown[key].setText(_shown(knob, value))
            self._shown[key].set_color("accent" if value != knob.default else "text")
            field = self.fields[key]
            if not field.hasFocus():
                field.set_number(value if isinstance(value, (int, float)) else None)
        reason = None if model is not None else tr("Load a model first")
        self.pencil.set_reason(reason)
        if model is None:
            self.pencil.setChecked(False)

    def _show_fields(self, writing: bool) -> None:
        self._read.setVisible(not writing)
        self._write.setVisible(writing)
        self.problem.hide()
        if writing:
            self.fields[KEYS[0]].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show_problem(self, sentence: str) -> None:
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    def _reset(self) -> None:
        self.valuesChosen.emit(dict.fromkeys(KEYS))


def _two_columns_fit() -> bool:
    """Whether labels and their longest usual values stand side by side in this language."""
    labels, values = QFontMetrics(theme().font("secondary")), QFontMetrics(theme().font("control"))

    def widest(column: int) -> int:
        keys = KEYS[column::2]
        named = max(labels.horizontalAdvance(tr(settings()[key].label)) for key in keys)
        return named + max(
            values.horizontalAdvance(_shown(settings()[key], settings()[key].default)) for key in keys
        )

    return widest(0) + widest(1) + 5 * 8 <= ROOM_PX


def _field(knob: Setting) -> NumberField:
    whole = knob.kind == "int"
    field = NumberField(
        label=tr(knob.label),
        low=int(knob.low) if whole and knob.low is not None else knob.low,
        high=int(knob.high) if whole and knob.high is not None else knob.high,
        step=int(knob.step or 1) if whole else knob.step or 0.01,
        decimals=0 if whole else 2,
        automatic=tr(knob.automatic) if knob.automatic else None,
    )
    field.setFixedWidth(120)
    return field


def _shown(knob: Setting, value: SettingValue | None) -> str:
    if value is None and knob.key == "max_tokens":
        return tr("no limit")  # beside its label there is no room for the form's longer words
    if value is None:
        return tr(knob.automatic) if knob.automatic else "–"
    if knob.kind == "float" and isinstance(value, (int, float)):
        return number(float(value), decimals=2)
    if knob.key == "seed":
        return str(value)
    return number(value) if isinstance(value, (int, float)) else str(value)
