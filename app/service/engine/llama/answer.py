"""One answer: read the prompt, then draw, write and compute token after token, merging what is sent.

The order within the loop matters for speed: the next token's computation is started before the last one's
text is sent, so that a GPU works meanwhile.
"""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from time import perf_counter

from app.service.engine.base import StopFlag
from app.service.engine.chat_format import StopStrings, ThoughtSplitter, ToolCallParser
from app.service.engine.llama.context import Aborted, Context, Pulse
from app.service.engine.llama.model import Model
from app.service.engine.llama.sampling import Sampler
from app.service.engine.thought import CLOSE
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    GenerateRequest,
    PrefillProgress,
    Timings,
    TokenEvent,
    TokenLogprob,
    ToolCall,
)

_SPEED_WINDOW_SECONDS = 0.5
_CLOSING = f"\n{CLOSE}\n\n"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where an answer ends at the latest, in tokens; None: no limit."""

    max_tokens: int | None
    thinking_counts: bool
    thinking_budget: int | None


@dataclass
class _Text:
    """What was written and not sent yet, and everything so far."""

    text: str = ""
    thought: str = ""
    whole_text: list[str] = field(default_factory=list)
    whole_thought: list[str] = field(default_factory=list)

    def add(self, text: str, thought: str) -> None:
        if text:
            self.text += text
            self.whole_text.append(text)
        if thought:
            self.thought += thought
            self.whole_thought.append(thought)


class AnswerWriter:
    """Writes one answer. Made once per request; `events` may be iterated once.

    `stable_tokens` is where a checkpoint is worth having: what the next prompt will begin with, too.
    `grammar` holds the answer, not the thought. `frame_seconds` is the shortest time between two deltas.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        sampler: Sampler,
        request: GenerateRequest,
        *,
        prompt: list[int],
        stable_tokens: int,
        inside_thought: bool,
        grammar: str | None,
        limits: Limits,
        seed: int,
        frame_seconds: float,
        pulse: Pulse,
        began: float,
    ) -> None:
        self._model = model
        self._context = context
        self._sampler = sampler
        self._prompt = prompt
        self._stable_tokens = stable_tokens
        self._grammar = grammar
        self._limits = limits
        self._seed = seed
        self._frame_seconds = frame_seconds
        self._pulse = pulse
        self._began = began

        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._splitter = ThoughtSplitter(inside=inside_thought)
        self._stops = StopStrings(request.stop)
        wants_calls = bool(request.tools) and request.tool_choice != "none"
        self._calls = ToolCallParser(request.tools) if wants_calls else None
        self._text = _Text()
        self._logprobs: list[TokenLogprob] = []
        self._wants_logprobs = request.logprobs is not None

        self._cached = 0
        self._read = 0
        self._tokens = 0
        self._thought_tokens = 0
        self._sent_tokens = 0
        self._prefill_seconds = 0.0
        self._decode_began: float | None = None
        self._ended: float | None = None
        self._thought_ended: float | None = None
        self._speed: float | None = None

    def events(self, stop: StopFlag) -> Iterator[TokenEvent]:
        """Yield the whole answer, in the order that `Engine.generate` promises."""
        self._pulse.busy = "prefill"
        try:
            self._cached = self._context.reuse(self._prompt)
            yield AnswerStarted(prompt_tokens=len(self._prompt), cached_tokens=self._cached, seed=self._seed)
            self._sampler.accept(self._prompt)
            reason: FinishReason = "cancelled"
            try:
                yield from self._read_prompt(stop)
                reason = yield from self._write(stop)
            except Aborted:
                pass  # said by the reason
            yield from self._finish(reason)
        finally:
            self._pulse.busy = None

    def _read_prompt(self, stop: StopFlag) -> Iterator[TokenEvent]:
        began = perf_counter()
        total = len(self._prompt)
        at = self._cached
        while at < total:
            if stop.is_set():
                raise Aborted
            end = min(at + self._context.chunk, total)
            if at < self._stable_tokens < end:
                end = self._stable_tokens
            self._context.read(self._prompt[at:end], output=end == total, stop=stop)
            self._pulse.steps += 1
            at = end
            self._read = at - self._cached
            if at == self._stable_tokens:
                self._context.checkpoint()
            self._prefill_seconds = perf_counter() - began
            if at < total:
                yield PrefillProgress(done_tokens=self._read, total_tokens=total - self._cached)

    def _write(self, stop: StopFlag) -> Generator[TokenEvent, None, FinishReason]:
        model, context, sampler, pulse = self._model, self._context, self._sampler, self._pulse
        limits = self._limits
        prefill_began = perf_counter() - self._prefill_seconds
        if self._grammar is not None and not self._splitter.thinking:
            sampler.constrain(self._grammar)
        sent = window = perf_counter()
        window_tokens = 0
        pulse.busy = "decode"
        while True:
            if stop.is_set():
                return "cancelled"
            if self._over_budget():
                if not self._close_thought():
                    return "length"
                continue
            token = sampler.next()
            now = perf_counter()
            if self._decode_began is None:
                self._decode_began = now
                self._prefill_seconds = now - prefill_began
                window = now
            if sampler.exhausted or model.ends(token):
                self._ended = now
                return "stop"
            pulse.steps += 1
            self._note(token, now)
            if self._stops.hit:
                return "stop"
            if self._used_up(limits) or len(context.tokens) >= context.size:
                return "length"
            context.step(token)
            if now - sent >= self._frame_seconds:
                sent = now
                if now - window >= _SPEED_WINDOW_SECONDS:
                    self._speed = (self._tokens - window_tokens) / (now - window)
                    window, window_tokens = now, self._tokens
                delta = self._delta()
                if delta is not None:
                    yield delta

    def _note(self, token: int, now: float) -> None:
        """Take one written token into the text and the counts."""
        self._tokens += 1
        if self._splitter.thinking:
            self._thought_tokens += 1
        if self._wants_logprobs and self._sampler.last_logprob is not None and not self._splitter.thinking:
            self._logprobs.append(self._sampler.last_logprob)
        self._ended = now
        self._take(self._decoder.decode(self._model.piece(token)))

    def _take(self, written: str, *, last: bool = False) -> None:
        was_thinking = self._splitter.thinking
        text, thought = self._splitter.finish() if last else self._splitter.feed(written)
        if was_thinking and not self._splitter.thinking:
            self._thought_ended = perf_counter()
            if self._grammar is not None:
                self._sampler.constrain(self._grammar)
        if text:
            text = self._stops.feed(text)
        if self._calls is not None and text:
            text = self._calls.feed(text)
        self._text.add(text, thought)

    def _over_budget(self) -> bool:
        budget = self._limits.thinking_budget
        return budget is not None and self._splitter.thinking and self._thought_tokens >= budget

    def _close_thought(self) -> bool:
        """Write `</think>` for the model and let it go on with the answer; False when there is no room
        left."""
        tokens = self._model.tokenize(_CLOSING)
        if len(self._context.tokens) + len(tokens) >= self._context.size:
            return False
        # The tokens count as thought, as if the model had written them.
        for at in range(0, len(tokens), self._context.chunk):
            part = tokens[at : at + self._context.chunk]
            self._context.read(part, output=at + len(part) == len(tokens))
        self._sampler.accept(tokens)
        self._tokens += len(tokens)
        self._thought_tokens += len(tokens)
        self._take(self._decoder.decode(b"", final=True) + _CLOSING)  # half a character ends with the thought
        return True

    def _used_up(self, limits: Limits) -> bool:
        if limits.max_tokens is None:
            return False
        counted = self._tokens if limits.thinking_counts else self._tokens - self._thought_tokens
        return counted >= limits.max_tokens

    def _delta(self) -> AnswerDelta | None:
        text, thought = self._text.text, self._text.thought
        tokens = self._tokens - self._sent_tokens
        if not text and not thought and not tokens:
            return None
        self._text.text = self._text.thought = ""
        self._sent_tokens = self._tokens
        logprobs, self._logprobs = tuple(self._logprobs), []
        return AnswerDelta.model_construct(  # our own values: validation would cost more than the rest of the frame
            text=text,
            thought=thought,
            tokens=tokens,
            context_used_tokens=len(self._context.tokens),
            decode_tokens_per_second=self._speed,
            logprobs=logprobs,
        )

    def _finish(self, reason: FinishReason) -> Iterator[TokenEvent]:
        rest = self._decoder.decode(b"", final=True)
        if rest:
            self._take(rest)
        self._take("", last=True)
        tail = self._stops.finish()
        if self._calls is not None:
            tail = self._calls.feed(tail) + self._calls.finish()
        self._text.add(tail, "")
        calls: tuple[ToolCall, ...] = tuple(self._calls.calls) if self._calls is not None else ()
        delta = self._delta()
        if delta is not None:
            yield delta
        thought = "".join(self._text.whole_thought)
        yield AnswerFinished(
            finish_reason="tool_calls" if calls and reason == "stop" else reason,
            text="".join(self._text.whole_text),
            thought=thought if self._splitter.had_thought and (thought or self._thought_tokens) else None,
            tool_calls=calls,
            timings=self._timings(),
            context_used_tokens=len(self._context.tokens),
            experts_used=self._model.experts_used,
            seed=self._seed,
        )

    def _timings(self) -> Timings:
        first = self._decode_began
        thought_end = self._thought_ended or self._ended
        thinking = self._splitter.had_thought and first is not None and thought_end is not None
        return Timings(
            prompt_tokens=len(self._prompt),
            cached_tokens=self._cached,
            prefill_tokens=self._read,
            completion_tokens=self._tokens,
            thought_tokens=self._thought_tokens,
            prefill_seconds=self._prefill_seconds,
            decode_seconds=(self._ended - first) if first is not None and self._ended is not None else 0.0,
            first_token_seconds=first - self._began if first is not None else None,
            thought_seconds=max(0.0, thought_end - first) if thinking and thought_end and first else None,
        )
