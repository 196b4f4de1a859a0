"""The whole table as one column of rows under section headings; tabs lead to the sections."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.errors import BadValue
from app.shared.presets import different_values
from app.shared.settings import Group, ModelFacts, changed_stages, check_values, settings
from app.ui.controls import Button, Hairline, SectionHeading, Tabs, TextField
from app.ui.forms.setting_row import SettingRow
from app.ui.forms.words import GROUP_TITLES
from app.ui.i18n import error_sentence, ntr, number, tr
from app.ui.theme import theme


class SettingsForm(QWidget):
    """Edits a preset's values and its reason. `edited` is sent after every good change; refused entries change nothing."""

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: dict[str, SettingValue] = {}
        self._loaded: Mapping[str, SettingValue] | None = None
        self._facts: ModelFacts | None = None
        self.rows: dict[str, SettingRow] = {}
        self.sections: dict[Group, SectionHeading] = {}
        self.more: dict[Group, Button | None] = {}
        self._opened: set[Group] = set()  # groups whose rare knobs are shown
        self.tabs = Tabs(
            [(group.value, tr(title)) for group, title in GROUP_TITLES.items()],
            label=tr("Groups of settings"),
        )
        self.tabs.chosen.connect(self._show_group)
        self.reason = TextField(label=tr("Reason for this preset"), placeholder=tr("What this preset is for"))
        self.reason.textEdited.connect(lambda _text: self.edited.emit())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(12, 0, 16, 0)
        head.addWidget(self.tabs, 1)
        column.addLayout(head)
        column.addWidget(Hairline())
        self.view = QScrollArea()
        self.view.setWidgetResizable(True)
        self.view.setFrameShape(QFrame.Shape.NoFrame)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._inside = self._content()
        self.view.setWidget(self._inside)
        self.view.viewport().setAutoFillBackground(False)
        self.view.verticalScrollBar().valueChanged.connect(self._follow)
        column.addWidget(self.view, 1)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._focus_moved)

    def values(self) -> dict[str, SettingValue]:
        """Return the values that differ from the defaults."""
        return different_values(self._values)

    def set_values(self, values: Mapping[str, SettingValue], reason: str) -> None:
        """Show a preset."""
        self._values = dict(values)
        for key, row in self.rows.items():
            row.set_problem("")
            row.set_value(values.get(key, row.knob.default))
        if self.reason.text() != reason:
            self.reason.setText(reason)
            self.reason.setCursorPosition(0)  # the beginning is shown, not the end
        self._refresh()

    def set_facts(self, facts: ModelFacts | None) -> None:
        """Take the bounds of the model it will be loaded on."""
        self._facts = facts
        for key, row in self.rows.items():
            row.set_facts(facts)
            row.set_value(self._values.get(key, row.knob.default))
        self._refresh()

    def set_loaded(self, values: Mapping[str, SettingValue] | None) -> None:
        """Take the values in force now, which rows are compared with; None: nothing is loaded."""
        self._loaded = values
        self._refresh()

    def problems(self) -> dict[str, str]:
        """Return the sentences of everything that would be refused, by key."""
        found: dict[str, str] = {}
        for key, value in self._values.items():
            try:
                check_values({key: value}, self._facts)
            except BadValue as error:
                found[key] = error_sentence(error.info())
        if not found:
            try:
                check_values(self._values, self._facts)
            except BadValue as error:
                found[error.key] = error_sentence(error.info())
        return found

    def change(self, values: Mapping[str, SettingValue]) -> None:
        """Set several values at once, as the person would one by one; the rest stays."""
        self._values.update(values)
        for key, row in self.rows.items():
            if key in values:
                row.set_problem("")
                row.set_value(values[key])
        self._refresh()
        self.edited.emit()

    def place_below(self, key: str, widget: QWidget) -> None:
        """Put a widget of the page's under a knob's row."""
        column = self._column
        column.insertWidget(column.indexOf(self.rows[key]) + 1, widget)

    def needed_width(self) -> int:
        """Return the width in pixels below which rows would be cut off."""
        return self._inside.minimumSizeHint().width() + self.view.verticalScrollBar().sizeHint().width()

    def show_setting(self, key: str) -> bool:
        """Bring a knob on screen and put the focus on it; False for an unknown one."""
        row = self.rows.get(key)
        if row is None:
            return False
        if row.isHidden():
            self._opened.add(row.knob.group)
            self._refresh()
        self.view.ensureWidgetVisible(row, 0, 80)
        row.focus_control()
        return True

    # inside

    def _content(self) -> QWidget:
        inside = QWidget()
        inside.setMaximumWidth(theme().metric("form_max") + 24)
        column = self._column = QVBoxLayout(inside)
        column.setContentsMargins(12, 12, 12, 32)
        column.setSpacing(0)
        reason = QHBoxLayout()
        reason.setContentsMargins(12, 0, 8, 0)
        reason.addWidget(self.reason)
        column.addLayout(reason)
        for group in Group:
            heading = SectionHeading(tr(GROUP_TITLES[group]))
            heading.setContentsMargins(12, 16, 20, 4)
            self.sections[group] = heading
            column.addWidget(heading)
            for key, knob in settings().items():
                if knob.group is group:
                    row = SettingRow(knob)
                    row.edited.connect(lambda value, key=key: self._edit(key, value))
                    self.rows[key] = row
                    column.addWidget(row)
            self.more[group] = self._more_button(group, column)
        column.addStretch(1)
        wide = QWidget()
        beside = QHBoxLayout(wide)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(inside, 1000)
        beside.addStretch(1)
        return wide

    def _more_button(self, group: Group, column: QVBoxLayout) -> Button | None:
        rare = sum(row.knob.advanced and row.knob.group is group for row in self.rows.values())
        if not rare:
            return None
        button = Button(
            ntr("{n} more setting", "{n} more settings", rare),
            kind="ghost",
            icon_name="chevron-down",
            compact=True,
        )
        button.clicked.connect(lambda: self._open_group(group))
        line = QHBoxLayout()
        line.setContentsMargins(0, 2, 0, 2)
        line.addWidget(button)
        line.addStretch(1)
        column.addLayout(line)
        return button

    def _open_group(self, group: Group) -> None:
        first = next(
            (
                row
                for row in self.rows.values()
                if row.knob.group is group and row.knob.advanced and row.isHidden()
            ),
            None,
        )
        self._opened.add(group)
        self._refresh()
        if first is not None:
            first.focus_control()

    def _edit(self, key: str, value: SettingValue | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        self._refresh()
        self.edited.emit()

    def _refresh(self) -> None:
        """Reasons, marks and sentences, which may hang on other rows' values."""
        problems = self.problems()
        changed = {} if self._loaded is None else changed_stages(self._loaded, self._values)
        different = self.values()
        for key, row in self.rows.items():
            row.set_reason(self._reason_against(key))
            row.setVisible(
                not row.knob.advanced or row.knob.group in self._opened or key in different or key in changed
            )
            row.set_changed(key in changed)
            if row.field is None or not row.field.problem:
                row.set_problem(problems.get(key, ""))
        for group, button in self.more.items():
            if button is not None:
                button.setVisible(
                    any(row.isHidden() for row in self.rows.values() if row.knob.group is group)
                )
        facts = self._facts
        notes = dict.fromkeys(Group, "")
        if facts is not None:
            if facts.layers is not None:
                notes[Group.MODEL] = tr("{count} layers", count=facts.layers)
            if facts.trained_context is not None:
                notes[Group.CONTEXT] = tr("trained on {count} tokens", count=number(facts.trained_context))
            if facts.experts:
                notes[Group.EXPERTS] = tr(
                    "trained with {used} of {count}", used=facts.experts_trained, count=facts.experts
                )
            else:
                notes[Group.EXPERTS] = tr("this model has none")
        for group, heading in self.sections.items():
            heading.set_note(notes[group])

    def _reason_against(self, key: str) -> str | None:
        knob = settings()[key]
        if not knob.applies(self._facts):
            return tr("This model has no experts.")
        if knob.needs:
            other, _, wanted = knob.needs.partition("=")
            needed = settings()[other]
            if self._values.get(other, needed.default) != wanted:
                choice = next(choice.label for choice in needed.choices if choice.key == wanted)
                return tr("Acts only with {setting} {value}.", setting=tr(needed.label), value=tr(choice))
        return None

    def _focus_moved(self, _before: QWidget | None, now: QWidget | None) -> None:
        if now is None:
            return  # another window has the focus: nothing folds for that
        inside = next((row for row in self.rows.values() if row is now or row.isAncestorOf(now)), None)
        for row in self.rows.values():
            if row.unfolded and row is not inside:
                row.unfold(False)
        if inside is not None and not inside.unfolded:
            inside.unfold(True)

    def _show_group(self, key: str) -> None:
        heading = self.sections[Group(key)]
        self.view.verticalScrollBar().setValue(max(0, heading.y() - 4))
        self.tabs.set_current(key)

    def _follow(self, at: int) -> None:
        """Let the tab say which section is at the top."""
        bar = self.view.verticalScrollBar()
        shown = Group.MODEL
        for group, heading in self.sections.items():
            if heading.y() - 24 <= at:
                shown = group
        if at >= bar.maximum() and bar.maximum() > 0 and self.tabs.current() is not None:
            return
        self.tabs.set_current(shown.value)
