"""`pult serve`: the service without a window."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.cli.arguments import add_json, setting_values


def add_parser(commands: Any) -> None:
    """Declare `pult serve`."""
    parser = commands.add_parser(
        "serve",
        help="the service without a window",
        description="Serve OpenAI's wire format under /v1 and Pult's own API under /api. Prints: ready http://127.0.0.1:P",
    )
    parser.add_argument("--port", type=int, default=0, metavar="P", help="0 takes any free port (default)")
    parser.add_argument(
        "--listen", default="127.0.0.1", metavar="A", help="address to listen on (default 127.0.0.1)"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        default=None,
        metavar="F",
        help="keep the bearer token in this file (mode 0600)",
    )
    parser.add_argument("--model", default=None, metavar="F", help="load this GGUF file at once")
    parser.add_argument("--preset", default=None, metavar="P", help="with this preset")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting over the preset's, such as context=8192; may be repeated",
    )
    parser.add_argument(
        "--engine", default="llama", metavar="E", help="llama, or fake[:tokens per second] for trials"
    )
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from app.service.main import ServeOptions
    from app.service.main import run as serve

    return serve(
        ServeOptions(
            port=arguments.port,
            listen=arguments.listen,
            token_file=arguments.token_file,
            model=arguments.model,
            preset=arguments.preset,
            values=setting_values(arguments.settings),
            engine=arguments.engine,
            with_parent=arguments.with_parent,
        )
    )
