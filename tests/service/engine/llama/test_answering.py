"""Answers on random weights: what streams, where it ends, what is counted."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.service.engine.base import StopFlag
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    PrefillProgress,
    ResponseFormat,
)
from app.shared.errors import BadRequest, BadValue, PromptTooLong
from tests.models_for_tests import tiny_dense
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine

SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "sure": {"type": "boolean"},
        "count": {"type": "integer"},
    },
    "required": ["colour", "sure", "count"],
    "additionalProperties": False,
}
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a colour up",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        },
    },
}
CLOSE_QUICKLY = {"thinking_budget": 5}


def test_an_answer_streams_in_order_and_adds_up(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["long"], context=8192)
    events = loaded.events("hello", max_tokens=2000)
    assert isinstance(events[0], AnswerStarted)
    last = events[-1]
    assert isinstance(last, AnswerFinished)
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert len(deltas) >= 2
    assert "".join(delta.text for delta in deltas) == last.text
    assert sum(delta.tokens for delta in deltas) == last.timings.completion_tokens == 2000
    used = [delta.context_used_tokens for delta in deltas]
    assert used == sorted(used)
    timings = last.timings
    assert timings.prompt_tokens == events[0].prompt_tokens == timings.prefill_tokens
    assert timings.tokens_per_second and timings.tokens_per_second > 100
    assert timings.first_token_seconds and timings.first_token_seconds >= timings.prefill_seconds > 0


def test_one_event_of_each_kind_at_most_sixty_times_a_second(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["long"], context=8192)
    events = loaded.events("hello", max_tokens=3000)
    seconds = events[-1].timings.decode_seconds
    assert len(events) <= 60 * seconds + 4


def test_the_same_seed_says_the_same_and_another_something_else(
    loaded: Loaded, files: dict[str, Path]
) -> None:
    loaded.load(files["moe"])
    first = loaded.answer("hello", values={"seed": 11})
    assert first.seed == 11
    assert loaded.answer("hello", values={"seed": 11}).text == first.text
    assert loaded.answer("hello", values={"seed": 12}).text != first.text
    drawn = loaded.answer("hello")
    assert drawn.seed is not None
    assert loaded.answer("hello", values={"seed": drawn.seed}).text == drawn.text


def test_an_end_token_ends_it(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["ends"])
    last = loaded.answer("hello", max_tokens=None, values={"seed": 5, "thinking": False})
    assert last.finish_reason == "stop"
    assert "<|im_end|>" not in last.text


def test_a_full_context_ends_it_with_length(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    last = loaded.answer("hello", max_tokens=None)
    assert last.finish_reason == "length"
    assert last.context_used_tokens == 512
    assert loaded.answer("hello again").timings.completion_tokens == 24


def test_a_prompt_that_does_not_fit_says_both_counts(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    with pytest.raises(PromptTooLong) as caught:
        loaded.events("x" * 600)
    assert caught.value.values["context_tokens"] == 512
    assert isinstance(caught.value.values["prompt_tokens"], int)
    assert caught.value.values["prompt_tokens"] > 600
    fits = 512 - (caught.value.values["prompt_tokens"] - 600)
    with pytest.raises(PromptTooLong):
        loaded.events("x" * fits)
    assert loaded.answer("x" * (fits - 1), max_tokens=None).timings.completion_tokens >= 1


def test_bad_requests_are_sentences(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    with pytest.raises(BadRequest, match="no messages"):
        loaded.events(messages=())
    with pytest.raises(BadValue, match="max_tokens is 0"):
        loaded.events("hello", max_tokens=0)
    with pytest.raises(BadValue):
        loaded.events("hello", values={"temperature": -1})
    with pytest.raises(BadRequest, match="tool_choice"):
        loaded.events("hello", tools=(LOOKUP,), tool_choice="search")
    with pytest.raises(BadRequest, match="schema"):
        loaded.events(
            "hello", response_format=ResponseFormat(kind="json_schema", json_schema={"type": "colour"})
        )
    assert loaded.answer("hello").text


def test_text_is_always_whole_characters(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    seen = 0
    for seed in range(8):
        events = loaded.events("hello", max_tokens=200, values={"seed": seed, "temperature": 2.0, "top_k": 0})
        text = "".join(event.text for event in events if isinstance(event, AnswerDelta))
        assert text == events[-1].text
        text.encode()  # no half surrogates
        seen += sum(ord(letter) > 127 and letter != "\N{REPLACEMENT CHARACTER}" for letter in text)
    assert seen > 0  # some random bytes did make characters of several bytes


@pytest.mark.parametrize("length", [1, 3])
def test_stop_strings_cut_across_tokens(loaded: Loaded, files: dict[str, Path], length: int) -> None:
    loaded.load(files["moe"])
    greedy = {"seed": 5, "thinking": False}
    whole = loaded.answer("hello", max_tokens=100, values=greedy).text
    at = next(at for at in range(20, 90) if whole.index(whole[at : at + length]) == at)
    last = loaded.answer(
        "hello", max_tokens=100, values=greedy, stop=(whole[at : at + length], "never written")
    )
    assert last.finish_reason == "stop"
    assert last.text == whole[:at]
    assert last.timings.completion_tokens < 100


def test_max_tokens_may_leave_the_thought_out(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["opens"])
    counted = loaded.answer("hello", max_tokens=20)
    assert counted.timings.completion_tokens == counted.timings.thought_tokens == 20
    assert counted.thought and not counted.text
    apart = loaded.answer("hello", max_tokens=20, thinking_counts=False, values=CLOSE_QUICKLY)
    assert apart.timings.completion_tokens - apart.timings.thought_tokens == 20


def test_a_thought_budget_closes_the_thought(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["opens"])
    events = loaded.events("hello", max_tokens=60, values={"thinking_budget": 10, "seed": 4})
    last = events[-1]
    assert last.thought and last.text
    assert "</think>" not in last.thought + last.text
    closing = len(loaded.engine._model.tokenize("\n</think>\n\n"))  # type: ignore[union-attr]  # loaded above
    assert last.timings.thought_tokens == 10 + closing
    assert last.timings.thought_seconds is not None
    assert "".join(event.thought for event in events if isinstance(event, AnswerDelta)) == last.thought


def test_the_smallest_batch_still_reads_prompts_and_closes_thoughts(
    loaded: Loaded, files: dict[str, Path]
) -> None:
    values = {"thinking_budget": 3, "temperature": 0}
    loaded.load(files["opens"])
    usual = loaded.answer("hello", max_tokens=30, values=values)
    loaded.load(files["opens"], batch=1, ubatch=1)
    small = loaded.answer("hello", max_tokens=30, values=values)
    assert small.text and (small.thought, small.text) == (usual.thought, usual.text)


def test_thinking_off_leaves_no_thought(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["opens"])
    last = loaded.answer("hello", values={"thinking": False})
    assert last.thought is None and last.text
    loaded.load(files["opens"], thinking=False)
    assert loaded.answer("hello").thought is None


@pytest.mark.parametrize("model", ["moe", "opens"])
@pytest.mark.parametrize("thinking", [False, True])
def test_a_schema_holds_the_answer_and_not_the_thought(
    loaded: Loaded, files: dict[str, Path], model: str, thinking: bool
) -> None:
    loaded.load(files[model])
    for seed in range(3):
        last = loaded.answer(
            "hello",
            max_tokens=200,
            values={"seed": seed, "thinking": thinking, "temperature": 1.5, **CLOSE_QUICKLY},
            response_format=ResponseFormat(kind="json_schema", json_schema=SCHEMA),
        )
        assert last.finish_reason == "stop"
        jsonschema.validate(json.loads(last.text), SCHEMA)
        assert bool(last.thought) is thinking


def test_free_strings_in_json_hold_no_raw_control_characters(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    schema = {
        "type": "object",
        "properties": {"say": {"type": "string", "maxLength": 30}},
        "required": ["say"],
    }
    form = ResponseFormat(kind="json_schema", json_schema=schema)
    for seed in range(6):
        values = {"seed": seed, "thinking": False, "temperature": 2.0, "top_k": 0}
        last = loaded.answer("hello", max_tokens=300, values=values, response_format=form)
        if last.finish_reason == "stop":
            assert isinstance(json.loads(last.text)["say"], str)


def test_json_object_begins_an_object(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    form = ResponseFormat(kind="json_object")
    last = loaded.answer("hello", max_tokens=60, values={"thinking": False}, response_format=form)
    assert last.text.lstrip().startswith("{")
    if last.finish_reason == "stop":
        assert isinstance(json.loads(last.text), dict)


@pytest.mark.parametrize("choice", ["required", "lookup"])
def test_a_required_tool_is_called(loaded: Loaded, files: dict[str, Path], choice: str) -> None:
    loaded.load(files["moe"])
    last = loaded.answer(
        "hello", max_tokens=200, values={"thinking": False}, tools=(LOOKUP,), tool_choice=choice
    )
    assert last.finish_reason == "tool_calls"
    assert last.text.strip() == ""
    (call,) = last.tool_calls
    assert call.name == "lookup"
    assert json.loads(call.arguments)["colour"] in ("red", "green")


def test_logprobs_are_the_models_own(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    values = {"seed": 3, "thinking": False}
    events = loaded.events("hello", max_tokens=12, values=values, logprobs=3)
    found = [entry for event in events if isinstance(event, AnswerDelta) for entry in event.logprobs]
    assert len(found) == 12
    for entry in found:
        likely = [value for _, value in entry.top]
        assert len(likely) == 3 and likely == sorted(likely, reverse=True)
        assert entry.logprob <= likely[0] + 1e-6 and likely[0] < 0
        assert math.exp(entry.logprob) <= 1
    assert events[-1].text == loaded.answer("hello", max_tokens=12, values=values).text


def test_an_answer_can_be_continued(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    greedy = {"temperature": 0, "thinking": False, "top_k": 1}
    started = ChatTurn(role="assistant", content="hello world")
    user = ChatTurn(role="user", content="hello")
    request = GenerateRequest(
        id="c", messages=(user, started), max_tokens=10, values=greedy, continue_last=True
    )
    more = list(loaded.engine.generate(request, stop=StopFlag()))[-1]
    assert isinstance(more, AnswerFinished)
    assert more.text and not more.text.startswith("hello world")


def test_count_adds_up_by_part(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    user = ChatTurn(role="user", content="hello")
    system = ChatTurn(role="system", content="be good")
    alone = loaded.engine.count([user])
    assert (alone.system, alone.thinking, alone.context) == (0, 0, 512)
    both = loaded.engine.count([system, user])
    assert both.system == both.total - alone.total > 0
    assert both.history == alone.total
    assert loaded.engine.count([system, user], tools=[LOOKUP]).system > both.system
    assert loaded.engine.count([user], thinking=False).total > alone.total
    assert loaded.events("hello")[0].prompt_tokens == alone.total
    assert loaded.engine.count([]).total == 0


# Stopping


def test_stop_before_the_first_token(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    stop = StopFlag()
    stop.set()
    last = loaded.events("hello", flag=stop)[-1]
    assert (last.finish_reason, last.text) == ("cancelled", "")
    assert loaded.answer("hello").text


@pytest.mark.parametrize("model", ["long", "hybrid"])
def test_stop_while_the_prompt_is_read(
    loaded: Loaded, files: dict[str, Path], tmp_path: Path, model: str
) -> None:
    path = files[model]
    loaded.load(path, context=32768, ubatch=512)
    stop = StopFlag()
    text = "hello world " * 2500
    request = GenerateRequest(id="p", messages=(ChatTurn(role="user", content=text),), max_tokens=5)
    seen: list[Any] = []
    for event in loaded.engine.generate(request, stop=stop):
        seen.append(event)
        if isinstance(event, PrefillProgress) and len(seen) == 3:
            threading.Timer(0.002, stop.set).start()  # in the midst of a chunk: the abort callback's part
    last = seen[-1]
    assert last.finish_reason == "cancelled"
    assert 0 < last.timings.prefill_tokens < last.timings.prompt_tokens
    progress = [event.done_tokens for event in seen if isinstance(event, PrefillProgress)]
    assert progress == sorted(progress)

    values = {"temperature": 0, "thinking": False}
    after = loaded.answer("hello", values=values)
    loaded.engine.eject()
    loaded.load(path, context=32768, ubatch=512)
    assert loaded.answer("hello", values=values).text == after.text


def test_stop_while_writing_and_walking_away(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["long"], context=65536)
    stop = StopFlag()
    request = GenerateRequest(id="w", messages=(ChatTurn(role="user", content="hello"),))
    seen: list[Any] = []
    for event in loaded.engine.generate(request, stop=stop):
        seen.append(event)
        if isinstance(event, AnswerDelta):
            stop.set()
    assert seen[-1].finish_reason == "cancelled"
    assert seen[-1].text == "".join(event.text for event in seen if isinstance(event, AnswerDelta))

    walking = loaded.engine.generate(request, stop=StopFlag())
    next(walking)
    walking.close()  # type: ignore[attr-defined]  # it is a generator
    assert loaded.answer("hello").text


def test_a_template_without_thinking_still_answers_json(
    loaded: Loaded, files: dict[str, Path], tmp_path: Path
) -> None:
    loaded.load(files["plain"])
    form = ResponseFormat(kind="json_schema", json_schema=SCHEMA)
    jsonschema.validate(json.loads(loaded.answer("hello", max_tokens=200, response_format=form).text), SCHEMA)


def test_another_file_replaces_the_first(loaded: Loaded, files: dict[str, Path], tmp_path: Path) -> None:
    loaded.load(files["moe"])
    before = loaded.answer("hello", values={"temperature": 0}).text
    other = tiny_dense(tmp_path / "other.gguf", seed=9)
    assert loaded.load(other).id == "other"
    assert loaded.answer("hello", values={"temperature": 0}).text != before
