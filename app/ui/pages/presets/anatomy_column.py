"""The anatomy's place on the page: a column where there is room, a dialog where there is not; it asks for what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.models.card import ModelCard
from app.shared.engine import SettingValue
from app.ui.controls import Button, Dialog
from app.ui.i18n import error_sentence, tr
from app.ui.operations import Operations
from app.ui.pages.presets.anatomy_view import AnatomyView
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.models.anatomy_tensors import Anatomy
    from app.shared.errors import PultError

NARROWEST, WIDEST = 264, 520
MOST_KEPT = 16


class AnatomyColumn(QWidget):
    """Holds one view; the dialog borrows a second. Headers are asked for only while something shows them."""

    explain_wanted = Signal()

    def __init__(self, operations: Operations, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._operations = operations
        self._card: ModelCard | None = None
        self._experts: int | None = None
        self._known: dict[tuple[str, float | None], Anatomy] = {}
        self._refused: dict[tuple[str, float | None], str] = {}
        self._asking: set[tuple[str, float | None]] = set()
        self._views: list[AnatomyView] = []
        self._width = NARROWEST
        self.setMinimumWidth(1)
        self.view = self._new_view(AnatomyView())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.hide()

    def sizeHint(self) -> QSize:
        return QSize(self._width, super().sizeHint().height())

    def set_room(self, width: int, *, form: int) -> bool:
        """Take the pixels that form and anatomy share, of which the form needs `form`; too few hide the column.

        Return whether it is shown.
        """
        least = max(NARROWEST, self.view.needed_width())
        fits = width >= least + form
        if fits:
            self._width = min(max(width - theme().metric("form_max") - 24, least), WIDEST)
            self.setMaximumWidth(
                self._width
            )  # and no least width, or the window could not be made narrow again
            self.updateGeometry()
        self.setVisible(fits)
        self._show()
        return fits

    def show_card(self, card: ModelCard | None) -> None:
        """Take the model that the preset would be loaded on."""
        self._card = card
        self._show()

    def show_values(self, values: Mapping[str, SettingValue]) -> None:
        """Take the form's values; the number of experts is lit in the chart."""
        given = values.get("experts")
        self._experts = given if isinstance(given, int) and not isinstance(given, bool) else None
        self._show()

    def open_dialog(self, parent: QWidget) -> Dialog:
        """Show the anatomy in a dialog."""
        dialog = Dialog(tr("Anatomy"), parent, width=480)
        view = self._new_view(AnatomyView(ground="bg2", edges=""))
        view.setMinimumHeight(520)
        dialog.body.addWidget(view, 1)
        dialog.add_button(Button(tr("Close"), kind="primary"), closes="reject")
        view.explain_wanted.connect(dialog.reject)
        dialog.finished.connect(lambda _result: self._views.remove(view))
        dialog.open()
        self._show()
        return dialog

    # inside

    def _new_view(self, view: AnatomyView) -> AnatomyView:
        view.explain_wanted.connect(self.explain_wanted)
        self._views.append(view)
        return view

    def _show(self) -> None:
        shown = [view for view in self._views if view is not self.view or not self.isHidden()]
        if not shown:
            return
        card = self._card
        if card is None:
            self._say(shown, tr("Choose a model to see its anatomy."))
            return
        if card.problem is not None:
            self._say(shown, error_sentence(card.problem))
            return
        key = (card.path, card.modified_at)
        found = self._known.get(key)
        if found is not None:
            for view in shown:
                view.show_anatomy(found, self._experts)
            return
        self._say(shown, self._refused.get(key) or tr("Reading the file's header…"))
        if key not in self._asking and key not in self._refused:
            self._ask(key)

    def _ask(self, key: tuple[str, float | None]) -> None:
        self._asking.add(key)

        def done(found: Anatomy) -> None:
            self._asking.discard(key)
            self._known[key] = found
            while len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._show()

        def failed(error: PultError) -> None:
            self._asking.discard(key)
            self._refused[key] = error_sentence(error.info())
            self._show()

        self._operations.run(self, lambda client: client.anatomy(key[0]), done=done, failed=failed)

    def _say(self, views: list[AnatomyView], text: str) -> None:
        for view in views:
            view.show_message(text)
