"""The fake paces its tokens exactly and does what the words in the prompt ask of it."""

from __future__ import annotations

import json
import time

import jsonschema
import pytest

from app.service.engine.base import Engine, StopFlag
from app.service.engine.fake import FakeEngine
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    ChatTurn,
    GenerateRequest,
    LoadPlan,
    ResponseFormat,
    TokenEvent,
)
from app.shared.errors import EngineFailed, ModelUnreadable, PromptTooLong


def loaded(rate: float = 5000, **values: int) -> FakeEngine:
    engine = FakeEngine(rate, load_seconds=0)
    engine.load(
        LoadPlan(model_path="fake.gguf", values=dict(values)), progress=lambda _: None, stop=StopFlag()
    )
    return engine


def ask(engine: FakeEngine, text: str, **more: object) -> list[TokenEvent]:
    request = GenerateRequest(id="1", messages=(ChatTurn(role="user", content=text),), **more)  # type: ignore[arg-type]
    return list(engine.generate(request, stop=StopFlag()))


def end(events: list[TokenEvent]) -> AnswerFinished:
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    return finished


def test_it_is_an_engine() -> None:
    assert isinstance(FakeEngine(), Engine)


def test_three_hundred_tokens_a_second_take_a_second() -> None:
    engine = loaded(300)
    started = time.monotonic()
    events = ask(engine, "fake:tokens=300", values={"thinking": False})
    seconds = time.monotonic() - started
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert sum(delta.tokens for delta in deltas) == 300
    assert 0.95 < seconds < 1.25
    assert len(deltas) <= 75  # merged to about sixty a second
    assert end(events).timings.tokens_per_second == pytest.approx(300, rel=0.06)


def test_a_seed_gives_the_same_text_and_another_another() -> None:
    engine = loaded()
    first, again, other = (end(ask(engine, "hi", values={"seed": seed})) for seed in (7, 7, 8))
    assert first.text == again.text != other.text
    assert first.thought and first.seed == 7


def test_schema_tool_stop_and_length() -> None:
    engine = loaded()
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
        "required": ["city"],
    }
    answer = end(ask(engine, "hi", response_format=ResponseFormat(kind="json_schema", json_schema=schema)))
    jsonschema.validate(json.loads(answer.text), schema)
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    called = end(ask(engine, "hi", tools=(tool,)))
    assert called.finish_reason == "tool_calls" and called.tool_calls[0].name == "weather"
    jsonschema.validate(json.loads(called.tool_calls[0].arguments), schema)
    whole = end(ask(engine, "hi", values={"seed": 3}))
    word = whole.text.split()[5]
    cut = end(ask(engine, "hi", values={"seed": 3}, stop=(f" {word}",)))
    assert whole.text.startswith(cut.text) and f" {word}" not in cut.text and cut.finish_reason == "stop"
    short = end(ask(engine, "hi", max_tokens=5, values={"thinking": False}))
    assert short.finish_reason == "length" and short.timings.completion_tokens == 5


def test_failures_on_request() -> None:
    engine = loaded(context=64)
    with pytest.raises(EngineFailed):
        ask(engine, "fake:fail")
    with pytest.raises(PromptTooLong) as caught:
        ask(engine, "word " * 100)
    assert caught.value.values["context_tokens"] == 64
    with pytest.raises(ModelUnreadable):
        engine.load(LoadPlan(model_path="refuse.gguf"), progress=lambda _: None, stop=StopFlag())
    assert engine.loaded is None
