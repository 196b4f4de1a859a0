"""The log book: ring, file, events, and the nets under every thread."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

from app.service.log_book import LogBook
from app.shared.errors import StorageFailed
from app.shared.events import Event, LogLine, Problem


def test_lines_go_to_ring_file_and_listeners(tmp_path: Path) -> None:
    heard: list[Event] = []
    book = LogBook(tmp_path, publish=heard.append, limit=3)
    for number in range(5):
        book.add("info", "llama.cpp", f"line {number} at 100%\n")
    book.add("info", "service", "   ")
    lines = book.since()
    assert [line.text for line in lines] == [f"line {number} at 100%" for number in (2, 3, 4)]
    assert book.since(lines[0].at, limit=1) == lines[2:]
    assert sum(isinstance(event, LogLine) for event in heard) == 5
    book.close()
    written = (tmp_path / "pult.log").read_text(encoding="utf-8")
    assert "INFO llama.cpp: line 0 at 100%" in written and written.count("\n") == 5


def test_what_nobody_caught_is_reported() -> None:
    heard: list[Event] = []
    book = LogBook(None, publish=heard.append)
    book.catch_uncaught()
    try:
        thread = threading.Thread(target=lambda: {}["nothing"], name="worker of a test")
        thread.start()
        thread.join()
    finally:
        book.close()
    problems = [event.error for event in heard if isinstance(event, Problem)]
    assert (
        len(problems) == 1
        and "worker of a test" in problems[0].sentence
        and "KeyError" in problems[0].sentence
    )
    assert "Traceback" in problems[0].details


def test_libraries_warnings_come_in() -> None:
    book = LogBook(None, publish=lambda event: None)
    logger = logging.getLogger("somebody.else")
    handler = book.handler()
    logger.addHandler(handler)
    try:
        logger.info("too quiet")
        logger.warning("mind the %s", "gap")
    finally:
        logger.removeHandler(handler)
    assert [line.text for line in book.since()] == ["mind the gap"]


def test_a_full_disk_is_said_once_and_the_log_goes_on(tmp_path: Path) -> None:
    heard: list[Event] = []
    book = LogBook(tmp_path, publish=heard.append)
    file = book._file
    assert isinstance(file, logging.handlers.RotatingFileHandler)
    file.stream.close()
    file.stream = open("/dev/full", "w")  # noqa: SIM115, PTH123 - the handler closes it
    book.add("info", "service", "first")
    book.add("info", "service", "second")
    problems = [event.error for event in heard if isinstance(event, Problem)]
    assert [problem.kind for problem in problems] == [StorageFailed.kind]
    assert [line.text for line in book.since() if line.level == "info"] == ["first", "second"]
    file.stream.flush = lambda: None  # type: ignore[method-assign]
    with contextlib.suppress(OSError):
        file.stream.close()
    book.close()
