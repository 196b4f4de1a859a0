"""Nothing dies unseen: uncaught exceptions of every thread and Qt warnings go to the log, faults to a banner.

The log is `window.log` in the log folder, and whoever registered with `on_fault` hears a sentence.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from app.shared import paths

Fault = Callable[[BaseException], None]

_log = logging.getLogger("pult.window")
_listeners: list[Fault] = []
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def install() -> None:
    """Write the window's log and take over the three hooks. Called once, before the first widget."""
    handler = logging.handlers.RotatingFileHandler(
        paths.log_dir() / "window.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.addHandler(_recent)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    qInstallMessageHandler(_qt_message)


def uninstall() -> None:
    """Give the hooks back and close the log file; for tests that run several windows in one process."""
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__
    qInstallMessageHandler(None)
    root = logging.getLogger()
    root.removeHandler(_recent)
    for handler in list(root.handlers):
        if isinstance(handler, logging.handlers.RotatingFileHandler):
            root.removeHandler(handler)
            handler.close()


class RecentLines(logging.Handler):
    """The window's own last log lines, for the Log page: (Unix time, level, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[tuple[float, str, str]] = deque(maxlen=500)
        self.listeners: list[Callable[[tuple[float, str, str]], None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        line = (record.created, level, self.format(record))
        self.lines.append(line)
        for listener in list(self.listeners):
            listener(line)


_recent = RecentLines()


def recent_lines() -> RecentLines:
    """Return the holder of the window's own last lines; its listeners are called on any thread."""
    return _recent


def on_fault(listener: Fault) -> Callable[[], None]:
    """Call `listener(exception)` for every uncaught exception, on its own thread; returns how to stop."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def report_exception(error: BaseException) -> None:
    """Log an exception with its trace; for the borders of threads, which word it themselves."""
    _log.error("%s", error, exc_info=(type(error), error, error.__traceback__))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _log.error("Uncaught %s", kind.__name__, exc_info=(kind, error, trace))
    sys.__excepthook__(kind, error, trace)
    for listener in list(_listeners):
        listener(error)


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
        _uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def _qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    _log.log(_LEVELS.get(kind, logging.WARNING), "Qt: %s (%s)", text, context.category or "default")
