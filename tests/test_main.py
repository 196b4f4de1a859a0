"""The program's entry: which role the words choose, what it says when it cannot, and with which exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import app.__main__ as entry
from app import __version__
from app.shared.errors import Busy


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, Any]]:
    """A window that only notes how it was opened."""
    opened: list[tuple[str | None, Any]] = []

    class WindowOptions(types.SimpleNamespace):
        pass

    def run(model: str | None, options: WindowOptions) -> int:
        opened.append((model, options))
        return 7

    fake = types.ModuleType("app.ui.main")
    fake.run, fake.WindowOptions = run, WindowOptions  # type: ignore[attr-defined]  # a stand-in module
    monkeypatch.setitem(sys.modules, "app.ui.main", fake)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    return opened


def test_no_words_open_the_window(window: list[tuple[str | None, Any]]) -> None:
    assert entry.main([]) == 7
    assert window[0][0] is None


def test_a_file_opens_the_window_on_it(window: list[tuple[str | None, Any]]) -> None:
    words = ["my model.gguf", "--preset", "Quick", "--set", "context=8192", "--set", "thinking=off"]
    assert entry.main(words) == 7
    model, options = window[0]
    assert (model, options.preset, options.values) == (
        "my model.gguf",
        "Quick",
        {"context": 8192, "thinking": False},
    )


def test_data_moves_all_folders_wherever_it_stands(
    window: list[tuple[str | None, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULT_DATA", "before")  # restored at the end
    for words in (["--data", str(tmp_path / "a")], ["x.gguf", f"--data={tmp_path / 'a'}"]):
        assert entry.main(words) == 7
        assert os.environ["PULT_DATA"] == str(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    entry.main(["--data", "beside"])
    assert os.environ["PULT_DATA"] == str(tmp_path / "beside")


@pytest.mark.parametrize("words", [["--data"], ["--data="], ["chat", "--data"]])
def test_data_without_a_folder_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "pult: --data takes a folder.\n"


def test_the_worker_gets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    import app.service.engine.worker as worker

    monkeypatch.setattr(worker, "main", lambda: 5)
    assert entry.main(["--worker", "engine", "--engine", "fake"]) == 5


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["serve", "--version"]):
        with pytest.raises(SystemExit) as caught:
            entry.main(words)
        if words == ["--version"]:
            assert caught.value.code == 0
            assert capsys.readouterr().out == f"pult {__version__}\n"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        entry.main(["--help"])
    told = capsys.readouterr().out
    assert all(command in told for command in entry.COMMANDS)


@pytest.mark.parametrize("command", list(entry.COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entry.main([command, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: pult {command}")
    assert "--json" in told or command in ("presets", "models", "chats")  # there it belongs to what they do


def test_a_word_that_is_neither_command_nor_file(
    window: list[tuple[str | None, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(["telemetri"]) == 2
    told = capsys.readouterr().err
    assert "no command and no file named telemetri" in told and "telemetry" in told
    assert not window
    assert entry.main(["--set", "contxt=5"]) == 2
    assert "Did you mean context" in capsys.readouterr().err


def test_no_display_gives_the_terminal_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import app.cli.demo as demo

    ran: list[str | None] = []

    def run_demo(model: str | None, *, engine: str) -> int:
        ran.append(model)
        return 0

    monkeypatch.setattr(demo, "run_demo", run_demo)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert entry.main(["m.gguf"]) == 0
    assert "There is no display" in capsys.readouterr().out
    monkeypatch.setenv("DISPLAY", ":0")
    assert entry.main(["--demo"]) == 0
    assert capsys.readouterr().out == ""
    assert ran == ["m.gguf", None]


def test_an_error_of_the_demo_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import app.cli.demo as demo

    def run_demo(model: str | None, *, engine: str) -> int:
        raise Busy("The engine is busy.")

    monkeypatch.setattr(demo, "run_demo", run_demo)
    assert entry.main(["--demo"]) == 1
    assert capsys.readouterr().err == "pult: The engine is busy.\n"


def test_the_entry_imports_neither_qt_nor_the_service_nor_the_engine() -> None:
    words = (
        "import sys; import app.__main__ as m\n"
        "try: m.main(['chat', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'PySide6', 'fastapi', 'uvicorn', 'llama_cpp', 'pyqtgraph', 'numpy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    words = "import sys; sys.argv = ['pult']; import app.__main__ as m; import app.cli.telemetry as t\n"
    words += "def run(a):\n    raise BrokenPipeError\n"
    words += "t.run = run\n"
    words += "sys.exit(m.main(['telemetry']))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == ""
