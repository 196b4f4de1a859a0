"""A remote OpenAI-style server: name, address, key, model. Saved by the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLineEdit, QWidget

from app.ui.controls import Button, Label, TextField
from app.ui.controls.notices import Dialog
from app.ui.i18n import error_sentence, tr

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.engine import RemoteServer
    from app.shared.errors import PultError
    from app.ui.context import WindowContext


class RemoteDialog(Dialog):
    """Adds a server, or changes one that is given. `saved` is called with it after it was saved."""

    def __init__(
        self,
        parent: QWidget,
        context: WindowContext,
        *,
        server: RemoteServer | None = None,
        saved: Callable[[RemoteServer], object] | None = None,
    ) -> None:
        super().__init__(tr("Change the server") if server is not None else tr("Add a server"), parent)
        self._context, self._server, self._saved = context, server, saved
        text = tr(
            "Any server with OpenAI's interface: vLLM, llama-server, another Pult. The key stays on this computer."
        )
        self.body.addWidget(Label(text, "secondary", "text2", wrap=True))
        self.name = TextField(server.name if server else "", label=tr("Name"), placeholder=tr("Workstation"))
        self.url = TextField(
            server.url if server else "",
            label=tr("Address"),
            placeholder="http://10.0.0.5:8000/v1",
            mono=True,
        )
        self.key = TextField(server.key if server else "", label=tr("Key"), placeholder=tr("none"), mono=True)
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.model = TextField(
            server.model if server else "", label=tr("Model"), placeholder=tr("the server's first"), mono=True
        )
        for field in (self.name, self.url, self.key, self.model):
            self.body.addSpacing(4)
            self.body.addWidget(Label(field.accessibleName(), "secondary", "text2"))
            self.body.addWidget(field)
        self.problem = Label("", "secondary", "err", wrap=True)
        self.problem.hide()
        self.body.addWidget(self.problem)
        self.add_button(Button(tr("Cancel"), kind="ghost"), closes="reject")
        self.save = self.add_button(Button(tr("Save and connect") if saved else tr("Save"), kind="primary"))
        self.save.clicked.connect(self._save)

    def _save(self) -> None:
        from app.shared.engine import RemoteServer

        name, url = self.name.text().strip(), self.url.text().strip().rstrip("/")
        if not name:
            self._refuse(self.name, tr("Give the server a name."))
        elif not url.startswith(("http://", "https://")):
            self._refuse(
                self.url, tr("The address starts with http:// or https:// and usually ends with /v1.")
            )
        else:
            server = RemoteServer(
                name=name, url=url, key=self.key.text().strip(), model=self.model.text().strip()
            )
            renamed = self._server is not None and self._server.name != name

            def work(client: ServiceClient) -> RemoteServer:
                client.save_remote(server)
                if renamed and self._server is not None:
                    client.remove_remote(self._server.name)
                return server

            self.save.set_reason(tr("Saving…"))
            self._context.operations.run(self, work, done=self._done, failed=self._failed)

    def _refuse(self, field: TextField, sentence: str) -> None:
        field.set_problem(sentence)
        field.setFocus()
        self.problem.setText(sentence)
        self.problem.show()

    def _done(self, server: RemoteServer) -> None:
        self.accept()
        if self._saved is not None:
            self._saved(server)

    def _failed(self, error: PultError) -> None:
        self.save.set_reason(None)
        self.problem.setText(error_sentence(error.info()))
        self.problem.show()
