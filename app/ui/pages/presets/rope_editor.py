"""Under the YaRN factor: how far the positions reach, the factor that fits the context in one click, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.shared import rope
from app.shared.engine import SettingValue
from app.shared.settings import ModelFacts
from app.ui.controls import Button, Label
from app.ui.i18n import language, number, tr
from app.ui.theme import theme


class RopeEditor(QWidget):
    """`wanted` carries the settings of the offer. Hidden while a model says no trained length."""

    wanted = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offer: dict[str, SettingValue] | None = None
        self.line = Label("", "secondary", "text3", wrap=True)
        self.warning = Label("", "secondary", "warn", wrap=True)
        self.fit = Button("", compact=True)
        self.fit.clicked.connect(self._take)
        column = QVBoxLayout(self)
        column.setContentsMargins(24 + theme().by_language("form_label", language()), 0, 20, 8)
        column.setSpacing(4)
        column.addWidget(self.line)
        column.addWidget(self.warning)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.fit)
        row.addStretch(1)
        column.addLayout(row)
        self.hide()

    def show_values(self, values: Mapping[str, SettingValue], facts: ModelFacts | None) -> None:
        """Take the form's values and the model they are for."""
        known = facts is not None and facts.trained_context is not None
        self.setVisible(known)
        if facts is None or not known:
            self._offer = None
            return
        self._offer = rope.offer(values, facts)
        self.fit.setVisible(self._offer is not None)
        if self._offer is not None:
            factor = self._offer["yarn_factor"]
            self.fit.setText(tr("Fits your context: YaRN ×{factor}", factor=factor))
            self.fit.setToolTip(
                tr(
                    "Sets RoPE scaling to YaRN, the factor to {factor} and the original length to {origin}.",
                    factor=factor,
                    origin=self._offer["yarn_original_context"],
                )
            )
        found = rope.warnings(values, facts)
        self.warning.setText(" ".join(tr(each.template, **each.values) for each in found))
        self.warning.setVisible(bool(found))
        self.line.setText(_line(rope.reach_of(values, facts)))

    def _take(self) -> None:
        if self._offer is not None:
            self.wanted.emit(self._offer)


def _line(state: rope.Reach) -> str:
    told = [tr("Trained on {count}", count=state.trained)]
    if state.scaling == "file":
        told.append(tr("the file's own scaling"))
    elif state.factor > 1.0:
        told.append(
            tr(
                "×{factor} from {origin} reaches {reach}",
                factor=state.factor,
                origin=state.origin,
                reach=state.reach,
            )
        )
    if state.theta is not None:
        if state.effective_theta is not None and state.effective_theta != state.theta:
            told.append(
                tr(
                    "theta {theta}; the slowest pairs turn as with {amounts}",
                    theta=number(round(state.theta)),
                    amounts=number(round(state.effective_theta)),
                )
            )
        else:
            told.append(tr("theta {theta}", theta=number(round(state.theta))))
    return " · ".join(told)
