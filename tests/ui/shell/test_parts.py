"""Bridge, operations, memory, link, hooks and matching, each by itself."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QObject, qWarning
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.shared.chats import Message
from app.shared.errors import Busy, ErrorInfo, PultError, ServiceUnreachable
from app.shared.events import AnswerText, Event, LogLine, MessageChanged
from app.ui import excepthooks
from app.ui.bridge import Bridge
from app.ui.operations import Operations
from app.ui.shell.palette import matches
from app.ui.shell.service_link import RESTARTS, ServiceLink
from app.ui.shortcuts import Action, Actions
from app.ui.window_memory import WindowMemory


def answer(text: str, message: str = "m") -> AnswerText:
    return AnswerText(chat_id="c", message_id=message, text=text, tokens=1)


class TestBridge:
    def test_text_is_merged_and_order_with_messages_is_kept(self, qtbot: QtBot) -> None:
        bridge, heard = Bridge(), []
        bridge.answerText.connect(lambda texts: heard.append([(t.message_id, t.text) for t in texts]))
        bridge.messageChanged.connect(lambda message: heard.append(message.text))
        message = Message(id="m", chat_id="c", role="assistant", text="whole", created_at=1.0)
        for event in (
            answer("a"),
            answer("x", "n"),
            answer("b"),
            MessageChanged(message=message),
            answer("c"),
        ):
            bridge.offer(event)
        qtbot.waitUntil(lambda: len(heard) == 3)
        assert heard == [[("m", "ab"), ("n", "x")], "whole", [("m", "c")]]

    def test_at_most_sixty_deliveries_a_second(self, qtbot: QtBot) -> None:
        bridge, heard = Bridge(), []
        bridge.answerText.connect(lambda texts: heard.append(texts[0].text))
        end = threading.Event()

        def pour() -> None:
            for _ in range(300):
                bridge.offer(answer("t"))
                time.sleep(0.001)
            end.set()

        thread = threading.Thread(target=pour)
        started = time.monotonic()
        thread.start()
        qtbot.waitUntil(lambda: end.is_set() and sum(len(text) for text in heard) == 300)
        thread.join()
        assert len(heard) <= (time.monotonic() - started) * 64 + 2

    def test_log_lines_come_as_one_list(self, qtbot: QtBot) -> None:
        bridge, heard = Bridge(), []
        bridge.logLines.connect(heard.append)
        for number in range(50):
            bridge.offer(LogLine(at=number, level="info", source="worker", text=str(number)))
        qtbot.waitUntil(lambda: bool(heard))
        qtbot.wait(30)
        assert [line.text for lines in heard for line in lines] == [str(number) for number in range(50)]
        assert len(heard) <= 2

    def test_it_connects_again_after_the_stream_broke(self, qtbot: QtBot) -> None:
        bridge, said = Bridge(), []
        bridge.connected.connect(said.append)
        attempts: list[int] = []

        class Source:
            def events(self, stop: threading.Event) -> Iterator[Event]:
                attempts.append(1)
                if len(attempts) == 2:
                    raise ServiceUnreachable("refused")
                yield answer("a")
                if len(attempts) > 2:
                    stop.wait()

        bridge.start(Source)
        qtbot.waitUntil(lambda: said == [True, False, True], timeout=5000)
        bridge.stop()
        assert len(attempts) == 3


class TestOperations:
    @pytest.fixture
    def operations(self, qtbot: QtBot) -> Iterator[Operations]:
        made = Operations(lambda: "client")  # type: ignore[arg-type,return-value]  # the work below takes text
        yield made
        made.close()

    def test_result_arrives_on_the_windows_thread(self, operations: Operations, qtbot: QtBot) -> None:
        threads: list[threading.Thread] = []
        results: list[str] = []

        def work(client: Any) -> str:
            threads.append(threading.current_thread())
            return f"{client} answered"

        def done(result: str) -> None:
            threads.append(threading.current_thread())
            results.append(result)

        operations.run(operations, work, done=done)
        qtbot.waitUntil(lambda: bool(results))
        assert results == ["client answered"]
        assert threads[0] is not threading.main_thread() and threads[1] is threading.main_thread()
        assert operations.running == 0

    def test_a_gone_parent_hears_nothing(self, operations: Operations, qtbot: QtBot) -> None:
        parent, heard, gate = QObject(), [], threading.Event()
        operations.run(parent, lambda _client: gate.wait(5), done=heard.append)
        parent.deleteLater()
        qtbot.wait(10)
        gate.set()
        qtbot.waitUntil(lambda: operations.running == 0)
        assert heard == []

    def test_failures_go_to_the_caller_or_to_the_banner(self, operations: Operations, qtbot: QtBot) -> None:
        def busy(_client: Any) -> None:
            raise Busy("{name} is loading.", name="moe")

        mine: list[PultError] = []
        shown: list[ErrorInfo] = []
        operations.failed.connect(shown.append)
        operations.run(operations, busy, failed=mine.append)
        operations.run(operations, busy)
        qtbot.waitUntil(lambda: bool(mine) and bool(shown))
        assert mine[0].sentence == shown[0].sentence == "moe is loading."


class TestWindowMemory:
    def test_values_come_back(self) -> None:
        memory = WindowMemory()
        memory.put("page", "log")
        memory.put("ratio", 1)
        memory.put("fold", True)
        memory.save()
        again = WindowMemory()
        assert again.get("page", "chat") == "log"
        assert again.get("ratio", 0.5) == 1.0
        assert again.get("fold", False) is True
        assert again.get("fold", 3) == 3, "a switch is not a number"
        again.put("page", None)
        again.save()
        assert WindowMemory().get("page", "chat") == "chat"

    @pytest.mark.parametrize("broken", ["{", "[]", '"text"', "\x00"])
    def test_a_broken_file_is_set_aside(self, broken: str, user_dirs: Path) -> None:
        file = user_dirs / "config" / "window.json"
        file.parent.mkdir(parents=True)
        file.write_text(broken)
        memory = WindowMemory()
        assert memory.get("page", "chat") == "chat"
        assert (file.parent / "window.json.broken").read_text() == broken
        memory.put("page", "log")
        memory.save()
        assert WindowMemory().get("page", "chat") == "log"

    def test_a_folder_that_cannot_be_written_is_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        memory = WindowMemory(tmp_path / "missing" / "window.json")
        memory.put("page", "log")
        memory.save()
        assert "could not be saved" in caplog.text


class _Running:
    address, token, process = "http://127.0.0.1:1", "t", None

    def close(self) -> None:
        """Nothing was started."""


class TestServiceLink:
    def test_waiting_callers_get_the_client_or_the_reason(
        self, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> Any:
            raise ServiceUnreachable("The port is taken.")

        link = ServiceLink(refuse)
        failures: list[ErrorInfo] = []
        link.failed.connect(failures.append)
        link.open()
        qtbot.waitUntil(lambda: bool(failures))
        with pytest.raises(ServiceUnreachable, match="port is taken"):
            link.client()
        link.close()

    def test_a_service_that_dies_again_and_again_is_given_up(
        self, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Dead:
            def health(self) -> None:
                raise ServiceUnreachable("gone")

            def close(self) -> None:
                """Nothing to drop."""

        monkeypatch.setattr("app.client.service_client.ServiceClient", lambda address, token: Dead())
        starts: list[int] = []

        def opener() -> Any:
            starts.append(1)
            return _Running()

        link = ServiceLink(opener)
        failures: list[ErrorInfo] = []
        link.failed.connect(failures.append)
        link.open()
        for _ in range(RESTARTS - 1):
            link.client_for_events()
        with pytest.raises(ServiceUnreachable, match="not started again"):
            link.client_for_events()
        qtbot.waitUntil(lambda: bool(failures))
        assert len(starts) == RESTARTS
        link.retry()
        assert link.client() is not None
        link.close()


class TestHooks:
    @pytest.fixture(autouse=True)
    def installed(self) -> Iterator[None]:
        excepthooks.install()
        yield
        excepthooks.uninstall()
        logging.getLogger().setLevel(logging.WARNING)

    def test_faults_of_any_thread_reach_log_and_listeners(
        self, user_dirs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        heard: list[BaseException] = []
        stop = excepthooks.on_fault(heard.append)
        try:
            raise ValueError("in the window")
        except ValueError as error:
            sys.excepthook(type(error), error, error.__traceback__)
        broken = threading.Thread(target=lambda: 1 / 0)
        broken.start()
        broken.join()
        stop()
        assert [type(error) for error in heard] == [ValueError, ZeroDivisionError]
        log = (user_dirs / "log" / "window.log").read_text(encoding="utf-8")
        assert "in the window" in log and "ZeroDivisionError" in log
        assert "ZeroDivisionError" in capsys.readouterr().err

    def test_qt_messages_are_logged(self, user_dirs: Path) -> None:
        qWarning("a slot was missed")
        assert "a slot was missed" in (user_dirs / "log" / "window.log").read_text(encoding="utf-8")
        assert excepthooks.recent_lines().lines[-1][1] == "warning"


@pytest.mark.parametrize(
    ("query", "texts", "expected"),
    [
        ("new", ("New chat",), 0),
        ("cha new", ("New chat",), 1),
        ("hat", ("New chat",), 2),
        ("kv cache", ("Type of K", "kv_k", "the cache holds"), 3),
        ("absent", ("New chat",), None),
        ("чат", ("Новый чат",), 1),
    ],
)
def test_matching_ranks_the_start_of_words_first(
    query: str, texts: tuple[str, ...], expected: int | None
) -> None:
    assert matches(query, *texts) == expected


def test_actions_refuse_a_taken_key_and_a_known_id(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    table = Actions(window)
    table.add(Action(id="one", title="One", group="g", run=lambda: None, keys=("Ctrl+1",)))
    with pytest.raises(ValueError, match="Ctrl"):
        table.add(Action(id="two", title="Two", group="g", run=lambda: None, keys=("Ctrl+1",)))
    with pytest.raises(ValueError, match="already"):
        table.add(Action(id="one", title="One", group="g", run=lambda: None))
    ran: list[int] = []
    table.add(Action(id="no", title="No", group="g", run=lambda: ran.append(1), enabled=lambda: False))
    assert not table.run("no") and not ran
    assert table.run("one")
    assert QKeySequence(table.get("one").keys[0]).toString() == "Ctrl+1"
