"""Ctrl+L: the models there are, and what each is, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from app.ui.controls import Button, FlatCombo, Hairline, Label, SearchField
from app.ui.i18n import error_sentence, file_size, number, tr
from app.ui.shell.overlay import Overlay
from app.ui.shell.palette import best
from app.ui.shell.remote_dialog import RemoteDialog
from app.ui.shell.rows import Row, RowList

if TYPE_CHECKING:
    from app.models.card import ModelCard
    from app.shared.engine import RemoteServer
    from app.ui.context import WindowContext
    from app.ui.shell.loading import Loading

OWN_PRESET = ""  # the preset that is kept as this model's default


class ModelPicker(Overlay):
    """Known models, recent first, the guide, remote servers, a file from disk; with the preset to load with."""

    def __init__(self, window: QWidget, context: WindowContext, loading: Loading, *, at: QPoint) -> None:
        super().__init__(window, width=560, title=tr("Choose a model"), at=at, dim=False)
        self._window, self._context, self._loading = window, context, loading
        self._remotes: tuple[RemoteServer, ...] = ()
        self.field = SearchField(tr("Search models"))
        self.list = RowList(tr("Models"))
        self.note = Label("", "secondary", "text3", wrap=True)
        self.note.setContentsMargins(16, 10, 16, 10)
        self.preset = FlatCombo([], label=tr("Load with preset"))
        self.browse = Button(tr("Open a file…"), icon_name="folder", compact=True)
        self.add_remote = Button(tr("Add a server…"), kind="ghost", icon_name="server", compact=True)
        head = QHBoxLayout()
        head.setContentsMargins(8, 8, 8, 8)
        head.addWidget(self.field)
        foot = QHBoxLayout()
        foot.setContentsMargins(16, 8, 8, 8)
        foot.setSpacing(6)
        foot.addWidget(Label(tr("Load with preset"), "secondary", "text2"))
        foot.addWidget(self.preset, 1)
        foot.addWidget(self.add_remote)
        foot.addWidget(self.browse)
        self.column.addLayout(head)
        self.column.addWidget(Hairline())
        self.column.addWidget(self.list, 1)
        self.column.addWidget(self.note)
        self.column.addWidget(Hairline())
        self.column.addLayout(foot)
        self.field.searched.connect(self._fill)
        self.field.installEventFilter(self)
        self.list.chosen.connect(self._take)
        self.browse.clicked.connect(self._browse)
        self.add_remote.clicked.connect(self._add_remote)
        context.state.modelsChanged.connect(self._fill)

    def open(self) -> None:
        """Show it and ask the service for servers and for the present list of models."""
        super().open()
        presets = [(preset.name, preset.name) for preset in self._context.state.presets]
        self.preset.set_options([(OWN_PRESET, tr("the model's own")), *presets])
        self.preset.set_current(OWN_PRESET)
        self._fill()
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)
        self._context.state.fetch_models()
        self._context.operations.run(self, lambda client: client.remotes(), done=self._take_remotes)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.field and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Escape:
                self.dismiss()
                return True
            return self.list.press(event)
        return super().eventFilter(watched, event)

    def _take_remotes(self, remotes: tuple[RemoteServer, ...]) -> None:
        self._remotes = remotes
        self._fill()

    def _chosen_preset(self) -> str | None:
        return self.preset.current() or None

    def _fill(self, _text: object = None) -> None:
        query = self.field.text().strip()
        cards = sorted(
            self._context.state.models, key=lambda card: (-(card.opened_at or 0), card.name.casefold())
        )
        groups = (
            (tr("Opened before"), [card for card in cards if card.opened_at and not card.guide]),
            (tr("Built in"), [card for card in cards if card.guide]),
            (tr("Found on this computer"), [card for card in cards if not card.opened_at and not card.guide]),
        )
        rows: list[Row] = []
        for title, found in groups:
            kept = best(query, [self._row(card) for card in found])
            if kept:
                rows += [Row(title=title), *kept]
        servers = best(query, [self._server_row(server) for server in self._remotes])
        if servers:
            rows += [Row(title=tr("Servers")), *servers]
        self.list.set_rows(rows)
        self.list.setVisible(bool(rows))
        self.note.setVisible(not rows)
        self.note.setText(
            tr("No model matches.")
            if query
            else tr("No model is known yet. Open a GGUF file, or drop one on the window.")
        )
        self.list.setFixedHeight(min(self.list.wished_height(), max(140, self.most_height() - 120)))
        self.place()

    def _row(self, card: ModelCard) -> Row:
        path = str(card.path)
        loaded = self._context.state.model
        return Row(
            title=card.name,
            mono=card.quantisation or "",
            detail=card_words(card),
            icon="warning" if card.problem else "models",
            warning=bool(card.problem),
            current=loaded is not None and loaded.path == path,
            right=file_size(card.file_bytes) if card.file_bytes is not None else "",
            run=lambda: self._loading.load(path, preset=self._chosen_preset()),
        )

    def _server_row(self, server: RemoteServer) -> Row:
        return Row(
            title=server.name,
            mono=server.model,
            detail=server.url,
            is_path=True,
            icon="server",
            right=tr("remote"),
            run=lambda: self._loading.load_remote(server, preset=self._chosen_preset()),
        )

    def _take(self, row: Row) -> None:
        self.dismiss()
        if row.run is not None:
            row.run()

    def _browse(self) -> None:
        preset = self._chosen_preset()
        self.dismiss()
        browse_for_model(self._window, self._context, self._loading, preset=preset)

    def _add_remote(self) -> None:
        self.dismiss()
        RemoteDialog(self._window, self._context, saved=self._loading.load_remote).open()


def browse_for_model(
    window: QWidget, context: WindowContext, loading: Loading, *, preset: str | None = None
) -> QFileDialog:
    """Open the file dialog, without blocking, and load what is chosen."""
    folder = context.settings.text("models_folder") or str(Path.home())
    dialog = QFileDialog(window, tr("Open a model"), folder, tr("GGUF models") + " (*.gguf)")
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

    def take(path: str) -> None:
        context.settings.put("models_folder", str(Path(path).parent))
        loading.load(path, preset=preset)

    dialog.fileSelected.connect(take)
    dialog.open()
    return dialog


def card_words(card: ModelCard) -> str:
    """Return one line on a model from its header: experts, layers, trained context; or why it cannot be read."""
    if card.problem:
        return error_sentence(card.problem)
    parts = [card.architecture or ""]
    if card.parameter_count:
        parts.append(tr("{count} parameters", count=parameter_words(card.parameter_count)))
    if card.experts:
        parts.append(
            tr("{experts} experts, {used} per token", experts=card.experts, used=card.experts_used or 0)
            if card.experts_used
            else tr("{experts} experts", experts=card.experts)
        )
    if card.layers:
        parts.append(tr("{layers} layers", layers=card.layers))
    if card.trained_context:
        parts.append(tr("trained on {tokens} tokens", tokens=card.trained_context))
    return " · ".join(part for part in parts if part)


def parameter_words(count: int) -> str:
    """Return a count of parameters as the field writes it: `30.5 B`, `4.9 M`."""
    for size, unit in ((10**9, tr("B")), (10**6, tr("M"))):
        if count >= size:
            return f"{number(round(count / size, 1))} {unit}"
    return number(count)
