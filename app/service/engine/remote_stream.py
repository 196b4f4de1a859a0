"""Reading a streamed chat completion: chunks of any OpenAI-style server into the engine's own events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from app.service.engine.chat_format import ThoughtSplitter, ToolCallParser
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    FinishReason,
    JsonObject,
    Timings,
    TokenLogprob,
    ToolCall,
)

REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class AnswerReader:
    """Takes parsed chunks and gives deltas; at the end, the whole answer with what the server and the clock said.

    Servers that split the thought send `reasoning_content` (or `reasoning`); for the others `<think>` is split here, and
    likewise tool calls left in the text.
    """

    def __init__(
        self, *, thinking: bool = True, context: int | None = None, tools: Sequence[JsonObject] = ()
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self._splitter = ThoughtSplitter()
        self._splitting = False
        self._parser = ToolCallParser(tools) if tools else None
        self._text: list[str] = []
        self._thought: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: JsonObject = {}
        self._own: JsonObject = {}
        self._first_at: float | None = None
        self._answer_at: float | None = None
        self._deltas = 0

    def prompt_tokens(self, chunk: JsonObject) -> int:
        """Return the prompt's length if this chunk tells it, else 0; the finished answer's timings have the truth."""
        own, usage = chunk.get("x_pult"), chunk.get("usage")
        for source in (own, usage):
            if isinstance(source, dict) and isinstance(source.get("prompt_tokens"), int):
                return int(source["prompt_tokens"])
        return 0

    def take(self, chunk: JsonObject, seconds: float) -> Iterator[AnswerDelta]:
        """Yield what `chunk`, received `seconds` after the request, adds."""
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        if isinstance(chunk.get("x_pult"), dict):
            self._own.update(chunk["x_pult"])
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        choice = choices[0]
        delta = choice.get("delta") or {}
        thought = str(delta.get("reasoning_content") or delta.get("reasoning") or "")
        content = delta.get("content")
        text = ""
        if isinstance(content, str) and content:
            if any(self._thought) and not self._splitting:
                text = content  # the server splits the thought itself
            else:
                self._splitting = True
                split = self._splitter.feed(content)
                text, thought = split.text, thought + split.thought
        for call in delta.get("tool_calls") or ():
            self._take_call(call)
        if isinstance(choice.get("finish_reason"), str):
            self.finish_reason = REASONS.get(choice["finish_reason"], "stop")
        own = chunk.get("x_pult")
        yield from self._delta(
            text, thought, seconds, _logprobs(choice.get("logprobs")), own if isinstance(own, dict) else {}
        )

    def rest(self) -> Iterator[AnswerDelta]:
        """Yield what was held back at the end of the stream."""
        split = self._splitter.finish()
        text = (
            self._parser.feed(split.text) + self._parser.finish() if self._parser is not None else split.text
        )
        if text or split.thought:
            self._text.append(text)
            self._thought.append(split.thought)
            yield AnswerDelta(text=text, thought=split.thought)

    def finished(self, seconds: float, *, cancelled: bool) -> AnswerFinished:
        """Return the whole answer, `seconds` after the request."""
        calls = tuple(
            ToolCall(
                id=call["id"] or f"call_{uuid.uuid4().hex[:12]}",
                name=call["name"],
                arguments=call["arguments"],
            )
            for _, call in sorted(self._calls.items())
            if call["name"]
        ) + tuple(self._parser.calls if self._parser is not None else ())
        reason: FinishReason = "cancelled" if cancelled else self.finish_reason or "stop"
        if self._own.get("finish_reason") == "cancelled":
            reason = "cancelled"
        elif calls and reason == "stop":
            reason = "tool_calls"
        used = self._own.get("context_used_tokens")
        experts, seed = self._own.get("experts_used"), self._own.get("seed")
        return AnswerFinished(
            finish_reason=reason,
            text="".join(self._text),
            thought="".join(self._thought) or None,
            tool_calls=calls,
            timings=self._timings(seconds),
            context_used_tokens=used if isinstance(used, int) else None,
            experts_used=experts if isinstance(experts, int) else None,
            seed=seed if isinstance(seed, int) else None,
        )

    def _delta(
        self, text: str, thought: str, seconds: float, logprobs: tuple[TokenLogprob, ...], own: JsonObject
    ) -> Iterator[AnswerDelta]:
        if self._parser is not None and text:
            text = self._parser.feed(text)
        if not text and not thought:
            return
        self._deltas += 1
        if self._first_at is None:
            self._first_at = seconds
        if text and self._answer_at is None and self._thought:
            self._answer_at = seconds
        self._text.append(text)
        self._thought.append(thought)
        used, speed = own.get("context_used_tokens"), own.get("decode_tokens_per_second")
        passed = seconds - self._first_at
        yield AnswerDelta(
            text=text,
            thought=thought,
            tokens=own["tokens"] if isinstance(own.get("tokens"), int) else 1,
            context_used_tokens=used if isinstance(used, int) else None,
            # Most servers send one token a chunk, so chunks per second are the speed until usage tells better.
            decode_tokens_per_second=speed
            if isinstance(speed, (int, float))
            else ((self._deltas - 1) / passed if passed > 0.2 else None),
            logprobs=logprobs,
        )

    def _take_call(self, call: object) -> None:
        if not isinstance(call, dict):
            return
        index = call.get("index")
        kept = self._calls.setdefault(
            index if isinstance(index, int) else len(self._calls), {"id": "", "name": "", "arguments": ""}
        )
        function = call.get("function") or {}
        kept["id"] = str(call.get("id") or kept["id"])
        kept["name"] = str(function.get("name") or kept["name"])
        kept["arguments"] += str(function.get("arguments") or "")

    def _timings(self, seconds: float) -> Timings:
        told = self._own.get("timings")
        if isinstance(told, dict):
            return Timings.model_validate(told)
        prompt, written = _count(self._usage, "prompt_tokens"), _count(self._usage, "completion_tokens")
        cached = _count(self._usage.get("prompt_tokens_details"), "cached_tokens")
        first = self._first_at
        thought_seconds = None
        if first is not None and self._answer_at is not None:
            thought_seconds = self._answer_at - first
        return Timings(
            prompt_tokens=prompt,
            cached_tokens=cached,
            prefill_tokens=max(0, prompt - cached),
            completion_tokens=written or self._deltas,
            thought_tokens=_count(self._usage.get("completion_tokens_details"), "reasoning_tokens"),
            prefill_seconds=first or 0.0,
            decode_seconds=max(0.0, seconds - first) if first is not None else 0.0,
            first_token_seconds=first,
            thought_seconds=thought_seconds,
        )


def _count(source: object, key: str) -> int:
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0


def _logprobs(source: object) -> tuple[TokenLogprob, ...]:
    content = source.get("content") if isinstance(source, dict) else None
    if not isinstance(content, list):
        return ()
    return tuple(
        TokenLogprob(
            token=str(each.get("token", "")),
            logprob=float(each.get("logprob", 0.0)),
            top=tuple(
                (str(top.get("token", "")), float(top.get("logprob", 0.0)))
                for top in each.get("top_logprobs") or ()
            ),
        )
        for each in content
        if isinstance(each, dict)
    )
