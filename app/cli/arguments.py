"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from app.shared.engine import RemoteServer, SettingValue
from app.shared.errors import BadValue
from app.shared.settings import check_values


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document and nothing else on stdout"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--preset`, `--set`, `--url`, `--key`, `--engine`."""
    parser.add_argument(
        "--model", metavar="F", help="a GGUF file, or the name of a known model; default: the guide"
    )
    parser.add_argument("--preset", metavar="P", help="a preset's name (pult presets list)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting over the preset's, such as context=8192; may be repeated",
    )
    parser.add_argument(
        "--url", metavar="U", help="an OpenAI-style server instead of a file, up to and with /v1"
    )
    parser.add_argument("--key", default="", metavar="K", help="that server's key")
    parser.add_argument("--engine", default="llama", help=argparse.SUPPRESS)


def setting_values(pairs: Sequence[str]) -> dict[str, SettingValue]:
    """Return `KEY=VALUE` pairs as checked values; raises `BadValue` for the first that may not be."""
    raw: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadValue(
                "--set takes KEY=VALUE, such as context=8192; it got {pair}.",
                key=key.strip() or "set",
                pair=pair,
            )
        raw[key.strip()] = value.strip()
    return check_values(raw)


def remote_server(arguments: argparse.Namespace) -> RemoteServer | None:
    """Return the server that `--url` names."""
    if not arguments.url:
        return None
    return RemoteServer(
        name=str(arguments.url), url=str(arguments.url), key=str(arguments.key), model=arguments.model or ""
    )
