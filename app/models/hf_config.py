"""Explains a pasted `config.json`, `generation_config.json`, `tokenizer_config.json` or GGUF keys line by line.

What a preset can take over of them is worked out with it: YaRN, sampling, experts per token.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.models.hf_config_words import GENERATION, GGUF, ROPE, SHAPE, TOKENIZER
from app.shared.engine import SettingValue
from app.shared.errors import BadRequest, BadValue
from app.shared.forecast import Sentence, sentence
from app.shared.settings import find
from app.shared.units import Value

ConfigKind = Literal["config", "generation_config", "tokenizer_config", "gguf", "unknown"]
MOST_BYTES = 32_000_000  # a tokenizer.json, pasted by mistake, is about 11 MB
MOST_LINES = 2000
_LONGEST_VALUE = 80
_WHOLE = (
    "vision_config",
    "audio_config",
    "quantization_config",
    "layer_types",
    "chat_template",
)  # one line each
_ROPE_BLOCKS = ("rope_scaling", "rope_parameters")
_STRETCHED = ("yarn", "linear")
_SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "max_new_tokens": "max_tokens",
}
_KNOWN = {**SHAPE, **GENERATION, **TOKENIZER}
_GGUF_LINE = re.compile(
    r"^(?:.*?\bkv\s+\d+:\s+)?([a-z0-9_]+(?:\.[a-z0-9_-]+)+)\s*(?:\s(?:u|i|f)\d+|\sstr|\sbool|\sarr\[[^\]]*\])?\s*[=:]\s*(.+)$"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExplainedLine(_Frozen):
    """One key. `meaning` None: nobody here knows it. `values` are settings that follow from it; `refused` says why not."""

    key: str  # with the names of the objects it stands in: rope_scaling.factor
    value: str  # shortened
    meaning: Sentence | None = None
    values: dict[str, SettingValue] = {}
    refused: Sentence | None = None


class Explanation(_Frozen):
    """The whole text explained; `values` is what a preset can take over, checked."""

    kind: ConfigKind
    lines: tuple[ExplainedLine, ...]
    values: dict[str, SettingValue] = {}
    unknown: int  # lines that nobody here knows
    left_out: int = 0  # lines beyond the first 2,000


def explain(text: str) -> Explanation:
    """Return what the text says; raises `BadRequest` if it is neither a JSON object nor a list of GGUF keys."""
    if len(text) > MOST_BYTES:
        raise BadRequest(
            "The text has {length} characters; at most {limit} are read. Paste config.json or tokenizer_config.json.",
            length=len(text),
            limit=MOST_BYTES,
        )
    stripped = text.strip().removeprefix("\ufeff")
    if not stripped:
        raise BadRequest("There is nothing to explain. Paste a config.json.")
    if not stripped.startswith("{"):
        keys = dict(_gguf_keys(stripped))
        if keys:
            return _explanation("gguf", keys, list(keys.items()))
    try:
        told = json.loads(stripped)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            "This is not JSON: {reason}. Paste the whole file, from the first brace to the last.",
            reason=str(error),
        ) from error
    if not isinstance(told, dict):
        raise BadRequest("This is JSON, but not an object with keys. Paste a config.json.")
    return _explanation(_kind(told), told, list(_leaves(told)))


def _explanation(kind: ConfigKind, told: Mapping[str, Any], leaves: list[tuple[str, Any]]) -> Explanation:
    wanted = _gguf_rope(told) if kind == "gguf" else _wanted(told)
    values: dict[str, SettingValue] = {}
    lines: list[ExplainedLine] = []
    for path, value in leaves:
        accepted: dict[str, SettingValue] = {}
        refused: Sentence | None = None
        for key, proposed in wanted.get(path, {}).items():
            knob = find(key)
            if knob is None:
                continue
            try:
                accepted[key] = knob.check(proposed)
            except BadValue as error:
                refused = sentence(error.template, **error.values)
        values.update(accepted)
        if len(lines) < MOST_LINES:
            meaning = _meaning(kind, path, value)
            lines.append(
                ExplainedLine(
                    key=path, value=_written(value), meaning=meaning, values=accepted, refused=refused
                )
            )
    return Explanation(
        kind=kind,
        lines=tuple(lines),
        values=values,
        unknown=sum(line.meaning is None for line in lines),
        left_out=max(0, len(leaves) - len(lines)),
    )


def _kind(told: Mapping[str, Any]) -> ConfigKind:
    if "tokenizer_class" in told or "added_tokens_decoder" in told or "chat_template" in told:
        return "tokenizer_config"
    if "num_hidden_layers" in told or "text_config" in told or "architectures" in told:
        return "config"
    if set(told) & set(GENERATION):
        return "generation_config"
    return "config" if set(told) & (set(SHAPE) | set(_ROPE_BLOCKS)) else "unknown"


def _leaves(told: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with a plain value, objects walked in; some objects and all lists are one line."""
    for key, value in told.items():
        path = f"{at}{key}"
        token = at.endswith("added_tokens_decoder.") or (isinstance(value, dict) and "content" in value)
        if isinstance(value, dict) and value and key not in _WHOLE and not token and at.count(".") < 4:
            yield from _leaves(value, path + ".")
        else:
            yield path, value


