"""The window's pages: which there are, made when first needed, their modules imported ahead by a thread."""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from app.ui.context import Page, WindowContext
from app.ui.excepthooks import report_exception
from app.ui.i18n import mark
from app.ui.operations import unexpected


@dataclass(frozen=True, kw_only=True)
class PagePlace:
    """A page of the rail before it exists."""

    id: str
    title: str
    icon: str
    module: str
    name: str
    at_bottom: bool = False


PLACES = (
    PagePlace(id="chat", title=mark("Chat"), icon="chat", module="app.ui.pages.chat.page", name="ChatPage"),
    PagePlace(
        id="presets",
        title=mark("Presets"),
        icon="presets",
        module="app.ui.pages.presets.page",
        name="PresetsPage",
    ),
    PagePlace(
        id="monitor",
        title=mark("Monitor"),
        icon="monitor",
        module="app.ui.pages.monitor.page",
        name="MonitorPage",
    ),
    PagePlace(id="log", title=mark("Log"), icon="log", module="app.ui.pages.log", name="LogPage"),
    PagePlace(
        id="settings",
        title=mark("Settings"),
        icon="settings",
        module="app.ui.pages.settings",
        name="SettingsPage",
        at_bottom=True,
    ),
)


class Imports(QObject):
    """Imports the pages' modules in a thread, so that building a page later costs its widgets only."""

    imported = Signal(str)  # a page's id, also when its import failed

    def __init__(self, first: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._order = sorted(PLACES, key=lambda place: place.id != first)
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="pult-page-imports", daemon=True)

    def start(self) -> None:
        """Begin with the page that is shown first."""
        self._thread.start()

    def stop(self) -> None:
        """Import nothing further and wait for the module under way."""
        self._stop = True
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        for place in self._order:
            if self._stop:
                return
            try:
                importlib.import_module(place.module)
            except Exception as error:  # noqa: BLE001 - the border of a thread; building the page meets it again and shows it
                report_exception(error)
            if not self._stop:
                self.imported.emit(place.id)


class PageStack(QStackedWidget):
    """Holds the pages; `shown` says which one came to the front."""

    shown = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context: WindowContext | None = None
        self._pages: dict[str, Page] = {}
        self._current: str | None = None

    @property
    def current_id(self) -> str | None:
        """The id of the page on screen."""
        return self._current

    @property
    def current_page(self) -> Page | None:
        """The page on screen; None before the first."""
        return self._pages.get(self._current) if self._current is not None else None

    def use(self, context: WindowContext) -> None:
        """Build pages with this context from now on."""
        self._context = context

    def page(self, page_id: str) -> Page:
        """Return a page, built if need be. One that cannot be built is replaced by a page that says so."""
        if page_id not in self._pages:
            if self._context is None:
                raise RuntimeError("the page stack has no context yet")
            self._pages[page_id] = self._build(page_id, self._context)
            self.addWidget(self._pages[page_id])
        return self._pages[page_id]

    def show_page(self, page_id: str) -> Page:
        """Bring a page to the front."""
        page = self.page(page_id)
        if page_id != self._current:
            before = self.current_page
            self._current = page_id
            self.setCurrentWidget(page)
            if before is not None:
                before.hidden()
            page.shown()
            self.shown.emit(page_id)
        return page

    def built(self) -> list[Page]:
        """The pages that exist."""
        return list(self._pages.values())

    def clear(self) -> None:
        """Save the layouts and let all pages go; the next `show_page` builds anew."""
        current = self.current_page
        if current is not None:
            current.hidden()
        for page in self._pages.values():
            page.save_layout()
            self.removeWidget(page)
            page.hide()
            page.deleteLater()
        self._pages.clear()
        self._current = None

    def _build(self, page_id: str, context: WindowContext) -> Page:
        place = next(place for place in PLACES if place.id == page_id)
        try:
            made = getattr(importlib.import_module(place.module), place.name)(context)
            assert isinstance(made, Page)
            made.restore_layout()
        except Exception as error:  # noqa: BLE001 - one page that fails must not take the others along; it is logged and shown
            report_exception(error)
            return FailedPage(context, unexpected(error).info())
        return made


class FailedPage(Page):
    """Stands where a page could not be built, with the sentence why."""

    def __init__(self, context: WindowContext, info: object) -> None:
        super().__init__(context)
        from PySide6.QtWidgets import QVBoxLayout

        from app.shared.errors import ErrorInfo
        from app.ui.controls import Label
        from app.ui.i18n import error_sentence, tr

        assert isinstance(info, ErrorInfo)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.addWidget(Label(tr("This page could not be opened"), "title"))
        column.addWidget(Label(error_sentence(info), "body", "text2", wrap=True, selectable=True))
        column.addStretch(1)
