"""The Presets page. Unsaved changes of every preset are kept while others are looked at, and nothing is lost by switching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.models.card import ModelCard
from app.shared.engine import SettingValue
from app.shared.presets import Preset, preset_toml
from app.ui.context import Page, WindowContext
from app.ui.controls import Banner, Button, Dialog, ElidedLabel, IconButton, Menu, TextField, ask
from app.ui.forms.settings_form import SettingsForm
from app.ui.forms.words import preset_reason
from app.ui.i18n import error_sentence, mark, tr
from app.ui.pages.presets.anatomy_column import AnatomyColumn
from app.ui.pages.presets.anatomy_explain import ExplainDialog
from app.ui.pages.presets.listing import PresetList
from app.ui.pages.presets.panel import PresetPanel
from app.ui.pages.presets.rope_editor import RopeEditor
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.errors import PultError

WIDE = 1500


@dataclass
class Draft:
    """What the form holds of a preset and the file does not yet."""

    values: dict[str, SettingValue]
    reason: str


class PresetsPage(Page):
    """List, form, panel."""

    page_id = "presets"
    title = mark("Presets")
    icon_name = "presets"

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self.drafts: dict[str, Draft] = {}
        self._current: str | None = None
        self._wanted: str | None = None  # to be chosen when the service has listed it
        self._card: ModelCard | None = None
        self._loadable = False
        self.list = PresetList()
        self.form = SettingsForm()
        self.rope = RopeEditor()
        self.form.place_below("yarn_factor", self.rope)
        self.anatomy = AnatomyColumn(context.operations)
        self.panel = PresetPanel(context.operations)
        self.name = ElidedLabel("", "title")
        self.problem = Banner("err", "")
        self.problem.hide()
        self._build()
        self._wire()
        self._take_presets()
        self._take_models()
        self._take_engine()

    @property
    def current(self) -> Preset | None:
        """Return the chosen preset as it is on disk."""
        return self._find(self._current)

    def focus_main(self) -> None:
        self.list.list.setFocus(Qt.FocusReason.OtherFocusReason)

    def regions(self) -> list[QWidget]:
        return [self.list.list, self.form.tabs, self.panel.model]

    def shown(self) -> None:
        self.context.state.fetch_presets()  # a file may have been changed in an editor

    def reveal(self, kind: str, key: str) -> bool:
        if kind == "preset":
            self._wanted = key
            self._take_presets()
            return self._current == key
        return kind == "setting" and self.form.show_setting(key)

    def save_layout(self) -> None:
        kept = {name: {"values": draft.values, "reason": draft.reason} for name, draft in self.drafts.items()}
        self.context.settings.put("preset_drafts", kept or None)
        self.context.settings.put("preset", self._current)

    def restore_layout(self) -> None:
        kept: dict[str, object] = self.context.settings.get("preset_drafts", {})
        for name, told in kept.items():
            if isinstance(told, dict) and isinstance(told.get("values"), dict):
                self.drafts[name] = Draft(dict(told["values"]), str(told.get("reason", "")))
        self._wanted = self.context.settings.text("preset")
        self._take_presets()

    def resizeEvent(self, event: QResizeEvent) -> None:
        wide = self.window().width() >= WIDE
        self.list.setFixedWidth(theme().width("list_width", "presets", wide=wide))
        self.panel.setFixedWidth(theme().width("panel_width", "forecast", wide=wide))
        room = self.width() - self.list.width() - self.panel.width()
        beside = self.anatomy.set_room(room if wide else 0, form=self.form.needed_width())
        self.anatomy_button.setVisible(not beside)
        super().resizeEvent(event)

    # building

    def _build(self) -> None:
        self.duplicate = IconButton("copy", tr("Duplicate"))
        self.export = IconButton("export", tr("Export as a file…"))
        self.anatomy_button = Button(tr("Anatomy…"), kind="ghost")
        self.more = IconButton("more", tr("More"))
        self.revert = Button(tr("Revert"), kind="ghost")
        self.save = Button(tr("Save"), keys="Ctrl S")
        head = QWidget()
        head.setFixedHeight(theme().metric("page_head") + 4)
        row = QHBoxLayout(head)
        row.setContentsMargins(24, 0, 24, 0)
        row.setSpacing(8)
        row.addWidget(self.name, 1)
        for button in (self.anatomy_button, self.duplicate, self.export, self.more, self.revert, self.save):
            row.addWidget(button)
        work = QVBoxLayout()
        work.setSpacing(0)
        work.addWidget(head)
        problem = QHBoxLayout()
        problem.setContentsMargins(24, 0, 24, 0)
        problem.addWidget(self.problem)
        work.addLayout(problem)
        work.addWidget(self.form, 1)
        columns = QHBoxLayout(self)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(0)
        columns.addWidget(self.list)
        columns.addLayout(work, 1)
        columns.addWidget(self.anatomy)
        columns.addWidget(self.panel)

    def _wire(self) -> None:
        state = self.context.state
        state.presetsChanged.connect(self._take_presets)
        state.modelsChanged.connect(self._take_models)
        state.engineChanged.connect(self._take_engine)
        self.list.chosen.connect(self._choose)
        self.list.added.connect(self._new)
        self.form.edited.connect(self._edited)
        self.rope.wanted.connect(self.form.change)
        self.anatomy.explain_wanted.connect(self.explain)
        self.anatomy_button.clicked.connect(lambda: self.anatomy.open_dialog(self))
        self.panel.model_chosen.connect(self._choose_model)
        self.panel.file_wanted.connect(self._look_for_file)
        self.panel.load_wanted.connect(self.load_now)
        self.panel.fitted.connect(self._take_fitted)
        self.duplicate.clicked.connect(self._duplicate)
        self.export.clicked.connect(self._export)
        self.more.clicked.connect(self._open_menu)
        self.revert.clicked.connect(self.revert_now)
        self.save.clicked.connect(self.save_now)
        for keys, act in (
            ("Ctrl+S", self.save_now),
            ("Ctrl+Return", self.load_now),
            ("Ctrl+Enter", self.load_now),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    # what the service says

    def _take_presets(self) -> None:
        presets = self.context.state.presets
        names = [preset.name for preset in presets]
        if self._wanted in names:
            self._current, self._wanted = self._wanted, None
        elif self._current not in names:
            preset = self.context.state.preset
            self._current = preset if preset in names else next(iter(names), None)
        for name in [name for name in self.drafts if name in names]:
            saved = self._find(name)
            if saved is not None and Draft(dict(saved.values), preset_reason(saved)) == self.drafts[name]:
                del self.drafts[name]
        self.panel.show_presets(presets)
        self._show_list()
        self._show_current()

    def _take_models(self) -> None:
        models = self.context.state.models
        if self._card is None:
            loaded = self.context.state.model
            path = loaded.path if loaded is not None else None
            usable = [card for card in models if card.problem is None]
            self._card = next((card for card in usable if card.path == path), next(iter(usable), None))
        else:
            self._card = next((card for card in models if card.path == self._card.path), self._card)
        self._show_card()

    def _take_engine(self, _engine: object = None) -> None:
        model = self.context.state.model
        self.panel.show_loaded(model)
        self.form.set_loaded(None if model is None else model.values)
        if model is not None and (self._card is None or self._card.path != model.path):
            card = next((card for card in self.context.state.models if card.path == model.path), None)
            if card is not None:
                self._card = card
                self._show_card()
        self._show_list()
        self._say_whether_loadable()

    # showing

    def _find(self, name: str | None) -> Preset | None:
        return next((preset for preset in self.context.state.presets if preset.name == name), None)

    def _show_list(self) -> None:
        model = self.context.state.model
        self.list.show_presets(
            self.context.state.presets,
            current=self._current,
            drafts=self.drafts,
            loaded=None if model is None else model.preset,
        )

    def _show_current(self) -> None:
        preset = self.current
        self.form.setEnabled(preset is not None)
        self.name.setText(preset.name if preset is not None else tr("No presets"))
        if preset is None:
            self._say_whether_loadable()
            return
        draft = self.drafts.get(preset.name)
        values = draft.values if draft is not None else dict(preset.values)
        reason = draft.reason if draft is not None else preset_reason(preset)
        if values != self.form.values() or reason != self.form.reason.text():
            self.form.set_values(values, reason)
        self._show_values()
        told = error_sentence(preset.problem) if preset.problem is not None else ""
        if told:
            self.problem.show_message("err", tr("This preset cannot be loaded as it is"), told)
        elif preset.unknown:
            told = tr(
                "This version does not know {keys}. They stay in the file and change nothing.",
                keys=", ".join(preset.unknown),
            )
            self.problem.show_message("warn", tr("Some settings are not known"), told)
        self.problem.setVisible(bool(told))
        self._say_whether_loadable()

    def _show_card(self) -> None:
        self.form.set_facts(
            None if self._card is None or self._card.problem is not None else self._card.facts()
        )
        self.panel.show_models(self.context.state.models, self._card)
        self.anatomy.show_card(self._card)
        self._show_values()
        self._say_whether_loadable()

    def _show_values(self) -> None:
        """Tell the form's values to everything that says what they mean."""
        values = self.form.values()
        card = self._card
        self.panel.show_values(values)
        self.anatomy.show_values(values)
        self.rope.show_values(values, None if card is None or card.problem is not None else card.facts())

    def _say_whether_loadable(self) -> None:
        preset = self.current
        dirty = preset is not None and preset.name in self.drafts
        self.save.set_reason(None if dirty else tr("There is nothing to save."))
        self.revert.set_reason(None if dirty else tr("There is nothing to take back."))
        problems = self.form.problems()
        reason: str | None = None
        if preset is None:
            reason = tr("Choose a preset first.")
        elif self._card is None:
            reason = tr("Choose a model first.")
        elif self._card.problem is not None:
            reason = error_sentence(self._card.problem)
        elif problems:
            reason = next(iter(problems.values()))
        elif preset.problem is not None and not dirty:
            reason = error_sentence(preset.problem)
        self.panel.set_load_reason(reason)
        self._loadable = reason is None

    # what the person does

    def _choose(self, name: str) -> None:
        if name != self._current:
            self._current = name
            self._show_current()

    def _edited(self) -> None:
        preset = self.current
        if preset is None:
            return
        draft = Draft(self.form.values(), self.form.reason.text())
        was = preset.name in self.drafts
        if draft == Draft(dict(preset.values), preset_reason(preset)):
            self.drafts.pop(preset.name, None)
        else:
            self.drafts[preset.name] = draft
        if was != (preset.name in self.drafts):
            self._show_list()
        self._show_values()
        self._say_whether_loadable()

    def _take_fitted(self, changed: Mapping[str, SettingValue]) -> None:
        """Put settings that fit into the form, as a draft like any other."""
        self.form.set_values({**self.form.values(), **changed}, self.form.reason.text())
        self._edited()

    def save_now(self) -> None:
        """Write the form's values into the preset; a shipped one gets a version of the person's own."""
        preset = self.current
        draft = None if preset is None else self.drafts.get(preset.name)
        if preset is None or draft is None:
            return
        wanted = preset.model_copy(
            update={"values": draft.values, "description": draft.reason, "problem": None}
        )

        def saved(kept: Preset) -> None:
            if self.drafts.get(preset.name) == draft:
                del self.drafts[preset.name]
            if preset.shipped:
                self.context.toast(tr("Saved as your own version of {name}.", name=kept.name))
            self._say_whether_loadable()
            self.context.state.fetch_presets()

        self.context.operations.run(self, lambda client: client.save_preset(wanted), done=saved)

    def revert_now(self) -> None:
        """Take the form's changes back; the toast brings them again."""
        preset = self.current
        draft = None if preset is None else self.drafts.pop(preset.name, None)
        if preset is None or draft is None:
            return
        name = preset.name

        def again() -> None:
            self.drafts[name] = draft
            self._show_list()
            self._show_current()

        self._show_list()
        self._show_current()
        self.context.toast(tr("Changes to {name} taken back.", name=name), action=tr("Undo"), on_action=again)

    def load_now(self) -> None:
        """Load the chosen model with what the form shows, saved or not."""
        preset, card = self.current, self._card
        if preset is None or card is None or not self._loadable:
            return
        if self.context.state.answering:
            ask(
                self,
                tr("An answer is being written"),
                tr("Loading stops it. What stands of it is kept."),
                tr("Load and stop the answer"),
                on_yes=lambda: self._load(preset, card),
            )
        else:
            self._load(preset, card)

    def _load(self, preset: Preset, card: ModelCard) -> None:
        shown = self.form.values()
        changes: dict[str, SettingValue | None] = {}
        if preset.name in self.drafts:
            changes = {**dict.fromkeys(preset.values), **shown}
        self.context.operations.run(
            self, lambda client: client.load(card.path, preset=preset.name, values=changes)
        )

    def _choose_model(self, path: str) -> None:
        found = next((card for card in self.context.state.models if card.path == path), None)
        if found is not None:
            self._card = found
            self._show_card()

    def _look_for_file(self) -> None:
        dialog = QFileDialog(self, tr("Choose a model"), "", tr("Models (*.gguf)"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._inspect)
        dialog.open()

    def _inspect(self, path: str) -> None:
        def told(card: ModelCard) -> None:
            self._card = card
            self._show_card()

        self.context.operations.run(self, lambda client: client.inspect(path), done=told)

    def _new(self) -> None:
        name, number_ = tr("New preset"), 2
        taken = {preset.name.casefold() for preset in self.context.state.presets}
        free = name
        while free.casefold() in taken:
            free, number_ = f"{name} {number_}", number_ + 1
        self._make(lambda client: client.save_preset(Preset(name=free)))

    def _duplicate(self) -> None:
        preset = self.current
        if preset is not None:
            self._make(lambda client: client.duplicate_preset(preset.name))

    def _make(self, work: Callable[[ServiceClient], Preset]) -> None:
        def made(preset: Preset) -> None:
            self._wanted = preset.name
            self.context.state.fetch_presets()

        self.context.operations.run(self, work, done=made)

    def _open_menu(self) -> None:
        preset = self.current
        menu = Menu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(tr("Import a file…"), self._import)
        menu.addAction(tr("Explain a config.json…"), self.explain)
        if preset is not None:
            rename = menu.addAction(tr("Rename…"), self._rename)
            remove = menu.addAction(tr("Delete"), self.remove_now)
            for action in (rename, remove):
                action.setEnabled(not preset.shipped)
                if preset.shipped:
                    action.setToolTip(
                        tr("Shipped presets stay as they are. Duplicate it and change the copy.")
                    )
            if self._card is not None:
                menu.addSeparator()
                menu.addAction(tr("Use by itself for {model}", model=self._card.name), self._use_by_itself)
        menu.open_below(self.more)

    def explain(self) -> ExplainDialog:
        """Open the explanation of a configuration; what it sets goes into the form."""
        preset = self.current
        dialog = ExplainDialog(self.context.operations, None if preset is None else preset.name, self)
        dialog.applied.connect(self.form.change)
        dialog.open()
        return dialog

    def _rename(self) -> None:
        preset = self.current
        if preset is None:
            return
        dialog = Dialog(tr("Rename {name}", name=preset.name), self)
        field = TextField(preset.name, label=tr("Name"))
        field.selectAll()
        dialog.body.addWidget(field)
        dialog.add_button(Button(tr("Cancel"), kind="ghost"), closes="reject")
        rename = dialog.add_button(Button(tr("Rename"), kind="primary"))

        def done(renamed: Preset) -> None:
            if preset.name in self.drafts and renamed.name != preset.name:
                self.drafts[renamed.name] = self.drafts.pop(preset.name)
            self._wanted = renamed.name
            self.context.state.fetch_presets()
            dialog.accept()

        def refused(error: PultError) -> None:
            field.set_problem(error_sentence(error.info()))

        def act() -> None:
            name = field.text()
            self.context.operations.run(
                dialog, lambda client: client.rename_preset(preset.name, name), done=done, failed=refused
            )

        rename.clicked.connect(act)
        field.returnPressed.connect(act)
        dialog.open()

    def remove_now(self) -> None:
        """Delete the person's preset; the toast brings it back with its comments."""
        preset = self.current
        if preset is None or preset.shipped:
            return
        name = preset.name

        def work(client: ServiceClient) -> str:
            text = client.preset_toml(name)
            client.remove_preset(name)
            return text

        def removed(text: str) -> None:
            draft = self.drafts.pop(name, None)

            def undo() -> None:
                if draft is not None:
                    self.drafts[name] = draft
                self._make(lambda client: client.import_preset(text, name))

            self.context.state.fetch_presets()
            self.context.toast(tr("Preset {name} deleted.", name=name), action=tr("Undo"), on_action=undo)

        self.context.operations.run(self, work, done=removed)

    def _use_by_itself(self) -> None:
        preset, card = self.current, self._card
        if preset is None or card is None:
            return
        told = tr("{model} takes {preset} by itself now.", model=card.name, preset=preset.name)
        self.context.operations.run(
            self,
            lambda client: client.set_default_preset(preset.name, model_path=card.path),
            done=lambda _none: self.context.toast(told),
        )

    def _export(self) -> None:
        preset = self.current
        if preset is None:
            return
        shown = preset.model_copy(
            update={"values": self.form.values(), "description": self.form.reason.text(), "problem": None}
        )
        dialog = QFileDialog(
            self, tr("Export {name}", name=preset.name), f"{preset.name}.toml", "TOML (*.toml)"
        )
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self._write(Path(path), shown))
        dialog.open()

    def _write(self, path: Path, preset: Preset) -> None:
        def work(client: ServiceClient) -> None:
            from app.shared.atomic_file import write_atomically

            write_atomically(path, preset_toml(preset, before=client.preset_toml(preset.name)))

        told = tr("Exported to {path}.", path=str(path))
        self.context.operations.run(self, work, done=lambda _none: self.context.toast(told))

    def _import(self) -> None:
        dialog = QFileDialog(self, tr("Import a preset"), "", "TOML (*.toml)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.import_file(Path(path)))
        dialog.open()

    def import_file(self, path: Path) -> None:
        """Take a preset in from a TOML file."""

        def work(client: ServiceClient) -> Preset:
            from app.shared.errors import BadRequest

            try:
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise BadRequest(
                    "{path} cannot be read as text: {reason}.", path=str(path), reason=str(error)
                ) from error
            return client.import_preset(text, path.stem)

        self._make(work)

    def accept_files(self, paths: list[str]) -> bool:
        files = [Path(path) for path in paths if path.lower().endswith(".toml")]
        for file in files:
            self.import_file(file)
        return bool(files)
