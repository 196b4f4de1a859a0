"""An engine without a model: scripted answers at an exact rate, for tests, for measuring the window, for `--engine fake`.

Words in the last user message steer it: `fake:fail` refuses, `fake:die` and `fake:abort` end the process, `fake:hang` stops
answering and ignores being stopped, `fake:markdown` shows every Markdown form, `fake:tokens=500` answers that long. With tools
declared it calls the first one; with a response format it answers JSON that fits the schema. A model file named
`refuse…` cannot be loaded, and loading `slow…` takes five seconds.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.service.engine.base import LoadProgress, StopFlag
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    FinishReason,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    PrefillProgress,
    SettingValue,
    Timings,
    TokenCounts,
    TokenEvent,
    TokenLogprob,
    ToolCall,
)
from app.shared.errors import Cancelled, EngineFailed, ModelUnreadable, NoModelLoaded, PromptTooLong

FRAME_SECONDS = 1 / 60
_PIECES = re.compile(r"\s*\S+|\s+$")
WORDS: list[str] = re.findall(
    r"\w+",
    "the model reads its prompt once and writes one token after another while a cache keeps what it has seen "
    "so a longer context costs memory and a faster machine costs money but neither makes an answer true",
)
MARKDOWN = """## A table, code and a list

| layer | bytes | place |
|:------|------:|:------|
| 0 | 18 432 | GPU |
| 1 | 18 432 | CPU |

```python
def decode(tokens: list[int]) -> str:
    # whole characters only
    return bytes(tokens).decode("utf-8", "ignore")
```

