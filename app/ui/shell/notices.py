"""What the window has to say: banners of errors between strip and page, each with the remedies that exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.controls.notices import Banner
from app.ui.i18n import error_sentence, mark, tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.errors import ErrorInfo

LIMIT = 3
LAST = ("reload", "log")  # after what changes something
ENGINE = "engine"  # the one banner of the engine's own state
SERVICE = "service"

REMEDY_WORDS = {
    "reload": mark("Load again"),
    "choose_model": mark("Choose a model…"),
    "edit_preset": mark("Edit the preset"),
    "settings": mark("Settings"),
    "free_disk": mark("Open the data folder"),
    "log": mark("Log"),
}
TITLES = {
    "out_of_memory": mark("Memory ran out"),
    "model_unreadable": mark("The file cannot be loaded"),
    "model_file_missing": mark("The file is not there"),
    "engine_died": mark("The engine ended"),
    "engine_hung": mark("The engine stopped answering"),
    "remote_failed": mark("The remote server failed"),
    "storage_failed": mark("Saving failed"),
    "service_unreachable": mark("The service does not answer"),
    "bad_value": mark("A value is not allowed"),
    "prompt_too_long": mark("The prompt is too long"),
}


def _helps(remedy: str, info: ErrorInfo) -> bool:
    """Say whether a remedy that the error does not name belongs to it all the same."""
    if remedy == "log":
        return bool(info.details)
    return remedy == "reload" and info.kind in (
        "engine_died",
        "engine_hung",
    )  # nothing is loaded after either


class Notices(QWidget):
    """The column of banners. At most three; the same sentence is not said twice."""

    def __init__(self, remedies: Mapping[str, Callable[[], None]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._remedies = remedies
        self._shown: dict[str, tuple[Banner, ErrorInfo]] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 8, 16, 8)
        self._column.setSpacing(8)
        self.setAccessibleName(tr("Notices"))
        self.hide()

    def show_error(self, info: ErrorInfo, *, key: str | None = None) -> None:
        """Show an error; `key` names a banner that is replaced instead of added."""
        self._show("err", info, key)

    def show_warning(self, info: ErrorInfo, *, key: str | None = None) -> None:
        """Show something that is being dealt with."""
        self._show("warn", info, key)

    def withdraw(self, key: str) -> None:
        """Take the banner of that name away, if it is there."""
        found = self._shown.pop(key, None)
        if found is not None:
            banner, _ = found
            self._column.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self.setVisible(bool(self._shown))

    def banners(self) -> list[Banner]:
        """The banners shown, oldest first."""
        return [banner for banner, _ in self._shown.values()]

    def _show(self, kind: str, info: ErrorInfo, key: str | None) -> None:
        name = key or info.sentence
        if name in self._shown and self._shown[name][1] == info:
            return
        self.withdraw(name)
        actions: list[tuple[str, Callable[[], object]]] = []
        for remedy in (*(r for r in info.remedies if r not in LAST), *LAST):
            act = self._remedies.get(remedy)
            if act is not None and (remedy in info.remedies or _helps(remedy, info)):
                actions.append((tr(REMEDY_WORDS[remedy]), self._acting(name, act, stays=remedy == "log")))
        sentence, title = error_sentence(info), TITLES.get(info.kind)
        banner = Banner(
            "warn" if kind == "warn" else "err",
            tr(title) if title else sentence,
            sentence if title else "",
            actions,
            closable=True,
        )
        banner.setMinimumHeight(theme().metric("table_row") + 12)
        banner.closed.connect(lambda: self.withdraw(name))
        self._column.addWidget(banner)
        banner.order_focus(self._stop_before())
        self._shown[name] = (banner, info)
        while len(self._shown) > LIMIT:
            self.withdraw(next(iter(self._shown)))
        self.show()

    def _stop_before(self) -> QWidget | None:
        """Where Tab stops before the banners: Qt orders after widgets that take the focus only."""
        stop = self.previousInFocusChain()
        while stop is not None and stop is not self and not stop.focusPolicy() & Qt.FocusPolicy.TabFocus:
            stop = stop.previousInFocusChain()
        return stop if stop is not self else None

    def _acting(self, name: str, act: Callable[[], None], *, stays: bool) -> Callable[[], None]:
        def do() -> None:
            if not stays:
                self.withdraw(name)
            act()

        return do