def _meaning(kind: ConfigKind, path: str, value: Any) -> Sentence | None:
    shown = _said(value) if not path.endswith("_token_id") else str(value)
    if kind == "gguf":
        template = GGUF.get(path) or GGUF.get(path.partition(".")[2])
        return None if template is None else sentence(template, value=shown)
    block, _, key = path.rpartition(".")
    if block.rpartition(".")[2] == "added_tokens_decoder" and isinstance(value, dict):
        content = _short(value.get("content"))
        if value.get("special"):
            return sentence(
                "Token {token} is {value}, a mark that never shows as text.", token=key, value=content
            )
        return sentence(
            "Token {token} is {value}, added to the vocabulary as one piece.", token=key, value=content
        )
    if block.rpartition(".")[2] in _ROPE_BLOCKS:
        template = ROPE.get(key) or SHAPE.get(key)
    elif block in ("", "text_config", "generation_config", "llm_config"):
        template = _KNOWN.get(key)
        if key in _ROPE_BLOCKS:
            template = "Positions are stretched by: {value}."
    else:
        template = None
    return None if template is None else sentence(template, value=shown)


def _wanted(told: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """The settings that follow from each path, not checked yet."""
    found: dict[str, dict[str, object]] = {}
    for at, block in (
        ("", told),
        ("text_config.", told.get("text_config")),
        ("llm_config.", told.get("llm_config")),
    ):
        if not isinstance(block, dict):
            continue
        for name, key in _SAMPLING.items():
            if block.get(name) is not None:
                found[at + name] = {key: block[name]}
        if block.get("do_sample") is False:
            found[f"{at}do_sample"] = {"temperature": 0.0}
            found.pop(f"{at}temperature", None)
        if block.get("num_experts_per_tok") is not None:
            found[f"{at}num_experts_per_tok"] = {"experts": block["num_experts_per_tok"]}
        for name in _ROPE_BLOCKS:
            if isinstance(block.get(name), dict):
                found.update(_rope(block[name], f"{at}{name}."))
    return found


def _rope(block: Mapping[str, Any], at: str) -> dict[str, dict[str, object]]:
    """Hugging Face's names; a method that llama.cpp takes only from the file gives no settings."""
    named = "rope_type" if "rope_type" in block else "type"
    method = block.get(named)
    found: dict[str, dict[str, object]] = {}
    if method not in _STRETCHED:
        return found
    found[at + named] = {"rope_scaling": method}
    factor = block.get("factor")
    if method == "yarn":
        if factor is not None:
            found[at + "factor"] = {"yarn_factor": factor}
        if block.get("original_max_position_embeddings") is not None:
            original = block["original_max_position_embeddings"]
            found[at + "original_max_position_embeddings"] = {"yarn_original_context": original}
    elif isinstance(factor, (int, float)) and not isinstance(factor, bool) and factor > 0:
        found[at + "factor"] = {"rope_scale": 1.0 / factor}
    return found


def _gguf_rope(told: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """The same for a header's keys, whose first word is the architecture."""
    found: dict[str, dict[str, object]] = {}
    for path in told:
        if path.endswith(".rope.scaling.type"):
            at = path.removesuffix("type")
            block = {
                "rope_type": told[path],
                "factor": told.get(at + "factor"),
                "original_max_position_embeddings": told.get(at + "original_context_length"),
            }
            names = {"rope_type": "type", "original_max_position_embeddings": "original_context_length"}
            for name, settings in _rope(block, "").items():
                found[at + names.get(name, name)] = settings
        elif path.endswith(".expert_used_count"):
            found[path] = {"experts": told[path]}
    return found


def _gguf_keys(text: str) -> Iterator[tuple[str, Any]]:
    """Lines such as `qwen3.context_length = 40960`, or llama.cpp's log of a header."""
    for line in text.splitlines():
        found = _GGUF_LINE.match(line.strip())
        if found is None:
            continue
        word = found[2].strip().strip('"')
        try:
            yield found[1], json.loads(word)
        except ValueError:
            yield found[1], word


def _written(value: Any) -> str:
    """A value as the file has it, in one line of at most 80 characters."""
    if isinstance(value, str) or (isinstance(value, list) and len(value) > 8):
        return _short(value)
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _LONGEST_VALUE else words[: _LONGEST_VALUE - 1] + "…"


def _said(value: Any) -> Value:
    """A value in a sentence: plain numbers stay numbers, so that the window can write them in the user's language."""
    if isinstance(value, float) and math.isfinite(value) and (value == 0 or 1e-3 <= abs(value) < 1e12):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15:
        return value
    return _short(value)


def _short(value: Any) -> str:
    """A value in one line of at most 80 characters."""
    if isinstance(value, str):
        words = " ".join(value.split())
    elif isinstance(value, dict) and isinstance(value.get("content"), str):
        words = value["content"]
    elif isinstance(value, bool) or value is None:
        words = {True: "yes", False: "no", None: "none"}[value]
    elif isinstance(value, list) and len(value) > 8:
        counted: dict[str, int] = {}
        for item in value:
            counted[str(item)] = counted.get(str(item), 0) + 1
        words = (
            ", ".join(f"{count} × {name}" for name, count in counted.items())
            if len(counted) < 5
            else str(value)
        )
    elif isinstance(value, int):
        words = f"{value:,}"
    elif isinstance(value, (list, tuple)):
        words = ", ".join(str(item) for item in value) or "none"
    else:
        words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _LONGEST_VALUE else words[: _LONGEST_VALUE - 1] + "…"
