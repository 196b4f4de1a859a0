"""From a chat's messages to the turns an engine reads, and to a title a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.shared.chats import Message
from app.shared.engine import ChatTurn

TITLE_LENGTH = 60


def title_of(text: str) -> str:
    """Return a chat's title from a message: its first line with words, cut at a word."""
    for line in text.splitlines():
        words = " ".join(line.strip("#>*`- \t").split())
        if words:
            if len(words) <= TITLE_LENGTH:
                return words
            cut = words[:TITLE_LENGTH].rsplit(" ", 1)[0]
            return cut.rstrip(",.;:") + "…"
    return ""


def turns_of(path: Iterable[Message], system_prompt: object = None) -> list[ChatTurn]:
    """Return a path of messages as an engine's turns: attachments fenced into their message, the system prompt first.

    Answers that failed before their first word are left out.
    """
    turns: list[ChatTurn] = []
    for message in path:
        if message.role == "assistant" and not (message.text or message.thought or message.tool_calls):
            continue
        turns.append(
            ChatTurn(
                role=message.role,
                content=message.text + "".join(_fenced(each.name, each.text) for each in message.attachments),
                thought=message.thought,
                tool_calls=message.tool_calls,
                tool_call_id=message.tool_call_id,
            )
        )
    if (
        isinstance(system_prompt, str)
        and system_prompt.strip()
        and not any(t.role == "system" for t in turns)
    ):
        turns.insert(0, ChatTurn(role="system", content=system_prompt))
    return turns


def _fenced(name: str, text: str) -> str:
    """Return a file as a fenced block whose fence the text cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    ending = name.rpartition(".")[2] if "." in name else ""
    newline = "" if text.endswith("\n") else "\n"
    return f"\n\nFile {name}:\n{fence}{ending}\n{text}{newline}{fence}"
