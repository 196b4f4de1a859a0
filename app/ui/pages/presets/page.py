"""The Presets page: choose, edit, compare, save, load. Unsaved edits survive leaving the preset, the page, the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.shared.engine import SettingValue
from app.shared.errors import BadValue, PultError, StorageFailed
from app.shared.presets import Preset, different_values, preset_toml
from app.shared.settings import Group, ModelFacts, check_values
from app.ui.context import Page, WindowContext
from app.ui.controls import Banner, Button, Dialog, ElidedLabel, Hairline, IconButton, Menu, Tabs, TextField
from app.ui.forms.form import GROUP_WORDS, PresetForm
from app.ui.i18n import error_sentence, mark, tr
from app.ui.pages.presets.listing import PresetList
from app.ui.pages.presets.panel import LOADED, LoadPanel, panel_width
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.models.card import ModelCard

WIDE = 1500
DRAFTS = "preset_drafts"
Values = dict[str, SettingValue]


class PresetsPage(Page):
    """List, form, panel."""

    page_id = "presets"
    title = mark("Presets")
    icon_name = "presets"

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self._current: str | None = None
        self._drafts: dict[str, Values] = self._kept_drafts()
        self._model_path: str | None = None
        self._against = LOADED
        self._build()
        self._remember = QTimer(self)
        self._remember.setSingleShot(True)
        self._remember.setInterval(400)
        self._remember.timeout.connect(self.save_layout)
        state = context.state
        state.presetsChanged.connect(self._presets_came)
        state.modelsChanged.connect(self._models_came)
        state.engineChanged.connect(self._engine_changed)
        state.telemetryChanged.connect(self._telemetry_came)
        self._presets_came()
        self._models_came()

    # ---- building

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._list = PresetList()
        self._list.chosen.connect(self.show_preset)
        self._list.newWanted.connect(self._new)
        self._list.deleteWanted.connect(lambda: self._remove(self._current))
        self._list.renameWanted.connect(lambda: self._rename(self._current))
        self._list.menuWanted.connect(self._open_menu)
        row.addWidget(self._list)
        work = QWidget()
        column = QVBoxLayout(work)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head())
        self._note = ElidedLabel("", "secondary", "text2")
        note = QHBoxLayout()
        note.setContentsMargins(24, 0, 24, 4)
        note.addWidget(self._note)
        column.addLayout(note)
        self._tabs = Tabs(
            [(group.value, tr(words)) for group, words in GROUP_WORDS.items()], label=tr("Groups")
        )
        tabs = QHBoxLayout()
        tabs.setContentsMargins(16, 0, 24, 0)
        tabs.addWidget(self._tabs, 1)
        column.addLayout(tabs)
        column.addWidget(Hairline())
        self._problem = Banner("err", "")
        self._problem.hide()
        column.addWidget(self._problem)
        self._form = PresetForm()
        self._form.valuesChanged.connect(self._edited)
        self._form.groupShown.connect(self._tabs.set_current)
        self._tabs.chosen.connect(lambda key: self._form.show_group(Group(key)))
        column.addWidget(self._form, 1)
        row.addWidget(work, 1)
        self._panel = LoadPanel()
        self._panel.loadWanted.connect(self.load)
        self._panel.modelChosen.connect(self._choose_model)
        self._panel.comparedChosen.connect(self._compare_with)
        row.addWidget(self._panel)
        for keys, act in (("Ctrl+S", self.save), ("Ctrl+Return", self.load), ("Ctrl+Enter", self.load)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)
        self._fit_columns()

    def _head(self) -> QWidget:
        head = QWidget()
        head.setFixedHeight(theme().metric("page_head"))
        row = QHBoxLayout(head)
        row.setContentsMargins(24, 8, 24, 0)
        row.setSpacing(8)
        self._title = ElidedLabel("", "title")
        row.addWidget(self._title, 1)
        self._duplicate = IconButton("copy", tr("Duplicate"))
        self._duplicate.clicked.connect(lambda: self._copy(self._current))
        self._export = IconButton("upload", tr("Export as TOML…"))
        self._export.clicked.connect(self._export_toml)
        self._more = IconButton("more", tr("More"))
        self._more.clicked.connect(
            lambda: self._open_menu(
                self._current or "", self._more.mapToGlobal(QPoint(0, self._more.height() + 4))
            )
        )
        self._revert = Button(tr("Revert"), kind="ghost")
        self._revert.clicked.connect(self.revert)
        self._save = Button(tr("Save"), keys="Ctrl S")
        self._save.clicked.connect(self.save)
        for widget in (self._duplicate, self._export, self._more, self._revert, self._save):
            row.addWidget(widget)
        return head

    # ---- the preset shown

    @property
    def current(self) -> str | None:
        """The name of the preset in the form."""
        return self._current

    @property
    def form(self) -> PresetForm:
        return self._form

    def show_preset(self, name: str) -> None:
        """Show a preset, with the edits it had when it was left."""
        preset = self._preset(name)
        if preset is None:
            return
        self._current = name
        self._title.setText(name)
        words = tr(preset.description) if preset.description else ""
        if preset.unknown:
            unknown = ", ".join(preset.unknown)
            words = " · ".join(w for w in (words, tr("unknown in this version: {keys}", keys=unknown)) if w)
        self._note.setText(words)
        self._note.setVisible(bool(words))
        self._problem.setVisible(preset.problem is not None)
        if preset.problem is not None:
            self._problem.show_message(
                "err", tr("Part of this preset cannot be used"), error_sentence(preset.problem)
            )
        self._form.set_values(self._drafts.get(name, preset.values))
        self._follow()

    def show_item(self, item: str) -> None:
        """Show a preset by name or a setting by key: what the palette asks for."""
        if self._preset(item) is not None:
            self.show_preset(item)
        else:
            self._form.show_setting(item)

    def _edited(self, values: Values) -> None:
        if self._current is None:
            return
        preset = self._preset(self._current)
        if preset is not None and different_values(values) == dict(preset.values):
            self._drafts.pop(self._current, None)
        else:
            self._drafts[self._current] = dict(values)
        self._follow()
        self._remember.start()

    def _follow(self) -> None:
        """Bring list, buttons, marks and panel in line with the form."""
        name = self._current
        edited = name is not None and name in self._drafts
        nothing = tr("There are no unsaved changes.")
        self._save.set_reason(None if edited else nothing)
        self._revert.set_reason(None if edited else nothing)
        for button in (self._duplicate, self._export, self._more):
            button.setEnabled(name is not None)
        model = self.context.state.model
        self._list.show_presets(
            self.context.state.presets,
            edited=frozenset(self._drafts),
            loaded=model.preset if model is not None else None,
            current=name,
        )
        self._form.set_loaded(self._loaded_values())
        self._show_memory()
        self._compare_with(self._against)

    def _loaded_values(self) -> Values | None:
        model = self.context.state.model
        return dict(model.values) if model is not None else None

    # ---- what comes in

    def _presets_came(self) -> None:
        names = {preset.name for preset in self.context.state.presets}
        for name in [name for name in self._drafts if names and name not in names]:
            del self._drafts[name]
        if self._current not in names:
            chosen = self.context.state.preset
            self._current = chosen if chosen in names else next(iter(sorted(names)), None)
        if self._current is not None:
            self.show_preset(self._current)
        else:
            self._follow()

    def _models_came(self) -> None:
        cards = [card for card in self.context.state.models if card.problem is None]
        loaded = self.context.state.model
        paths = [card.path for card in cards]
        if self._model_path not in paths:
            loaded_path = loaded.path if loaded is not None else None
            self._model_path = loaded_path if loaded_path in paths else next(iter(paths), None)
        self._panel.show_models(cards, self._model_path)
        self._show_model()

    def _engine_changed(self, _engine: object = None) -> None:
        model = self.context.state.model
        known = [card.path for card in self.context.state.models]
        if model is not None and model.path in known and model.path != self._model_path:
            self._model_path = model.path
            self._panel.models.set_current(model.path)
            self._show_model()
        self._follow()

    def _choose_model(self, path: str) -> None:
        self._model_path = path
        self._show_model()

    def _card(self) -> ModelCard | None:
        return next((card for card in self.context.state.models if card.path == self._model_path), None)

    def _show_model(self) -> None:
        card = self._card()
        self._panel.show_model(card)
        facts: ModelFacts | None = card.facts() if card is not None else None
        self._form.set_model(facts, card.name if card is not None else "")
        self._form.set_loaded(self._loaded_values())
        self._show_memory()

    def _telemetry_came(self, _sample: object) -> None:
        if self.isVisible():
            self._show_memory()

    def _show_memory(self) -> None:
        self._panel.show_memory(self._card(), self._form.values, self.context.state.telemetry)

    def _compare_with(self, name: str) -> None:
        other = self._preset(name) if name != LOADED else None
        self._against = name if other is not None else LOADED
        before: Mapping[str, SettingValue] | None = (
            other.values if other is not None else self._loaded_values()
        )
        shown = [preset for preset in self.context.state.presets if preset.name != self._current]
        self._panel.show_comparison(shown, self._against, before, self._form.values)

    def _preset(self, name: str | None) -> Preset | None:
        return next((preset for preset in self.context.state.presets if preset.name == name), None)

    # ---- acts

    def save(self) -> None:
        """Write the edits; a shipped preset becomes the user's own of the same name."""
        name = self._current
        preset = self._preset(name)
        if name is None or preset is None or name not in self._drafts:
            return
        values = dict(self._drafts[name])
        wanted = preset.model_copy(update={"values": values, "shipped": False, "problem": None})

        def saved(_: Preset) -> None:
            if self._drafts.get(name) == values:
                del self._drafts[name]
            self._saved_said(name, preset.shipped)
            self.context.state.fetch_presets()
            self._follow()

        self._run(lambda client: client.save_preset(wanted), saved)

    def _saved_said(self, name: str, was_shipped: bool) -> None:
        if was_shipped:
            self.context.toast(
                tr("Saved as your own {name}; delete it to get the shipped one back", name=name)
            )
        else:
            self.context.toast(tr("Saved {name}", name=name))

    def revert(self) -> None:
        """Drop the edits; the toast takes them back."""
        name = self._current
        if name is None or name not in self._drafts:
            return
        dropped = self._drafts.pop(name)

        def undo() -> None:
            self._drafts[name] = dropped
            self.show_preset(name)

        self.show_preset(name)
        self.context.toast(tr("Reverted {name}", name=name), action=tr("Undo"), on_action=undo)

    def load(self) -> None:
        """Load the chosen model with what the form says, saved or not."""
        path, name = self._model_path, self._current
        if path is None or name is None:
            return
        preset = self._preset(name)
        draft = self._drafts.get(name)
        values: dict[str, SettingValue | None] = {}
        if draft is not None and preset is not None:
            # What the preset has and the draft has not must go back to the default: None says so.
            values = {key: draft.get(key) for key in {*draft, *preset.values}}
        self.context.operations.run(
            self, lambda client: client.load(path, preset=name, values=values), done=lambda _: None
        )

    def _run(self, work: Callable[[ServiceClient], Preset], done: Callable[[Preset], None]) -> None:
        self.context.operations.run(self, work, done=done)

    def _came(self, preset: Preset) -> None:
        self._current = preset.name
        self.context.state.fetch_presets()

    def _new(self) -> None:
        def create(name: str) -> None:
            self._run(lambda client: client.save_preset(Preset(name=name)), self._came)

        self._ask_name(tr("New preset"), tr("Create"), self._free_name(tr("my preset")), create)

    def _copy(self, name: str | None) -> None:
        if name is not None:
            self._run(lambda client: client.duplicate_preset(name), self._came)

    def _rename(self, name: str | None) -> None:
        preset = self._preset(name)
        if name is None or preset is None or preset.shipped:
            return

        def renamed(preset: Preset) -> None:
            if name in self._drafts:
                self._drafts[preset.name] = self._drafts.pop(name)
            self._came(preset)

        def rename(wanted: str) -> None:
            if wanted != name:
                self._run(lambda client: client.rename_preset(name, wanted), renamed)

        self._ask_name(tr("Rename {name}", name=name), tr("Rename"), name, rename)

    def _remove(self, name: str | None) -> None:
        preset = self._preset(name)
        if name is None or preset is None or preset.shipped:
            return

        def restored() -> None:
            self._run(lambda client: client.save_preset(preset), self._came)

        def removed(_: None) -> None:
            self._drafts.pop(name, None)
            self.context.state.fetch_presets()
            self.context.toast(tr("Deleted {name}", name=name), action=tr("Undo"), on_action=restored)

        self.context.operations.run(self, lambda client: client.remove_preset(name), done=removed)

    def _make_default(self, name: str, model_path: str | None) -> None:
        words = tr("{name} is now used by itself for this model", name=name)
        self.context.operations.run(
            self,
            lambda client: client.set_default_preset(name, model_path=model_path),
            done=lambda _: self.context.toast(words),
        )

    def _open_menu(self, name: str, place: QPoint) -> None:
        preset = self._preset(name)
        if preset is None:
            return
        menu = Menu(self)
        menu.addAction(tr("Duplicate")).triggered.connect(lambda: self._copy(name))
        rename = menu.addAction(tr("Rename…"))
        rename.triggered.connect(lambda: self._rename(name))
        rename.setEnabled(not preset.shipped)
        card = self._card()
        if card is not None:
            words = tr("Use by itself for {model}", model=card.name)
            menu.addAction(words).triggered.connect(lambda: self._make_default(name, card.path))
        menu.addSeparator()
        menu.addAction(tr("Import TOML…")).triggered.connect(self._import_toml)
        menu.addSeparator()
        delete = menu.addAction(tr("Delete"))
        delete.triggered.connect(lambda: self._remove(name))
        delete.setEnabled(not preset.shipped)
        if preset.shipped:
            delete.setToolTip(tr("It came with Pult. Duplicate it to change it."))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(place)

    def _export_toml(self) -> None:
        preset = self._preset(self._current)
        if preset is None:
            return
        values = self._drafts.get(preset.name, dict(preset.values))
        text = preset_toml(preset.model_copy(update={"values": values}))
        chosen, _ = QFileDialog.getSaveFileName(
            self, tr("Export a preset"), f"{preset.name}.toml", tr("Presets") + " (*.toml)"
        )
        if chosen:
            self.context.operations.run(
                self, lambda _: _write(Path(chosen), text), done=lambda path: self.context.toast(str(path))
            )

    def _import_toml(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, tr("Import a preset"), "", tr("Presets") + " (*.toml)")
        if chosen:
            self.take_preset_file(Path(chosen))

    def take_preset_file(self, path: Path) -> None:
        """Take in a TOML file as a preset of the user's."""
        self._run(lambda client: client.import_preset(_read(path), path.stem), self._came)

    def accept_files(self, paths: list[str]) -> bool:
        presets = [Path(path) for path in paths if path.lower().endswith(".toml")]
        for path in presets:
            self.take_preset_file(path)
        return bool(presets)

    def _ask_name(self, title: str, verb: str, suggestion: str, then: Callable[[str], None]) -> None:
        dialog = Dialog(title, self)
        field = TextField(suggestion, label=tr("Name"))
        field.selectAll()
        dialog.body.addWidget(field)
        dialog.add_button(Button(tr("Cancel"), kind="ghost"), closes="reject")
        good = dialog.add_button(Button(verb, kind="primary"), closes="accept")
        field.textChanged.connect(
            lambda text: good.set_reason(None if text.strip() else tr("A preset needs a name."))
        )
        field.returnPressed.connect(lambda: dialog.accept() if field.text().strip() else None)
        dialog.accepted.connect(lambda: then(field.text().strip()))
        dialog.open()
        field.setFocus()

    def _free_name(self, stem: str) -> str:
        taken = {preset.name.casefold() for preset in self.context.state.presets}
        if stem.casefold() not in taken:
            return stem
        number = 2
        while f"{stem} {number}".casefold() in taken:
            number += 1
        return f"{stem} {number}"

    # ---- the page in the window

    def focus_main(self) -> None:
        self._list.view.setFocus()

    def regions(self) -> list[QWidget]:
        return [self._list.view, self._tabs, self._panel.models]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        wide = self.window().width() >= WIDE
        self._list.setFixedWidth(theme().width("list_width", "presets", wide=wide))
        self._panel.setFixedWidth(panel_width(wide=wide))

    def save_layout(self) -> None:
        drafts = {name: dict(values) for name, values in self._drafts.items()}
        self.context.settings.put(DRAFTS, drafts)
        self.context.settings.put("preset_shown", self._current)
        self.context.settings.save()

    def restore_layout(self) -> None:
        name = self.context.settings.text("preset_shown")
        if name is not None:
            self._current = name
            self._presets_came()

    def _kept_drafts(self) -> dict[str, Values]:
        kept: dict[str, Values] = {}
        stored: dict[str, object] = self.context.settings.get(DRAFTS, {})
        for name, values in stored.items():
            if not isinstance(values, dict):
                continue
            try:
                kept[name] = check_values(values)
            except BadValue:
                continue  # of another version: the preset's file still has its own values
        return kept


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refused(path, error) from error
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> PultError:
    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
    return StorageFailed("{path} could not be used: {reason}.", path=str(path), reason=reason)