1. **Bold**, *italic*, `inline`, ~~gone~~
2. A [link](https://example.org) and русский текст

> Quoted: 2 + 2 = 4
"""


@dataclass
class _Script:
    thought: str
    text: str
    calls: tuple[ToolCall, ...] = ()


class FakeEngine:
    """Answers from a script at `tokens_per_second`, paced against an absolute schedule. Keeps to `Engine`."""

    def __init__(self, tokens_per_second: float = 50.0, *, load_seconds: float = 0.05) -> None:
        self.tokens_per_second = tokens_per_second
        self.load_seconds = load_seconds
        self._loaded: LoadedModel | None = None
        self._before: list[str] = []

    @property
    def loaded(self) -> LoadedModel | None:
        return self._loaded

    def load(self, plan: LoadPlan, *, progress: LoadProgress, stop: StopFlag) -> LoadedModel:
        self.eject()
        stem = Path(plan.model_path or "fake").stem
        if stem.startswith("refuse"):
            raise ModelUnreadable("{name} is not a GGUF file. Choose another model file.", name=stem)
        started = time.monotonic()
        seconds = 5.0 if stem.startswith("slow") else self.load_seconds
        for step in range(1, 11):
            if stop.wait(seconds / 10):
                raise Cancelled("Loading {name} was cancelled.", name=stem)
            progress(step / 10)
        values = plan.values
        self._loaded = LoadedModel(
            id=stem,
            name=stem,
            path=plan.model_path,
            architecture="fake",
            description="scripted answers, no model",
            layers=48,
            gpu_layers=_whole(values, "gpu_layers", 48),
            experts=128,
            experts_used=_whole(values, "experts", 8),
            experts_trained=8,
            experts_limit=128,
            experts_switch="live",
            trained_context=40960,
            context=_whole(values, "context", 8192),
            chat_template=True,
            can_think=True,
            tools=True,
            devices=("none",),
            load_seconds=time.monotonic() - started,
            preset=plan.preset,
            values=dict(values),
        )
        return self._loaded

    def eject(self) -> None:
        self._loaded = None
        self._before = []

    def close(self) -> None:
        self.eject()

    def count(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        model = self._need()
        system = sum(len(_pieces(turn.content)) for turn in messages if turn.role == "system")
        history = sum(len(_pieces(turn.content)) + 4 for turn in messages if turn.role != "system")
        system += len(_pieces(json.dumps(list(tools)))) if tools else 0
        return TokenCounts(total=system + history, system=system, history=history, context=model.context)

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        model = self._need()
        asked = time.monotonic()
        values = {**model.values, **request.values}
        prompt = [piece for turn in request.messages for piece in _pieces(turn.content)]
        counts = self.count(request.messages, tools=request.tools)
        context = model.context or 8192
        if counts.total >= context:
            raise PromptTooLong(
                "The prompt has {prompt_tokens} tokens and the context {context_tokens}. Shorten it or load with more.",
                prompt_tokens=counts.total,
                context_tokens=context,
            )
        seed = _whole(values, "seed", -1)
        if seed < 0:
            seed = random.SystemRandom().randrange(2**31)
        words = request.messages[-1].content if request.messages else ""
        _misbehave(words)
        script = _script(request, values, words, seed)
        cached = _common(prompt, self._before)
        self._before = prompt
        yield AnswerStarted(prompt_tokens=counts.total, cached_tokens=min(cached, counts.total), seed=seed)
        fresh = max(1, counts.total - cached)
        prefill_seconds = min(0.5, fresh / (20 * self.tokens_per_second))
        for part in range(1, 5):
            if stop.wait(prefill_seconds / 4):
                break
            yield PrefillProgress(done_tokens=fresh * part // 4, total_tokens=fresh)
        timings = Timings(
            prompt_tokens=counts.total,
            cached_tokens=cached,
            prefill_tokens=fresh,
            prefill_seconds=prefill_seconds,
        )
        yield from self._decode(request, script, stop, timings, asked, context, seed, values)

    def _decode(
        self,
        request: GenerateRequest,
        script: _Script,
        stop: StopFlag,
        timings: Timings,
        asked: float,
        context: int,
        seed: int,
        values: dict[str, SettingValue],
    ) -> Iterator[TokenEvent]:
        thought_pieces, pieces = _pieces(script.thought), _pieces(script.text)
        every = [(piece, True) for piece in thought_pieces] + [(piece, False) for piece in pieces]
        limit = len(every)
        if request.max_tokens is not None:
            limit = request.max_tokens + (0 if request.thinking_counts else len(thought_pieces))
        limit = min(limit, context - timings.prompt_tokens)
        reason: FinishReason = "tool_calls" if script.calls else "stop"
        said, thought, sent = "", "", 0
        start = time.monotonic()
        while sent < len(every):
            if stop.is_set():
                reason = "cancelled"
                break
            if sent >= limit:
                reason = "length"
                break
            due = min(int((time.monotonic() - start) * self.tokens_per_second) + 1, limit, len(every))
            if due <= sent:
                stop.wait(max(0.0, start + sent / self.tokens_per_second - time.monotonic()))
                continue
            batch, sent, frame_at = every[sent:due], due, time.monotonic()
            new_thought = "".join(piece for piece, inner in batch if inner)
            new_text = "".join(piece for piece, inner in batch if not inner)
            cut = _cut_at(said, new_text, request.stop)
            if cut is not None:
                new_text = cut
            said, thought = said + new_text, thought + new_thought
            yield AnswerDelta(
                text=new_text,
                thought=new_thought,
                tokens=len(batch),
                context_used_tokens=timings.prompt_tokens + sent,
                decode_tokens_per_second=self.tokens_per_second,
                logprobs=_logprobs(batch, request.logprobs),
            )
            if cut is not None:
                break
            next_at = max(start + sent / self.tokens_per_second, frame_at + FRAME_SECONDS)
            if sent < len(every):
                stop.wait(max(0.0, next_at - time.monotonic()))
        ended = time.monotonic()
        yield AnswerFinished(
            finish_reason=reason,
            text=said,
            thought=thought or None,
            tool_calls=script.calls if reason == "tool_calls" else (),
            timings=timings.model_copy(
                update={
                    "completion_tokens": sent,
                    "thought_tokens": min(sent, len(thought_pieces)),
                    "decode_seconds": ended - start,
                    "first_token_seconds": start - asked,
                    "thought_seconds": len(thought_pieces) / self.tokens_per_second if thought else None,
                }
            ),
            context_used_tokens=timings.prompt_tokens + sent,
            experts_used=_whole(values, "experts", 8),
            seed=seed,
        )

    def _need(self) -> LoadedModel:
        if self._loaded is None:
            raise NoModelLoaded("No model is loaded. Load one first.")
        return self._loaded


def _whole(values: dict[str, SettingValue], key: str, default: int) -> int:
    value = values.get(key, default)
    return int(value) if isinstance(value, (int, float)) else default


def _pieces(text: str) -> list[str]:
    return _PIECES.findall(text)


def _common(prompt: list[str], before: list[str]) -> int:
    same = 0
    for left, right in zip(prompt, before, strict=False):
        if left != right:
            break
        same += 1
    return same


def _misbehave(words: str) -> None:
    if "fake:fail" in words:
        raise EngineFailed("The fake engine was asked to fail. Ask something else.")
    if "fake:die" in words:
        if os.name == "posix":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(9)
    if "fake:abort" in words:
        os.abort()
    if "fake:hang" in words:
        while True:  # what a hung kernel looks like: neither progress nor an answer to being stopped
            time.sleep(1)


def _script(request: GenerateRequest, values: dict[str, SettingValue], words: str, seed: int) -> _Script:
    dice = random.Random(f"{seed} {words}")
    thought = ""
    if values.get("thinking", True) is not False and not request.continue_last:
        thought = "They ask: " + " ".join(_pieces(words)[:6]).strip() + ". I answer briefly."
    last = request.messages[-1].role if request.messages else "user"
    if request.tools and request.tool_choice != "none" and last == "user":
        return _Script(thought, "", (_call(request, dice),))
    if request.response_format.kind != "text":
        schema = request.response_format.json_schema or {"type": "object"}
        return _Script(thought, json.dumps(_instance(schema, dice)))
    if "fake:markdown" in words:
        return _Script(thought, MARKDOWN)
    asked = re.search(r"fake:tokens=(\d+)", words)
    length = int(asked.group(1)) if asked else 40
    text = " ".join(dice.choice(WORDS) for _ in range(length))
    return _Script(thought, text[:1].upper() + text[1:] + ".")


def _call(request: GenerateRequest, dice: random.Random) -> ToolCall:
    functions = [tool.get("function", tool) for tool in request.tools]
    chosen = next((each for each in functions if each.get("name") == request.tool_choice), functions[0])
    arguments = _instance(chosen.get("parameters") or {"type": "object"}, dice)
    return ToolCall(
        id=f"call_{dice.getrandbits(48):012x}",
        name=str(chosen.get("name", "")),
        arguments=json.dumps(arguments),
    )


def _instance(schema: JsonObject, dice: random.Random) -> object:
    """Return a value that fits `schema`, as far as type, enum, const, properties and items say."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return dice.choice(list(schema["enum"]))
    match schema.get("type"):
        case "object" | None:
            properties: dict[str, JsonObject] = schema.get("properties", {})
            return {name: _instance(inner, dice) for name, inner in properties.items()}
        case "array":
            return [_instance(schema.get("items", {"type": "string"}), dice) for _ in range(2)]
        case "integer":
            return int(schema.get("minimum", dice.randrange(10)))
        case "number":
            return float(schema.get("minimum", dice.randrange(100) / 10))
        case "boolean":
            return dice.random() < 0.5
        case "null":
            return None
        case _:
            return dice.choice(WORDS)


def _cut_at(said: str, new: str, stops: tuple[str, ...]) -> str | None:
    """Return what of `new` stands before the first stop string, None when there is none. Stops count in whole."""
    whole = said + new
    places = [place for place in (whole.find(stop) for stop in stops) if place >= 0]
    return whole[len(said) : max(min(places), len(said))] if places else None


def _logprobs(batch: list[tuple[str, bool]], top: int | None) -> tuple[TokenLogprob, ...]:
    if top is None:
        return ()
    return tuple(
        TokenLogprob(
            token=piece, logprob=-0.1, top=tuple((f"{piece}{rank}", -0.1 - rank) for rank in range(top))
        )
        for piece, inner in batch
        if not inner
    )
