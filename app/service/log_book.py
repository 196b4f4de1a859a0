"""The log: a ring of recent lines for the window, a rotating file for later, and the last net for errors nobody caught."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

from app.shared.errors import ErrorInfo, PultError, StorageFailed
from app.shared.events import Event, LogLine, Problem

Level = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FILE_BYTES = 2_000_000
LINE_LIMIT = 8000


class LogBook:
    """Keeps the last `limit` lines, appends all to `folder/pult.log`, and publishes each as an event.

    Safe from any thread. A full disk costs the file's lines, is said once, and never an answer.
    """

    def __init__(self, folder: Path | None, *, publish: Callable[[Event], None], limit: int = 5000) -> None:
        self._publish = publish
        self._lines: deque[LogLine] = deque(maxlen=limit)
        self._lock = threading.Lock()
        self._file: logging.Handler | None = None
        self._hooks: tuple[object, object] | None = None
        if folder is not None:
            try:
                self._file = logging.handlers.RotatingFileHandler(
                    folder / "pult.log", maxBytes=FILE_BYTES, backupCount=3, encoding="utf-8"
                )
            except OSError as error:
                self.add(
                    "warning", "service", f"The log file in {folder} cannot be opened: {error.strerror}."
                )
            else:
                self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
                self._file.handleError = self._file_failed  # type: ignore[method-assign]  # logging's own hook

    def add(self, level: Level, source: str, text: str) -> None:
        """Add one line; `source` is "llama.cpp", "worker" or "service"."""
        text = text.rstrip()[:LINE_LIMIT]
        if not text:
            return
        line = LogLine(at=time.time(), level=level, source=source, text=text)
        self._lines.append(line)
        file = self._file
        if file is not None:
            file.handle(logging.LogRecord(source, LEVELS[level], "", 0, text, (), None))
        self._publish(line)

    def problem(self, error: PultError | ErrorInfo) -> None:
        """Log an error that belongs to no request and tell every window."""
        info = error.info() if isinstance(error, PultError) else error
        self.add("error", "service", info.sentence + (f"\n{info.details}" if info.details else ""))
        self._publish(Problem(error=info))

    def crash(self, where: str, error: BaseException) -> None:
        """Log an exception that reached the border of a thread or of the process, with its traceback."""
        self.problem(
            PultError(
                "Something in Pult's {where} failed unexpectedly: {what}. The log has the details.",
                where=where,
                what=f"{type(error).__name__}: {error}".rstrip(": ")[:300],
                remedies=("log",),
                details="".join(traceback.format_exception(error)),
            )
        )

    def since(self, at: float | None = None, *, limit: int = 2000) -> tuple[LogLine, ...]:
        """Return the lines after Unix time `at`, oldest first, the last `limit` of them."""
        with self._lock:
            lines = list(self._lines)
        if at is not None:
            lines = [line for line in lines if line.at > at]
        return tuple(lines[-limit:])

    def catch_uncaught(self) -> None:
        """Report from now on what no one caught, in any thread and in the main one."""
        self._hooks = (sys.excepthook, threading.excepthook)

        def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if issubclass(kind, KeyboardInterrupt):
                sys.__excepthook__(kind, error, trace)
                return
            self.crash("service", error)

        def in_thread(arguments: threading.ExceptHookArgs) -> None:
            if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
                self.crash(arguments.thread.name if arguments.thread else "service", arguments.exc_value)

        sys.excepthook = in_main
        threading.excepthook = in_thread

    def handler(self) -> logging.Handler:
        """Return a `logging` handler that writes into this book: uvicorn's and the libraries' warnings."""
        return _IntoBook(self)

    def close(self) -> None:
        """Close the file and give the hooks back."""
        if self._hooks is not None:
            sys.excepthook = self._hooks[0]  # type: ignore[assignment]  # what was there before
            threading.excepthook = self._hooks[1]  # type: ignore[assignment]  # what was there before
            self._hooks = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _file_failed(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if self._file is None or not isinstance(error, OSError):
            return
        self._file = None
        self.problem(
            StorageFailed(
                "The log file cannot be written any more: {reason}. Free some disk space; the log goes on in memory.",
                reason=error.strerror or type(error).__name__,
            )
        )


class _IntoBook(logging.Handler):
    def __init__(self, book: LogBook) -> None:
        super().__init__(logging.WARNING)
        self._book = book

    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "".join(traceback.format_exception(record.exc_info[1]))
        self._book.add(level, "service", text)
