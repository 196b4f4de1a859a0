"""`pult chats`: list, search, export and import chats, and set a damaged file aside."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli.arguments import add_json
from app.cli.output import print_json, print_table
from app.client.launch import open_service
from app.client.service_client import ServiceClient
from app.shared.errors import BadRequest, NotFound, StorageFailed


def add_parser(commands: Any) -> None:
    """Declare `pult chats`."""
    parser = commands.add_parser("chats", help="list, search, export and import chats")
    inside = parser.add_subparsers(dest="what", required=True)
    listing = inside.add_parser("list", help="all chats, pinned first, newest first")
    listing.set_defaults(run=run_list)
    searching = inside.add_parser("search", help="where these words begin words")
    searching.add_argument("words", nargs="+")
    searching.set_defaults(run=run_search)
    exporting = inside.add_parser("export", help="a chat as JSON (all branches) or Markdown (the path shown)")
    exporting.add_argument("chat", metavar="ID|TITLE")
    exporting.add_argument("--format", choices=("json", "markdown"), default="json")
    exporting.add_argument("--output", metavar="F", help="a file instead of standard output")
    exporting.set_defaults(run=run_export)
    importing = inside.add_parser("import", help="take in exported chats")
    importing.add_argument("file")
    importing.add_argument("--format", choices=("json", "markdown"), help="default: by the file's ending")
    importing.set_defaults(run=run_import)
    aside = inside.add_parser(
        "set-aside", help="keep a damaged chats file under another name, begin with an empty one"
    )
    aside.set_defaults(run=run_set_aside)
    for each in (listing, searching, exporting, importing, aside):
        add_json(each)


def run_list(arguments: argparse.Namespace) -> int:
    """Print all chats."""
    with _client() as client:
        chats = client.chats()
    if arguments.json:
        print_json(chats)
    else:
        print_table([(chat.id[:8], _day(chat.updated_at), chat.title or "(no title)") for chat in chats])
    return 0


def run_search(arguments: argparse.Namespace) -> int:
    """Print the hits; what was found stands in brackets."""
    with _client() as client:
        hits = client.search_chats(" ".join(arguments.words))
    if arguments.json:
        print_json(hits)
        return 0
    for hit in hits:
        snippet = " ".join(hit.snippet.replace("\ue000", "[").replace("\ue001", "]").split())
        print(f"{hit.chat.id[:8]}  {hit.chat.title or '(no title)'}: {snippet}")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Print or write one chat."""
    with _client() as client:
        chat_id = _chat_id(client, arguments.chat)
        text = client.export_chat(chat_id, format=arguments.format)
    if arguments.output is None:
        if arguments.json:
            print_json({"chat_id": chat_id, "format": arguments.format, "text": text})
        else:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return 0
    try:
        Path(arguments.output).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageFailed(
            "{path} could not be written: {reason}.", path=arguments.output, reason=str(error)
        ) from error
    if arguments.json:
        print_json({"chat_id": chat_id, "format": arguments.format, "file": arguments.output})
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Take in a file and print the chats that came of it."""
    path = Path(arguments.file)
    kind = arguments.format or ("markdown" if path.suffix.lower() in (".md", ".markdown") else "json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound("There is no file {path}.", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(
            "{path} cannot be read as text: {reason}.", path=str(path), reason=str(error)
        ) from None
    with _client() as client:
        chats = client.import_chats(text, format=kind)
    if arguments.json:
        print_json(chats)
    else:
        for chat in chats:
            print(f"{chat.id[:8]}  {chat.title or '(no title)'}  {chat.message_count} messages")
    return 0


def run_set_aside(arguments: argparse.Namespace) -> int:
    """Set the chats file aside and say where it is."""
    with _client() as client:
        path = client.set_chats_aside()
    if arguments.json:
        print_json({"path": path})
    else:
        print(
            f"The chats file is now {path}. Pult began with an empty one."
            if path
            else "There was no chats file."
        )
    return 0


@contextmanager
def _client() -> Iterator[ServiceClient]:
    service = open_service()
    client = service.client()
    try:
        yield client
    finally:
        client.close()
        service.close()


def _chat_id(client: ServiceClient, wanted: str) -> str:
    """The chat whose id begins with this, or whose title is this."""
    chats = client.chats()
    fitting = [chat.id for chat in chats if chat.id.startswith(wanted)] if len(wanted) >= 4 else []
    fitting = fitting or [chat.id for chat in chats if chat.title.casefold() == wanted.casefold()]
    if not fitting:
        raise NotFound("There is no chat {name}. pult chats list shows them.", name=wanted)
    if len(fitting) > 1:
        raise BadRequest(
            "{count} chats fit {name}. Give the id instead of the title.", count=len(fitting), name=wanted
        )
    return fitting[0]


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
