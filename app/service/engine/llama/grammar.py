"""Grammars (GBNF) that hold an answer to JSON, to a JSON schema, or to a tool call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_cpp.llama_grammar import json_schema_to_gbnf

from app.service.engine.tool_calls import CLOSE, OPEN, declared_tools
from app.shared.engine import JsonObject, ResponseFormat
from app.shared.errors import BadRequest

_LOOSE_CHARACTER = r'char ::= [^"\\]'
_CHARACTER = r'char ::= [^"\\\x7F\x00-\x1F]'
_ANY_OBJECT: JsonObject = {"type": "object"}


def answer_grammar(form: ResponseFormat, tools: Sequence[JsonObject], tool_choice: str | None) -> str | None:
    """Return the grammar that the answer has to keep to; None when it is free.

    A tool call that is asked for ("required" or a function's name) goes before the response format, which
    then has nothing left to say. Raises `BadRequest` for a schema that cannot be turned into a grammar.
    """
    if tool_choice not in (None, "auto", "none"):
        return _call_grammar(tools, str(tool_choice))
    if form.kind == "text":
        return None
    schema = form.json_schema if form.kind == "json_schema" else None
    return _rooted("answer", _ANY_OBJECT if schema is None else schema, "", "")


def _call_grammar(tools: Sequence[JsonObject], choice: str) -> str:
    declared = declared_tools(tools)
    names = list(declared) if choice == "required" else [choice]
    unknown = [name for name in names if name not in declared]
    if unknown or not names:
        raise BadRequest(
            "tool_choice names {name}, which is not among the declared tools: {known}.",
            name=unknown[0] if unknown else choice,
            known=", ".join(declared) or "none are declared",
        )
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": declared[name] or _ANY_OBJECT},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name in names
    ]
    schema: JsonObject = calls[0] if len(calls) == 1 else {"oneOf": calls}
    return _rooted("call", schema, f"{OPEN}\\n", f"\\n{CLOSE}")


def _rooted(rule: str, schema: Any, before: str, after: str) -> str:
    """Turn `schema` into rules and put a root above them that allows blank lines before, as models write
    them."""
    try:
        rules = json_schema_to_gbnf(json.dumps(schema))
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, NotImplementedError) as problem:
        raise BadRequest(
            "The JSON schema cannot be turned into a grammar: {reason}. Simplify it.",
            reason=str(problem).strip().rstrip(".")[:200] or type(problem).__name__,
        ) from None
    # The converter lets raw line breaks and other control characters into strings, which JSON does not.
    rules = rules.replace(_LOOSE_CHARACTER, _CHARACTER)
    lines = [
        f"{rule}-top ::={line.removeprefix('root ::=')}" if line.startswith("root ::=") else line
        for line in rules.splitlines()
    ]
    opening, closing = (f' "{text}"' if text else "" for text in (before, after))
    return "\n".join([rf"root ::= [\n]{{0,2}}{opening} {rule}-top{closing}", *lines])
