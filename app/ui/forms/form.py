"""The whole form: every knob of the table by group, in one scroll, with the groups as anchors."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.settings import Group, ModelFacts, changed_stages, settings
from app.ui.controls import FoldRow, SectionHeading
from app.ui.forms.row import SIDE, SettingRow
from app.ui.i18n import mark, number, tr
from app.ui.theme import theme

GROUP_WORDS = {
    Group.MODEL: mark("Model and memory"),
    Group.CONTEXT: mark("Context and RoPE"),
    Group.EXPERTS: mark("Experts"),
    Group.SAMPLING: mark("Sampling"),
    Group.THINKING: mark("Thinking"),
}


class PresetForm(QScrollArea):
    """Edits a preset's values. `valuesChanged` tells all values that differ from the defaults; `groupShown` the
    group at the top while scrolling."""

    valuesChanged = Signal(object)  # noqa: N815 - dict[str, SettingValue]
    groupShown = Signal(str)  # noqa: N815

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._values: dict[str, SettingValue] = {}
        self._loaded: dict[str, SettingValue] | None = None
        self._facts: ModelFacts | None = None
        self.rows: dict[str, SettingRow] = {}
        self._headings: dict[Group, SectionHeading] = {}
        self._folds: dict[Group, FoldRow] = {}
        self._opened: str | None = None
        self._build()
        self.verticalScrollBar().valueChanged.connect(self._scrolled)

    def _build(self) -> None:
        body = QWidget()
        body.setMaximumWidth(theme().metric("form_max") + 2 * SIDE)
        holder = QWidget()
        outer = QVBoxLayout(holder)
        outer.setContentsMargins(24 - SIDE, 8, 24 - SIDE, 24)
        outer.addWidget(body)
        outer.addStretch(1)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for group in Group:
            knobs = [knob for knob in settings().values() if knob.group == group]
            heading = SectionHeading(tr(GROUP_WORDS[group]))
            heading.setContentsMargins(SIDE, 12, SIDE, 4)
            self._headings[group] = heading
            layout.addWidget(heading)
            for knob in knobs:
                if not knob.advanced:
                    layout.addWidget(self._row(knob.key))
            rare = [knob for knob in knobs if knob.advanced]
            if rare:
                layout.addWidget(self._fold(group, [knob.key for knob in rare]))
        self._holder = holder
        self.setWidget(holder)

    def _fold(self, group: Group, keys: list[str]) -> FoldRow:
        fold = FoldRow(tr("More"), ", ".join(tr(settings()[key].label) for key in keys), style="secondary")
        fold.setContentsMargins(SIDE, 0, 0, 0)
        content = QWidget()
        inner = QVBoxLayout(content)
        # The fold is indented to the labels; its rows must still line up with the others.
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(0)
        for key in keys:
            row = self._row(key)
            inner.addWidget(row)
        content.setContentsMargins(-SIDE, 0, 0, 0)
        fold.set_content(content)
        self._folds[group] = fold
        return fold

    def _row(self, key: str) -> SettingRow:
        row = SettingRow(settings()[key])
        row.edited.connect(self._edited)
        row.focused.connect(self._focused)
        self.rows[key] = row
        return row

    # ---- what is shown

    @property
    def values(self) -> dict[str, SettingValue]:
        """The values that differ from the defaults."""
        return dict(self._values)

    def set_values(self, values: Mapping[str, SettingValue]) -> None:
        """Show a preset's values."""
        self._values = dict(values)
        for key, row in self.rows.items():
            row.set_value(self._values.get(key))
        self._follow()
        for group, fold in self._folds.items():
            rare = [k for k, knob in settings().items() if knob.group == group and knob.advanced]
            if any(key in self._values for key in rare):
                fold.set_open(True)

    def set_model(self, facts: ModelFacts | None, name: str = "") -> None:
        """Fit ranges, ticks and what applies to the model that the preset would be loaded with."""
        self._facts = facts
        for row in self.rows.values():
            row.set_facts(facts)
        notes: dict[Group, str] = {}
        if facts is not None:
            if facts.layers:
                notes[Group.MODEL] = tr("{model} · {layers} layers", model=name, layers=facts.layers)
            if facts.trained_context:
                notes[Group.CONTEXT] = tr("trained on {count} tokens", count=facts.trained_context)
            if facts.experts and facts.experts_trained:
                notes[Group.EXPERTS] = tr(
                    "trained with {used} of {count}", used=facts.experts_trained, count=number(facts.experts)
                )
            elif not facts.experts:
                notes[Group.EXPERTS] = tr("{model} has no experts", model=name)
        for group, heading in self._headings.items():
            heading.set_note(notes.get(group, ""))
        self.set_values(self._values)

    def set_loaded(self, loaded: Mapping[str, SettingValue] | None) -> None:
        """Mark what differs from the values that are loaded now; None marks nothing."""
        self._loaded = None if loaded is None else dict(loaded)
        self._mark()

    def show_group(self, group: Group) -> None:
        """Scroll a group's heading to the top."""
        heading = self._headings[group]
        self.verticalScrollBar().setValue(heading.mapTo(self._holder, heading.rect().topLeft()).y() - 8)

    def show_setting(self, key: str) -> None:
        """Scroll to a knob, unfold it and give it the focus."""
        row = self.rows.get(key)
        if row is None:
            return
        fold = self._folds.get(row.knob.group)
        if row.knob.advanced and fold is not None:
            fold.set_open(True)
        self._focused(key)
        QTimer.singleShot(0, row, lambda: self.ensureWidgetVisible(row, 0, 80))
        row.control.setFocus(Qt.FocusReason.ShortcutFocusReason)

    # ---- following

    def _edited(self, key: str, value: SettingValue | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        self._follow()
        self.valuesChanged.emit(dict(self._values))

    def _follow(self) -> None:
        for row in self.rows.values():
            row.set_other_values(self._values)
        self._mark()

    def _mark(self) -> None:
        changed = changed_stages(self._loaded, self._values) if self._loaded is not None else {}
        for key, row in self.rows.items():
            row.set_changed(key in changed and row.reason is None)

    def _focused(self, key: str) -> None:
        if key == self._opened:
            return
        if self._opened is not None:
            self.rows[self._opened].set_opened(False)
        self._opened = key
        self.rows[key].set_opened(True)

    def _scrolled(self, _: int) -> None:
        top = self.verticalScrollBar().value() + 40
        current = Group.MODEL
        for group, heading in self._headings.items():
            if heading.mapTo(self._holder, heading.rect().topLeft()).y() <= top:
                current = group
        bar = self.verticalScrollBar()
        if bar.value() == bar.maximum() and bar.maximum() > 0:
            current = Group.THINKING
        self.groupShown.emit(current.value)
