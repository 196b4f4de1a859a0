"""Reading tool calls out of a model's text: Hermes and Qwen's JSON, and Qwen3-Coder's XML-like form."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from app.service.engine.thought import held_back
from app.shared.engine import JsonObject, ToolCall

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*?)(?:</function>\s*)?$", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=([^>\n]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|(?=</function>)|$)", re.DOTALL
)


class ToolCallParser:
    """Takes streamed answer text, keeps `<tool_call>` blocks out of what is shown, and collects the calls.

    Blanks before a call go with it. A block that cannot be read is given back as text in its place, so that
    nothing the model wrote is lost. `tools` are the declarations of the request (OpenAI's form); their
    schemas give the XML-like form, which has no types of its own, its types.
    """

    def __init__(self, tools: Sequence[JsonObject] = ()) -> None:
        self._schemas = declared_tools(tools)
        self._held = ""  # not settled yet; inside a block, what it holds so far
        self._blanks = ""  # before what is not settled
        self._inside = False
        self.calls: list[ToolCall] = []

    def feed(self, piece: str) -> str:
        """Take the next piece and return the text that is surely not part of a call."""
        self._held += piece
        shown: list[str] = []
        while True:
            if self._inside:
                block, mark, rest = self._held.partition(CLOSE)
                if not mark:
                    return "".join(shown)
                shown.append(self._settled(block, CLOSE))
                self._held = rest
                continue
            before, mark, after = self._held.partition(OPEN)
            keep = 0 if mark else held_back(before, (OPEN,))
            shown.append(self._written(before[: len(before) - keep]))
            self._held = after if mark else before[len(before) - keep :]
            self._inside = bool(mark)
            if not mark:
                return "".join(shown)

    def finish(self) -> str:
        """Return what was held back; the text is over. A call whose end is missing still counts."""
        text, self._held = self._held, ""
        if self._inside:
            return self._settled(text, "")
        text, self._blanks = self._blanks + text, ""
        return "" if self.calls and not text.strip() else text

    def _written(self, text: str) -> str:
        body = text.rstrip()
        if not body:
            self._blanks += text
            return ""
        shown, self._blanks = self._blanks + body, text[len(body) :]
        return shown

    def _settled(self, block: str, mark: str) -> str:
        """Take the block as a call, or return it as text."""
        blanks, self._blanks, self._inside = self._blanks, "", False
        call = parse_call(block, self._schemas)
        if call is None:
            return f"{blanks}{OPEN}{block}{mark}"
        self.calls.append(call)
        return ""


def parse_call(block: str, schemas: dict[str, JsonObject] | None = None) -> ToolCall | None:
    """Read the inside of one `<tool_call>` block; None when it is neither form."""
    return _from_json(block) or _from_xml(block, schemas or {})


def _from_json(block: str) -> ToolCall | None:
    try:
        found = json.loads(block)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not found["name"]:
        return None
    arguments = found.get("arguments", found.get("parameters", {}))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=_fresh_id(), name=found["name"], arguments=arguments)


def _from_xml(block: str, schemas: dict[str, JsonObject]) -> ToolCall | None:
    function = _FUNCTION.match(block)
    if function is None:
        return None
    name = function[1].strip()
    properties = schemas.get(name, {}).get("properties", {})
    arguments = {
        key.strip(): _typed(value, properties.get(key.strip()) if isinstance(properties, dict) else None)
        for key, value in _PARAMETER.findall(function[2])
    }
    return ToolCall(id=_fresh_id(), name=name, arguments=json.dumps(arguments, ensure_ascii=False))


def _typed(text: str, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "string" or kind is None:
        return text
    try:
        return json.loads(text)
    except ValueError:
        pass  # Python's spelling of the constants is what models write next most often
    return {"True": True, "False": False, "None": None}.get(text.strip(), text)


def _declared(tool: JsonObject) -> tuple[str, JsonObject]:
    function = tool.get("function", tool)
    if not isinstance(function, dict):
        return "", {}
    schema = function.get("parameters")
    return str(function.get("name", "")), schema if isinstance(schema, dict) else {}


def declared_tools(tools: Sequence[JsonObject]) -> dict[str, JsonObject]:
    """Return the parameter schema of every declared function by its name."""
    return {name: schema for name, schema in map(_declared, tools) if name}


def _fresh_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
