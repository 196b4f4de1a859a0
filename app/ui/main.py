"""Opens the window: paints first, then starts the service behind it. Returns when the window was closed."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from PySide6.QtCore import QSocketNotifier, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.ui import excepthooks
from app.ui.i18n import set_language, system_language
from app.ui.theme import apply_theme
from app.ui.window_memory import WindowMemory

if TYPE_CHECKING:
    from app.client.launch import RunningService
    from app.ui.main_window import MainWindow

SettingValue = bool | int | float | str


@dataclass(kw_only=True)
class WindowOptions:
    """How the window starts. What is None comes from what the window remembers."""

    engine: str = "llama"
    preset: str | None = None
    values: Mapping[str, SettingValue] = field(default_factory=dict)
    language: str | None = None
    theme: str | None = None
    opener: Callable[[], RunningService] | None = (
        None  # another way to come by a service; tests and tools use it
    )


def run(model: str | None = None, options: WindowOptions | None = None, *, engine: str = "llama") -> int:
    """Show the window, on `model` if given, else on the last model or the guide. Returns the exit code."""
    options = options if options is not None else WindowOptions(engine=engine)
    excepthooks.install()
    app = application()
    with ended_by_signals(app):
        window = open_window(app, model, options)
        code = app.exec()
        window.shut_down()
    return code


def application() -> QApplication:
    """Return the one QApplication, made on the first call."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
    QGuiApplication.setDesktopFileName("pult")
    app = QApplication(sys.argv[:1])
    app.setApplicationName("Pult")
    app.setApplicationDisplayName("Pult")
    return app


def open_window(app: QApplication, model: str | None, options: WindowOptions) -> MainWindow:
    """Make and show the main window; the service starts after its first paint."""
    memory = WindowMemory()
    language = options.language or memory.text("language") or system_language()
    set_language("ru" if language == "ru" else "en")
    choice = options.theme or memory.text("theme") or "dark"
    apply_theme(
        app,
        choice if choice in ("light", "system") else "dark",  # type: ignore[arg-type]  # narrowed to ThemeChoice by hand
        strong_borders=memory.get("strong_borders", False),
        reduce_motion=memory.get("reduce_motion", False),
    )
    from app.ui.main_window import MainWindow

    window = MainWindow(memory, opener=options.opener or _opener(options), model=model, options=options)
    window.show()
    return window


def _opener(options: WindowOptions) -> Callable[[], RunningService]:
    def open_it() -> RunningService:
        from app.client.launch import open_service

        return open_service(engine=options.engine)

    return open_it


@contextmanager
def ended_by_signals(app: QApplication) -> Iterator[None]:
    """Close the window in good order on SIGINT and SIGTERM.

    Python runs a signal's handler only between its own instructions, and the event loop is C++: the wakeup socket
    brings the interpreter back, on Windows too.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    before_fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    notifier = QSocketNotifier(ours.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(lambda: ours.recv(64))

    def close(number: int, frame: FrameType | None) -> None:
        app.closeAllWindows()
        app.quit()

    before = {number: signal.signal(number, close) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        notifier.setEnabled(False)
        ours.close()
        theirs.close()
