"""The Settings page: language, looks, what opens at the start, telemetry, servers, the API and where things are kept."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl, qVersion
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app import __version__
from app.shared import paths
from app.ui.context import Page, WindowContext
from app.ui.controls import (
    Button,
    Combo,
    ElidedLabel,
    Hairline,
    IconButton,
    Label,
    Segments,
    Switch,
)
from app.ui.i18n import LANGUAGES, language, mark, number, tr
from app.ui.shell.remote_dialog import RemoteDialog
from app.ui.shell.taste import choose_language, choose_theme
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.shared.engine import RemoteServer

RATES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
USUAL_RATE = 2.0
START_WORDS = {
    "last": mark("The last model"),
    "guide": mark("The guide"),
    "nothing": mark("Nothing"),
}


class SettingsPage(Page):
    """One column of groups; every change acts at once and is remembered."""

    page_id = "settings"
    title = mark("Settings")
    icon_name = "settings"

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self._memory = context.settings
        self._servers = QVBoxLayout()
        self._column = QVBoxLayout()
        self._column.setContentsMargins(24, 8, 24, 32)
        self._column.setSpacing(0)
        self._frame()
        self._looks()
        self._start()
        self._measuring()
        self._remote_servers()
        self._api()
        self._places()
        self._about()
        self._column.addStretch(1)
        context.state.connectedChanged.connect(self._connected)
        themes().changed.connect(self._take_theme)
        self._connected(context.state.connected)

    def focus_main(self) -> None:
        chosen = self.language.current()
        if chosen is not None:
            self.language.button(chosen).setFocus(Qt.FocusReason.OtherFocusReason)

    def shown(self) -> None:
        self._fetch()

    # the frame and its rows

    def _frame(self) -> None:
        head = QWidget()
        head.setFixedHeight(theme().metric("page_head"))
        row = QHBoxLayout(head)
        row.setContentsMargins(24, 0, 16, 0)
        row.addWidget(Label(tr("Settings"), "title"))
        row.addStretch(1)
        inside = QWidget()
        inside.setMaximumWidth(theme().metric("form_max") + 48)
        inside.setLayout(self._column)
        wide = QWidget()
        beside = QHBoxLayout(wide)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(inside, 1_000)
        beside.addStretch(1)
        self.view = QScrollArea()
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it takes the keyboard
        self.view.setWidgetResizable(True)
        self.view.setFrameShape(QFrame.Shape.NoFrame)
        self.view.setWidget(wide)
        wide.setAutoFillBackground(False)
        self.view.viewport().setAutoFillBackground(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(Hairline())
        column.addWidget(self.view, 1)

    def _group(self, title: str) -> None:
        self._column.addSpacing(20)
        self._column.addWidget(Label(title, "section"))
        self._column.addSpacing(6)

    def _row(self, label: str, *controls: QWidget, hint: str = "", stretch: bool = False) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        words = QVBoxLayout()
        words.setSpacing(1)
        name = Label(label, "body", "text2", wrap=True)
        words.addStretch(1)
        words.addWidget(name)
        if hint:
            words.addWidget(Label(hint, "secondary", "text3", wrap=True))
        words.addStretch(1)
        box = QWidget()
        box.setMinimumHeight(theme().metric("form_row") + (14 if hint else 4))
        box.setLayout(row)
        left = QWidget()
        left.setLayout(words)
        words.setContentsMargins(0, 4, 0, 4)
        row.addWidget(left, 2 if stretch else 1)
        for control in controls:
            if not control.accessibleName():
                control.setAccessibleName(label)
            row.addWidget(control, 3 if stretch and control is controls[0] else 0)
        self._column.addWidget(box)
        self._column.addWidget(Hairline())

    # the groups

    def _looks(self) -> None:
        self._group(tr("Looks"))
        self.language = Segments(list(LANGUAGES.items()), label=tr("Language"), current=language())
        self.language.chosen.connect(lambda key: choose_language(self._memory, key))
        self._row(tr("Language"), self.language)
        self.theme_choice = Segments(
            [("dark", tr("Dark")), ("light", tr("Light")), ("system", tr("As the system"))],
            label=tr("Theme"),
            current=themes().choice,
        )
        self.theme_choice.chosen.connect(lambda key: choose_theme(self._memory, key))
        self._row(tr("Theme"), self.theme_choice)
        self.strong_borders = Switch(tr("Strong borders"))
        self.strong_borders.setChecked(theme().strong_borders)
        self.strong_borders.clicked.connect(
            lambda on: choose_theme(self._memory, themes().choice, strong_borders=on)
        )
        self._row(
            tr("Strong borders"), self.strong_borders, hint=tr("Fields and cards stand out more clearly")
        )
        self.reduce_motion = Switch(tr("Reduce motion"))
        self.reduce_motion.setChecked(theme().reduce_motion)
        self.reduce_motion.clicked.connect(
            lambda on: choose_theme(self._memory, themes().choice, reduce_motion=on)
        )
        self._row(tr("Reduce motion"), self.reduce_motion, hint=tr("Nothing slides or fades"))

    def _start(self) -> None:
        self._group(tr("Start"))
        self.start_with = Segments(
            [(key, tr(words)) for key, words in START_WORDS.items()],
            label=tr("Open with"),
            current=self._memory.get("start_with", "last"),
        )
        self.start_with.chosen.connect(lambda key: self._keep("start_with", key))
        self._row(tr("Open with"), self.start_with, hint=tr("What is loaded when Pult starts"))

    def _measuring(self) -> None:
        self._group(tr("Measuring"))
        options = [(str(rate), tr("{rate} per second", rate=number(rate))) for rate in RATES]
        self.rate = Combo(options, label=tr("Samples"), current=str(USUAL_RATE))
        self.rate.setMinimumWidth(160)
        self.rate.chosen.connect(self._set_rate)
        self._row(
            tr("Samples of GPU, memory and speed"),
            self.rate,
            hint=tr("Two per second are enough for most; ten show every step"),
        )

    def _remote_servers(self) -> None:
        self._group(tr("Remote servers"))
        self._servers.setSpacing(0)
        self._column.addLayout(self._servers)
        self.add_server = Button(tr("Add a server…"), icon_name="plus", compact=True)
        self.add_server.clicked.connect(self._add_server)
        row = QHBoxLayout()
        row.setContentsMargins(0, 8, 0, 0)
        row.addWidget(self.add_server)
        row.addStretch(1)
        self._column.addLayout(row)
        self._show_servers(())

    def _api(self) -> None:
        self._group(tr("API for other programs"))
        self.address = ElidedLabel("", "code", "text")
        copy_address = IconButton("copy", tr("Copy the address"))
        copy_address.clicked.connect(
            lambda: self._copy(self.address.text(), tr("The address is on the clipboard."))
        )
        self._row(
            tr("Address"),
            self.address,
            copy_address,
            hint=tr("OpenAI's interface, on this computer only"),
            stretch=True,
        )
        hidden = ElidedLabel("•" * 16, "code", "text2")
        hidden.setAccessibleName(tr("Hidden"))
        self.copy_token = Button(tr("Copy the key"), icon_name="copy", compact=True)
        self.copy_token.clicked.connect(self._copy_token)
        self._row(
            tr("Key"), hidden, self.copy_token, hint=tr("New at every start of the service"), stretch=True
        )

    def _places(self) -> None:
        self._group(tr("Where things are kept"))
        for label, folder in (
            (tr("Chats, presets, measurements"), paths.data_dir()),
            (tr("Settings of the window"), paths.config_dir()),
            (tr("Log files"), paths.log_dir()),
        ):
            path = ElidedLabel(str(folder), "code", "text", mode=Qt.TextElideMode.ElideMiddle)
            show = IconButton("external", tr("Open the folder"))
            show.clicked.connect(
                lambda _checked=False, folder=str(folder): QDesktopServices.openUrl(
                    QUrl.fromLocalFile(folder)
                )
            )
            self._row(label, path, show, stretch=True)

    def _about(self) -> None:
        self._group(tr("About"))
        self.version = ElidedLabel("", "body", "text")
        self.engine_version = ElidedLabel("", "body", "text")
        qt = ElidedLabel(f"Qt {qVersion()}, Python {platform.python_version()}", "body", "text")
        self._row("Pult", self.version, stretch=True)
        self._row(tr("Engine"), self.engine_version, stretch=True)
        self._row(tr("Window"), qt, stretch=True)

    # what happens

    def _keep(self, key: str, value: str) -> None:
        self._memory.put(key, value)
        self._memory.save()

    def _set_rate(self, key: str) -> None:
        hertz = float(key)
        self.context.operations.run(self, lambda client: client.set_telemetry_rate(hertz))

    def _take_preferences(self, kept: Mapping[str, object]) -> None:
        hertz = kept.get("telemetry_hertz")
        if isinstance(hertz, (int, float)):
            self.rate.set_current(str(float(hertz)))

    def _copy(self, text: str, said: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.context.toast(said)

    def _copy_token(self) -> None:
        self.context.operations.run(
            self,
            lambda client: client.token,
            done=lambda token: self._copy(token, tr("The key is on the clipboard.")),
        )

    def _connected(self, _on: bool) -> None:
        state = self.context.state
        self.address.setText(f"{state.address}/v1" if state.address else tr("the service is starting"))
        self.version.setText(state.version or __version__)
        self.engine_version.setText(state.engine_version or tr("not started yet"))
        if state.connected and self.isVisible():
            self._fetch()

    def _take_theme(self) -> None:
        self.theme_choice.set_current(themes().choice)
        self.strong_borders.setChecked(theme().strong_borders)
        self.reduce_motion.setChecked(theme().reduce_motion)

    # servers

    def _fetch(self) -> None:
        self.engine_version.setText(self.context.state.engine_version or tr("not started yet"))
        self.context.operations.run(self, lambda client: client.remotes(), done=self._show_servers)
        self.context.operations.run(self, lambda client: client.preferences(), done=self._take_preferences)

    def _show_servers(self, servers: Sequence[RemoteServer]) -> None:
        while (item := self._servers.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        if not servers:
            text = tr(
                "None yet. Any server with OpenAI's interface can answer in place of a file on this computer."
            )
            self._servers.addWidget(Label(text, "secondary", "text3", wrap=True))
        for server in servers:
            self._servers.addWidget(self._server_row(server))

    def _server_row(self, server: RemoteServer) -> QWidget:
        box = QWidget()
        box.setFixedHeight(theme().metric("form_row") + 4)
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(ElidedLabel(server.name, "control"), 2)
        row.addWidget(ElidedLabel(server.url, "code", "text2"), 3)
        change = IconButton("pencil", tr("Change {name}", name=server.name))
        change.clicked.connect(
            lambda: RemoteDialog(self, self.context, server=server, saved=self._saved_server).open()
        )
        remove = IconButton("trash", tr("Remove {name}", name=server.name))
        remove.clicked.connect(lambda: self._remove_server(server))
        row.addWidget(change)
        row.addWidget(remove)
        return box

    def _add_server(self) -> None:
        RemoteDialog(self, self.context, saved=self._saved_server).open()

    def _saved_server(self, _server: RemoteServer) -> None:
        self._fetch()

    def _remove_server(self, server: RemoteServer) -> None:
        def undo() -> None:
            self.context.operations.run(
                self, lambda client: client.save_remote(server), done=lambda _none: self._fetch()
            )

        def removed(_none: None) -> None:
            self._fetch()
            self.context.toast(
                tr("Server {name} removed.", name=server.name), action=tr("Undo"), on_action=undo
            )

        self.context.operations.run(self, lambda client: client.remove_remote(server.name), done=removed)
