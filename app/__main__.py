"""The one program: `pult [model.gguf]` opens the window, `pult serve` the service, `--worker engine` is a worker.

Rooms are imported only for the role at hand: the window starts without the service's libraries and the worker
without Qt.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

COMMANDS = ("chat", "serve", "presets", "models", "chats", "telemetry")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for and return the exit status: 0 done, 1 failed, 2 asked wrongly."""
    words = list(sys.argv[1:] if argv is None else argv)
    words = _take_data(words)
    if words[:2] == ["--worker", "engine"]:
        from app.service.engine.worker import main as work

        return work()
    if words and words[0] in COMMANDS:
        return _command(words)
    return _window(words)


def _take_data(words: list[str]) -> list[str]:
    """Take `--data DIR` out of the words, wherever it stands; it moves all user directories."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--data":
            folder = next(rest, None)
            if folder is None:
                sys.exit("pult: --data takes a folder")
            os.environ["PULT_DATA"] = os.path.abspath(folder)  # noqa: PTH100 - before anything is imported
        elif word.startswith("--data="):
            os.environ["PULT_DATA"] = os.path.abspath(word.removeprefix("--data="))  # noqa: PTH100 - as above
        else:
            kept.append(word)
    return kept


def _command(words: list[str]) -> int:
    from app import __version__
    from app.cli import chat, chats, models, presets, serve, telemetry
    from app.cli.output import complain
    from app.shared.errors import PultError

    parser = argparse.ArgumentParser(prog="pult", epilog="--data DIR keeps everything in that folder.")
    parser.add_argument("--version", action="version", version=f"pult {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (chat, serve, presets, models, chats, telemetry):
        command.add_parser(commands)
    arguments = parser.parse_args(words)
    try:
        return int(arguments.run(arguments))
    except PultError as error:
        return complain(error, as_json=getattr(arguments, "json", False))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _window(words: list[str]) -> int:
    from app import __version__

    parser = argparse.ArgumentParser(
        prog="pult",
        description="A control panel for GGUF Qwen models. Without a command it opens the window.",
        epilog="Commands: "
        + ", ".join(COMMANDS)
        + ". pult COMMAND --help explains each. --data DIR keeps everything in that folder.",
    )
    parser.add_argument("model", nargs="?", metavar="model.gguf", help="open the window on this file")
    parser.add_argument("--demo", action="store_true", help="no window: load, answer, tokens/s, memory used")
    parser.add_argument("--engine", default="llama", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"pult {__version__}")
    arguments = parser.parse_args(words)
    if arguments.demo or not display_here():
        return _demo(arguments.model, engine=arguments.engine, asked=arguments.demo)
    from app.ui.main import run

    return run(arguments.model, engine=arguments.engine)


def display_here() -> bool:
    """Whether a window can open: always on Windows and macOS; elsewhere a display, or a platform chosen by hand."""
    if sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _demo(model: str | None, *, engine: str, asked: bool) -> int:
    from app.cli.demo import run_demo
    from app.cli.output import complain
    from app.shared.errors import PultError

    if not asked:
        print(  # noqa: T201 - the one word the terminal gets
            "There is no display (DISPLAY and WAYLAND_DISPLAY are not set), so no window can open."
            " Here is the main job in the terminal instead.\n",
            flush=True,
        )
    try:
        return run_demo(model, engine=engine)
    except PultError as error:
        return complain(error, as_json=False)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
