"""What a second prompt finds in the cache: attention models roll back, hybrid ones return to a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.service.engine.llama.context import _common_length
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine

GREEDY = {"values": {"temperature": 0, "thinking": False}, "max_tokens": 16}
LONG = "a rather long first question about the hello world and the user of the system"


def fresh(new_engine: Callable[..., Loaded], path: Path, *said: str) -> str:
    engine = new_engine()
    engine.load(path)
    text = engine.answer(*said, **GREEDY).text
    engine.engine.eject()
    return text


@pytest.mark.parametrize("model", ["dense", "moe", "hybrid"])
def test_reuse_never_changes_the_answer(
    new_engine: Callable[..., Loaded], files: dict[str, Path], model: str
) -> None:
    path = files[model]
    engine = new_engine()
    engine.load(path)
    first = engine.answer(LONG, **GREEDY).text
    conversations = [
        (LONG, first, "and then"),  # the next turn
        (LONG, first, "and then"),  # regenerated
        (LONG, first, "or otherwise"),  # edited at the end
        (LONG,),  # back to the beginning
        (LONG[:-6], "so", "and then"),  # edited early
        ("something else",),
    ]
    for said in conversations:
        assert engine.answer(*said, **GREEDY).text == fresh(new_engine, path, *said)


@pytest.mark.parametrize("model", ["dense", "hybrid"])
def test_the_next_turn_reads_only_what_is_new(loaded: Loaded, files: dict[str, Path], model: str) -> None:
    loaded.load(files[model])
    first = loaded.events(LONG, **GREEDY)[-1]
    again = loaded.events(LONG, **GREEDY)[0]
    assert (
        again.prompt_tokens - again.cached_tokens <= 14
    )  # at most the mark that asks for an answer, and its thought
    following = loaded.events(LONG, "short", "next", **GREEDY)[0]
    assert following.cached_tokens >= first.timings.prompt_tokens - 14
    other = loaded.events("entirely different", **GREEDY)[0]
    assert other.cached_tokens < 20


def test_a_regenerated_answer_computes_one_token(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["dense"])
    loaded.events(LONG)
    started = loaded.events(LONG)[0]
    assert started.cached_tokens == started.prompt_tokens - 1


def test_a_hybrid_model_says_so(loaded: Loaded, files: dict[str, Path]) -> None:
    model = loaded.load(files["hybrid"])
    assert model.recurrent and model.architecture == "qwen35"


def test_many_turns_of_a_hybrid_keep_few_checkpoints(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["hybrid"], context=4096)
    said: list[str] = []
    for turn in range(14):
        said.append(f"question {turn}")
        events = loaded.events(*said, **GREEDY)
        if turn:
            assert events[0].cached_tokens > 0
        said.append("fine")
    context = loaded.engine._context
    assert context is not None
    positions = [known.position for known in context._checkpoints]
    assert len(positions) <= 8 and positions == sorted(positions)


def test_common_length_is_the_first_difference() -> None:
    from array import array

    held = array("i", range(1000))
    for at in (0, 1, 2, 499, 998, 999):
        prompt = list(range(1000))
        prompt[at] = -1
        assert _common_length(held, prompt) == at
    assert _common_length(held, list(range(2000))) == 1000
    assert _common_length(held, list(range(10))) == 10
    assert _common_length(array("i"), [1]) == 0
