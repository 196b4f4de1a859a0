"""The main window: rail, strip, notices and pages, wired to the service that starts behind the first paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QPoint, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDropEvent,
    QIcon,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.shared import paths
from app.ui import excepthooks
from app.ui.bridge import Bridge
from app.ui.context import WindowContext
from app.ui.controls.notices import Toast
from app.ui.i18n import tongue, tr
from app.ui.icons import pixmap
from app.ui.operations import Operations, unexpected
from app.ui.shell.loading import Loading
from app.ui.shell.model_picker import ModelPicker
from app.ui.shell.notices import ENGINE, SERVICE, Notices
from app.ui.shell.overlay import Overlay
from app.ui.shell.pages import PLACES, Imports, PageStack
from app.ui.shell.palette import Palette
from app.ui.shell.rail import Rail
from app.ui.shell.service_link import ServiceLink
from app.ui.shell.shortcut_sheet import ShortcutSheet
from app.ui.shell.strip import Strip
from app.ui.shell.taste import choose_language, choose_theme, next_language
from app.ui.shell.window_actions import add_actions
from app.ui.shortcuts import Actions
from app.ui.state import AppState
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.client.launch import RunningService
    from app.shared.engine import EngineState
    from app.shared.errors import ErrorInfo
    from app.shared.events import State
    from app.ui.main import WindowOptions
    from app.ui.window_memory import WindowMemory


class MainWindow(QWidget):
    """Everything in one window. `begin` runs by itself after the first paint; `shut_down` ends what it started."""

    def __init__(
        self,
        memory: WindowMemory,
        *,
        opener: Callable[[], RunningService],
        model: str | None = None,
        options: WindowOptions,
    ) -> None:
        super().__init__()
        self._memory, self._model, self._options = memory, model, options
        self._begun = self._shut = False
        self._restarted = False
        self._overlay: Overlay | None = None
        self.setWindowTitle("Pult")
        self.setWindowIcon(QIcon(pixmap("logo", "text", 64, ratio=1.0)))
        self.setMinimumSize(*theme().pair("window_min"))
        self.setAcceptDrops(True)
        self.link = ServiceLink(opener, self)
        self.operations = Operations(self.link.client, parent=self)
        self.bridge = Bridge(self)
        self.state = AppState(self.bridge, self.operations, self)
        self.context = WindowContext(
            client=self.link.waiting_client(),
            state=self.state,
            bridge=self.bridge,
            operations=self.operations,
            navigate=self.show_page,
            toast=self.say,
            settings=memory,
            choose_model=self.choose_model,
        )
        self.loading = Loading(self.context, self)
        self.actions_table = Actions(self)
        self._page_id = memory.get("page", "chat")
        if self._page_id not in {place.id for place in PLACES}:
            self._page_id = "chat"
        self._imports = Imports(self._page_id, self)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(0)
        self._build()
        add_actions(self)
        self._connect()
        self._restore_geometry()

    # building

    def _build(self) -> None:
        """Make rail, strip, notices and the empty stack; again after a change of language."""
        self.rail = Rail()
        for place in PLACES:
            self.rail.add(place.id, place.title, place.icon, at_bottom=place.at_bottom)
        self.rail.choose(self._page_id)
        self.rail.chosen.connect(self.show_page)
        self.strip = Strip(self.context, self.loading)
        self.strip.model.name.clicked.connect(self.choose_model)
        self.notices = Notices(
            {
                "reload": self._reload_or_retry,
                "choose_model": self.choose_model,
                "edit_preset": lambda: self.show_page("presets"),
                "settings": lambda: self.show_page("settings"),
                "free_disk": lambda: self.open_folder(str(paths.data_dir())),
                "log": lambda: self.show_page("log"),
            }
        )
        self.pages = PageStack()
        self.pages.use(self.context)
        self.pages.shown.connect(self._page_shown)
        self.work = QWidget()
        column = QVBoxLayout(self.work)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.notices)
        column.addWidget(self.pages, 1)
        self._frame = QWidget()
        right = QVBoxLayout(self._frame)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(0)
        right.addWidget(self.strip)
        right.addWidget(self.work, 1)
        self.toast_panel = Toast(self.work)
        self._row.addWidget(self.rail)
        self._row.addWidget(self._frame, 1)

    def _rebuild(self) -> None:
        """Word everything anew: the simplest way that leaves nothing in the old language. Layouts are kept."""
        self.dismiss_overlay()
        page = self._page_id
        self.pages.clear()
        for old in (self.rail, self._frame):
            self._row.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._build()
        if self._begun:
            self.show_page(page)
        engine = self.state.engine
        if engine is not None:
            self._engine_changed(engine)

    def _connect(self) -> None:
        self.link.opened.connect(self._service_opened)
        self.link.died.connect(self._service_died)
        self.link.failed.connect(self._service_failed)
        self.operations.failed.connect(self._show_error)
        self.loading.refused.connect(self._show_error)
        self.bridge.problem.connect(self._show_error)
        self.bridge.stateReplaced.connect(self._state_replaced)
        self.state.engineChanged.connect(self._engine_changed)
        self._imports.imported.connect(self._imported)
        tongue().changed.connect(self._rebuild)
        themes().changed.connect(self.update)
        self._forget_faults = excepthooks.on_fault(self._fault)

    # start and end

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._begun:
            # After the first paint: the timer's turn comes when the paint events are done.
            QTimer.singleShot(0, self.begin)

    def begin(self) -> None:
        """Start the service, its events and the first page. Called once, after the first paint."""
        if self._begun or self._shut:
            return
        self._begun = True
        self.link.open()
        self.bridge.start(self.link.client_for_events)
        self._imports.start()

    def shut_down(self) -> None:
        """Save the layout, end threads and the service that was started for this window."""
        if self._shut:
            return
        self._shut = True
        tongue().changed.disconnect(self._rebuild)
        self._forget_faults()
        self.dismiss_overlay()
        if self.pages.current_page is not None:
            self.pages.current_page.hidden()
        for page in self.pages.built():
            page.save_layout()
        self._memory.put("page", self._page_id)
        self._memory.put("geometry", bytes(self.saveGeometry().toBase64().data()).decode())
        self._memory.save()
        self._imports.stop()
        self.bridge.ask_to_stop()
        self.operations.close(wait=False)
        self.link.close()
        self.bridge.stop(seconds=2.0)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.hide()
        self.shut_down()
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Not a QShortcut: whatever has the focus may want Esc for itself and gets it first.
        if event.key() == Qt.Key.Key_Escape and not event.modifiers():
            self.stop()
            return
        super().keyPressEvent(event)

    def _restore_geometry(self) -> None:
        kept = self._memory.text("geometry")
        restored = kept is not None and self.restoreGeometry(QByteArray.fromBase64(kept.encode()))
        if not restored:
            screen = self.screen().availableGeometry()
            self.resize(min(1280, screen.width()), min(800, screen.height()))

    # the service

    def _service_opened(self, address: str) -> None:
        self.notices.withdraw(SERVICE)

    def _service_died(self, info: ErrorInfo) -> None:
        self._restarted = True
        self.notices.show_warning(info, key=SERVICE)

    def _service_failed(self, info: ErrorInfo) -> None:
        self.notices.show_error(info, key=SERVICE)

    def _state_replaced(self, state: State) -> None:
        if self._restarted:
            self._restarted = False
            self.say(tr("The service is back."))
            self.loading.after_restart()
        else:
            self.loading.start(self._model, preset=self._options.preset, values=self._options.values)

    def _engine_changed(self, engine: EngineState) -> None:
        if engine.error is not None:
            self.notices.show_error(engine.error, key=ENGINE)
        else:
            self.notices.withdraw(ENGINE)

    def _reload_or_retry(self) -> None:
        if self.state.connected:
            self.loading.reload()
        else:
            self.link.retry()

    def _fault(self, error: BaseException) -> None:
        # Any thread may call this; the signal carries it to the window's own.
        self.operations.failed.emit(unexpected(error).info())

    def _show_error(self, info: ErrorInfo) -> None:
        # Every request fails in the same way while the service is away: that is one thing to say.
        self.notices.show_error(info, key=SERVICE if info.kind == "service_unreachable" else None)

    # pages

    def show_page(self, page_id: str) -> None:
        """Bring a page to the front."""
        self._page_id = page_id
        self.rail.choose(page_id)
        if self._begun:
            self.pages.show_page(page_id)

    def reveal(self, page_id: str, kind: str, key: str) -> None:
        """Show one thing on its page."""
        self.show_page(page_id)
        page = self.pages.current_page
        if page is not None and not page.reveal(kind, key):
            page.focus_main()

    def _imported(self, page_id: str) -> None:
        if page_id == self._page_id and self.pages.current_id is None and not self._shut:
            page = self.pages.show_page(page_id)
            page.focus_main()

    def _page_shown(self, page_id: str) -> None:
        self._page_id = page_id
        self.rail.choose(page_id)
        title = next(place.title for place in PLACES if place.id == page_id)
        self.setWindowTitle(f"{tr(title)} – Pult")

    # what the actions do

    def choose_model(self) -> None:
        """Open the model picker under the strip's model cell."""
        corner = self.strip.model.mapTo(self, QPoint(0, self.strip.model.height() + 4))
        self._open(ModelPicker(self, self.context, self.loading, at=corner))

    def open_palette(self) -> None:
        """Open the palette; the same key closes it."""
        if isinstance(self._overlay, Palette):
            self.dismiss_overlay()
            return
        self._open(Palette(self, self.context, self.actions_table, self.loading, self.reveal))

    def open_shortcuts(self) -> None:
        """Open the sheet of keys; the same key closes it."""
        if isinstance(self._overlay, ShortcutSheet):
            self.dismiss_overlay()
            return
        self._open(ShortcutSheet(self, self.actions_table))

    def new_chat(self) -> None:
        """Begin a chat on the chat page."""
        self.reveal("chat", "new", "chat")

    def stop(self) -> None:
        """Esc: stop the load or the answer."""
        engine = self.state.engine
        if engine is not None and engine.status == "loading":
            self.loading.cancel()
            return
        page = self.pages.current_page
        if page is not None and page.stop_work():
            return
        if self.state.answering:
            self.loading.cancel()

    def next_region(self, step: int) -> None:
        """F6: give the keyboard to the next part of the window."""
        page = self.pages.current_page
        stops: list[tuple[QWidget, Callable[[], None]]] = [
            (self.strip, self.strip.focus_model),
            *((region, _focus(region)) for region in (page.regions() if page is not None else ())),
            (self.rail, self.rail.focus_chosen),
        ]
        focus = self.focusWidget()
        now = next(
            (
                place
                for place, (region, _) in reversed(list(enumerate(stops)))
                if focus is not None and (region is focus or region.isAncestorOf(focus))
            ),
            -1 if step > 0 else 0,
        )
        for offset in range(1, len(stops) + 1):
            region, act = stops[(now + step * offset) % len(stops)]
            if region.isVisible():
                act()
                return

    def toggle_theme(self) -> None:
        """Dark to light and back."""
        choose_theme(self._memory, "light" if theme().dark else "dark")

    def toggle_language(self) -> None:
        """The other language."""
        choose_language(self._memory, next_language())

    def open_folder(self, folder: str) -> None:
        """Show a folder in the file manager."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(folder))

    def say(
        self, text: str, *, action: str | None = None, on_action: Callable[[], object] | None = None
    ) -> None:
        """Say something for six seconds, with at most one thing to do about it."""
        self.toast_panel.show_message(text, action=action, on_action=on_action)

    def overlay(self) -> Overlay | None:
        """What is open over the window."""
        return self._overlay

    def dismiss_overlay(self) -> None:
        """Close what is open over the window."""
        if self._overlay is not None:
            self._overlay.dismiss()

    def _open(self, overlay: Overlay) -> None:
        self.dismiss_overlay()
        self._overlay = overlay
        overlay.closed.connect(self._overlay_closed)
        overlay.open()

    def _overlay_closed(self) -> None:
        self._overlay = None

    # drops

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            event.acceptProposedAction()
            self.take_files(files)

    def take_files(self, files: list[str]) -> None:
        """Load a GGUF; hand other files to the page, or to the chat page if this one has no use for them."""
        models = [file for file in files if file.lower().endswith(".gguf")]
        others = [file for file in files if file not in models]
        if models:
            self.loading.load(models[0])
            if len(models) > 1:
                self.say(tr("One model is loaded at a time: {name}.", name=models[0].rsplit("/", 1)[-1]))
        if others:
            page = self.pages.current_page
            if page is None or not page.accept_files(others):
                self.show_page("chat")
                chat = self.pages.current_page
                if chat is None or not chat.accept_files(others):
                    self.say(tr("These files are neither models nor text."))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("bg1"))


def _focus(region: QWidget) -> Callable[[], None]:
    def act() -> None:
        target = region
        if region.focusPolicy() == Qt.FocusPolicy.NoFocus:
            inside = [
                child
                for child in region.findChildren(QWidget)
                if child.isVisible() and child.isEnabled() and child.focusPolicy() & Qt.FocusPolicy.TabFocus
            ]
            target = inside[0] if inside else region
        target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    return act
