"""Asks for one name."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QWidget

from app.ui.controls import Button, Dialog, TextField
from app.ui.i18n import tr


def ask_for_name(
    parent: QWidget, title: str, label: str, name: str, verb: str, then: Callable[[str], None]
) -> Dialog:
    """Open a dialog with one field; `then(name)` gets what was written, never empty. Returns the open dialog."""
    dialog = Dialog(title, parent, width=360)
    field = TextField(name, dialog, label=label, placeholder=label)
    dialog.body.addWidget(field)
    dialog.add_button(Button(tr("Cancel")), closes="reject")
    primary = dialog.add_button(Button(verb, kind="primary"), closes="accept")

    def check() -> None:
        primary.set_reason(None if field.text().strip() else tr("Write a name first"))

    field.textChanged.connect(check)
    field.returnPressed.connect(primary.click)
    dialog.accepted.connect(lambda: then(field.text().strip()))
    check()
    dialog.open()
    field.setFocus()
    field.selectAll()
    return dialog
