"""The one program: `pult [model.gguf]` opens the window, `pult serve` the service, `--worker engine` is a worker.

Rooms are imported only for the role at hand: the window starts without the service's libraries and the worker
without Qt.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "chat": "one answer in the terminal",
    "serve": "the service without a window",
    "forecast": "what a model would take of memory, and settings that fit",
    "presets": "list, show and check presets",
    "models": "known GGUF files, and what a file holds",
    "anatomy": "a model's shape, and what works on one token",
    "chats": "list, export and import chats",
    "telemetry": "VRAM, RAM, power, tokens/s",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for and return the exit status: 0 done, 1 failed, 2 asked wrongly."""
    words = _take_data(list(sys.argv[1:] if argv is None else argv))
    if words[:2] == ["--worker", "engine"]:
        from app.service.engine.worker import main as work

        return work()
    if words[:2] == ["--worker", "forecast"]:
        from app.service.engine.llama.dry_run import main as lay_out

        return lay_out()
    if words and words[0] in COMMANDS:
        return _command(words)
    return _window(words)


def _take_data(words: list[str]) -> list[str]:
    """Take `--data DIR` out of the words, wherever it stands before `--`; it moves all user directories."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        if word == "--data" or word.startswith("--data="):
            folder = next(rest, "") if word == "--data" else word.removeprefix("--data=")
            if not folder:
                print("pult: --data takes a folder.", file=sys.stderr)  # noqa: T201 - before any command runs
                sys.exit(2)
            os.environ["PULT_DATA"] = os.path.abspath(folder)  # noqa: PTH100 - before anything is imported
        else:
            kept.append(word)
    return kept


def _command(words: list[str]) -> int:
    from app import __version__
    from app.cli.output import complain
    from app.shared.errors import PultError, StorageFailed

    parser = argparse.ArgumentParser(prog="pult", epilog="--data DIR keeps everything in that folder.")
    parser.add_argument("--version", action="version", version=f"pult {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    # Only the command at hand is imported: `pult serve` must not wait for what `pult chats` needs.
    importlib.import_module(f"app.cli.{words[0]}").add_parser(commands)
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
    except OSError as error:
        refused = StorageFailed(
            "{path} cannot be used: {reason}.",
            path=str(error.filename or "A file or folder"),
            reason=error.strerror or type(error).__name__,
        )
        return complain(refused, as_json=getattr(arguments, "json", False))


def _window(words: list[str]) -> int:
    from app import __version__

    parser = argparse.ArgumentParser(
        prog="pult",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A control panel for GGUF Qwen models. Without a command it opens the window.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<11} {what}" for name, what in COMMANDS.items())
        + "\n\npult COMMAND --help explains each. --data DIR keeps everything in that folder.",
    )
    parser.add_argument("model", nargs="?", metavar="model.gguf", help="open the window on this file")
    parser.add_argument("--preset", default=None, metavar="P", help="load it with this preset")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting over the preset's, such as context=8192; may be repeated",
    )
    parser.add_argument("--demo", action="store_true", help="no window: load, answer, tokens/s, memory used")
    parser.add_argument("--engine", default="llama", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"pult {__version__}")
    arguments = parser.parse_args(words)
    from app.cli.arguments import setting_values
    from app.cli.output import complain
    from app.shared.errors import BadRequest, PultError

    try:
        values = setting_values(arguments.settings)
        model = arguments.model
        if model is not None and "." not in model and "/" not in model and not os.path.exists(model):  # noqa: PTH110
            raise BadRequest(
                "There is no command and no file named {word}. Commands: {commands}.",
                word=model,
                commands=", ".join(COMMANDS),
            )
        if arguments.demo or not display_here():
            return _demo(arguments.model, engine=arguments.engine, asked=arguments.demo)
    except PultError as error:
        return complain(error, as_json=False)
    except KeyboardInterrupt:
        return 130
    from app.ui.main import WindowOptions, run

    return run(
        arguments.model, WindowOptions(engine=arguments.engine, preset=arguments.preset, values=values)
    )


def display_here() -> bool:
    """Whether a window can open: always on Windows and macOS; elsewhere a display, or a platform chosen by hand."""
    if sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _demo(model: str | None, *, engine: str, asked: bool) -> int:
    from app.cli.demo import run_demo

    if not asked:
        print(  # noqa: T201 - the one word the terminal gets
            "There is no display (DISPLAY and WAYLAND_DISPLAY are not set), so no window can open."
            " Here is the main job in the terminal instead.\n",
            flush=True,
        )
    return run_demo(model, engine=engine)


if __name__ == "__main__":
    sys.exit(main())
