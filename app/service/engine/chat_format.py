"""From messages to the prompt, with the model file's own Jinja template, and back from text to parts.

No llama_cpp here: the remote engine uses the same splitters. `ThoughtSplitter` and `ToolCallParser` live in
their own modules and are named here because they belong to the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.service.engine.thought import CLOSE, OPEN, Split, ThoughtSplitter, held_back
from app.service.engine.tool_calls import ToolCallParser, declared_tools, parse_call
from app.shared.engine import ChatTurn, JsonObject
from app.shared.errors import BadRequest

__all__ = [
    "CHATML",
    "ChatTemplate",
    "Prompt",
    "Split",
    "StopStrings",
    "ThoughtSplitter",
    "ToolCallParser",
    "declared_tools",
    "parse_call",
]

# Marks what a model wrote, for training. Some files put the halves into different branches, which no tag can do.
_GENERATION = re.compile(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}")

CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


class Prompt(NamedTuple):
    """A rendered conversation.

    `inside_thought` says that the text ends within an open thought, so that the model goes on thinking.
    `stable_length` counts the characters that the next turn's prompt will begin with, too: everything before
    the mark that asks for the answer.
    """

    text: str
    inside_thought: bool
    stable_length: int


class ChatTemplate:
    """A model's chat template, rendered in a sandbox as Hugging Face's tokenizers do.

    `source` None uses ChatML. `bos` and `eos` are the texts of those tokens, which some templates write out.
    Raises `BadRequest` when the template is broken or refuses the messages.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self.own = source is not None
        self.source = source or CHATML
        self.can_think = "enable_thinking" in self.source or OPEN in self.source
        self.takes_tools = "tools" in self.source
        self._names = {"bos_token": bos, "eos_token": eos}
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols],
            undefined=jinja2.ChainableUndefined,
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(_GENERATION.sub(r"{%\1 set _ = 0 \2%}", self.source))
        except jinja2.TemplateError as problem:
            raise BadRequest(
                "The chat template in the model's file cannot be read: {reason}. Use another file of it.",
                reason=_plain(problem),
            ) from None

    def render(
        self,
        messages: Sequence[ChatTurn],
        *,
        tools: Sequence[JsonObject] = (),
        thinking: bool = True,
        continue_last: bool = False,
        force_thought: bool = False,
    ) -> Prompt:
        """Return the prompt that asks for the next answer, or for more of the last one.

        `thinking` False also closes a thought that the template opens regardless. `force_thought` opens one
        when the template leaves it to the model. With `continue_last` the last message, an assistant's, is
        left open.
        """
        last = messages[-1] if messages else None
        if continue_last and (last is None or last.role != "assistant"):
            raise BadRequest(
                "Only an assistant's message can be continued. The last one is not an assistant's."
            )
        if tools and not self.takes_tools:
            raise BadRequest("This model's chat template does not take tools. Send the request without them.")
        shown = messages[:-1] if continue_last else messages
        stable = self._rendered(shown, tools, thinking=thinking, ask=False)
        text = self._rendered(shown, tools, thinking=thinking, ask=True)
        stable_length = len(stable) if text.startswith(stable) else 0
        inside = text.rstrip().endswith(OPEN)
        if inside and not thinking:
            text, inside = f"{text.rstrip()}\n\n{CLOSE}\n\n", False
        if continue_last and last is not None:
            text, inside = _reopened(text, last, inside)
        elif force_thought and thinking and not inside:
            text, inside = f"{text}{OPEN}\n", True
        return Prompt(text, inside, stable_length)

    def rendered(self, messages: Sequence[ChatTurn], tools: Sequence[JsonObject], *, thinking: bool) -> str:
        """Return the messages alone, without asking for an answer; empty when the template refuses them.

        Counting by parts renders conversations that a template may rightly refuse, such as one with no user.
        """
        try:
            return self._rendered(messages, tools, thinking=thinking, ask=False)
        except BadRequest:
            return ""

    def _rendered(
        self, messages: Sequence[ChatTurn], tools: Sequence[JsonObject], *, thinking: bool, ask: bool
    ) -> str:
        try:
            return self._template.render(
                messages=[_message(turn) for turn in messages],
                tools=list(tools) or None,
                add_generation_prompt=ask,
                enable_thinking=thinking,
                **self._names,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError) as problem:
            raise BadRequest(
                "The model's chat template refuses these messages: {reason}.", reason=_plain(problem)
            ) from None


class StopStrings:
    """Finds stop strings in streamed text, also across pieces, and holds back what could become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit = False

    def feed(self, piece: str) -> str:
        """Return the text that may be shown; after a hit `hit` is set and nothing more comes."""
        if not self._stops:
            return piece
        if self.hit:
            return ""
        text = self._held + piece
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.hit, self._held = True, ""
            return text[: min(found)]
        keep = held_back(text, self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """Return what was held back and turned out to be no stop string."""
        text, self._held = self._held, ""
        return text


def _reopened(text: str, last: ChatTurn, inside: bool) -> tuple[str, bool]:
    """Put what the assistant wrote so far behind the prompt, as the model itself would have written it."""
    if last.thought is not None:
        opened = text if inside else f"{text}{OPEN}\n"
        if not last.content:
            return opened + last.thought, True
        return f"{opened}{last.thought}\n{CLOSE}\n\n{last.content}", False
    if inside:
        text = f"{text.rstrip()}\n\n{CLOSE}\n\n"
    return text + last.content, False


def _message(turn: ChatTurn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.thought:
        message["reasoning_content"] = turn.thought
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _object(call.arguments)},
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name:
        message["name"] = turn.name
    return message


def _object(arguments: str) -> Any:
    """Templates loop over the arguments, so they get the object; text that is no object stays text."""
    try:
        found = json.loads(arguments)
    except ValueError:
        return arguments
    return found if isinstance(found, dict) else arguments


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """Hugging Face's `tojson`: not HTML-escaped, in the language's own letters."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=list)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _plain(problem: Exception) -> str:
    return (
        str(problem).strip().rstrip(".").splitlines()[0] if str(problem).strip() else type(problem).__name__
    )
