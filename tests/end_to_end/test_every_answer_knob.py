"""Dead knobs are defects: every setting of an answer is sent over /api to llama.cpp itself and changes what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.shared.settings import Stage, settings
from tests.end_to_end.running import Served, serve
from tests.models_for_tests import PROMPT_OPENS_THOUGHT, tiny_dense
from tests.service.doubles import wait_until

pytestmark = pytest.mark.engine

PLAIN = {"thinking": False, "max_tokens": 60, "temperature": 0.9}
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("knobs")
    model = tiny_dense(folder / "tiny.gguf", context=2048, template=PROMPT_OPENS_THOUGHT)
    chosen = ["--set", "context=2048", "--set", "threads=1", "--set", "batch_threads=1"]
    with serve(folder / "data", "--model", str(model), *chosen) as running:
        wait_until(lambda: running.get("/api/state")["engine"]["status"] == "ready", 30)
        yield running


def answer(served: Served, **values: Any) -> Any:
    """Send a message to a new chat and return the finished answer."""
    chat = served.post("/api/chats", {"title": "knobs", "temporary": True})
    sent = served.post(f"/api/chats/{chat['id']}/send", {"text": "hello world", "values": values})
    end = time.monotonic() + 20
    while time.monotonic() < end:
        last = served.get(f"/api/chats/{chat['id']}")["messages"][-1]
        if last["state"] != "writing" and last["id"] == sent["answer"]["id"]:
            assert last["state"] == "done", last
            return last
        time.sleep(0.01)
    raise AssertionError(f"no answer with {values}")


def texts(served: Served, **values: Any) -> list[str]:
    return [answer(served, **{**PLAIN, "seed": seed, **values})["text"] for seed in SEEDS]


@pytest.fixture(scope="module")
def plain(served: Served) -> list[str]:
    """What is said without the knob; the same twice, or nothing below would prove anything."""
    said = texts(served)
    assert texts(served) == said and said[0] != said[1]
    return said


def turned(**values: Any) -> Callable[[Served, list[str]], None]:
    """Another text with these values than without, and the values in the answer's facts."""

    def check(served: Served, plain: list[str]) -> None:
        assert texts(served, **values) != plain
        kept = answer(served, **{**PLAIN, "seed": 1, **values})["facts"]["values"]
        assert {key: kept[key] for key in values} == values

    return check


def greedy(served: Served, _plain: list[str]) -> None:
    said = texts(served, temperature=0.0)
    assert said[0] == said[1]


def top_k(served: Served, _plain: list[str]) -> None:
    assert texts(served, top_k=1) == texts(served, temperature=0.0)


def seed(served: Served, plain: list[str]) -> None:
    found = answer(served, **{**PLAIN, "seed": SEEDS[0]})
    assert found["facts"]["seed"] == SEEDS[0] and found["text"] == plain[0]


def max_tokens(served: Served, _plain: list[str]) -> None:
    found = answer(served, **{**PLAIN, "max_tokens": 7})
    assert found["facts"]["timings"]["completion_tokens"] == 7 and found["facts"]["finish_reason"] == "length"


def repeat_last(served: Served, _plain: list[str]) -> None:
    penalty = {"presence_penalty": 2.0}
    assert len({tuple(texts(served, repeat_last=last, **penalty)) for last in (0, 4, 256)}) == 3


def thinking(served: Served, _plain: list[str]) -> None:
    assert answer(served, **PLAIN, seed=1)["thought"] is None
    assert answer(served, **{**PLAIN, "thinking": True}, seed=1, thinking_budget=5)["thought"]


def thinking_budget(served: Served, _plain: list[str]) -> None:
    tokens = []
    for budget in (5, 40):
        found = answer(served, **{**PLAIN, "thinking": True}, seed=1, thinking_budget=budget)
        tokens.append(found["facts"]["timings"]["thought_tokens"])
        assert found["text"]
    assert tokens[1] - tokens[0] == 35  # the closing mark costs both the same


def system_prompt(served: Served, plain: list[str]) -> None:
    short = answer(served, **PLAIN, seed=1)["facts"]["timings"]["prompt_tokens"]
    found = answer(served, **PLAIN, seed=1, system_prompt="be good and be brief")
    assert found["facts"]["timings"]["prompt_tokens"] > short + 5
    assert found["text"] != plain[0]


KNOBS: dict[str, Callable[[Served, list[str]], None]] = {
    "temperature": greedy,
    "top_k": top_k,
    "top_p": turned(top_p=0.1),
    "min_p": turned(min_p=0.9),
    "repeat_penalty": turned(repeat_penalty=2.0),
    "repeat_last": repeat_last,
    "presence_penalty": turned(presence_penalty=2.0),
    "frequency_penalty": turned(frequency_penalty=2.0),
    "seed": seed,
    "max_tokens": max_tokens,
    "thinking": thinking,
    "thinking_budget": thinking_budget,
    "system_prompt": system_prompt,
}


def test_no_setting_of_an_answer_is_left_out() -> None:
    assert set(KNOBS) == {key for key, knob in settings().items() if knob.stage is Stage.SAMPLE}


@pytest.mark.parametrize("key", KNOBS)
def test_it_reaches_the_answer(served: Served, plain: list[str], key: str) -> None:
    KNOBS[key](served, plain)
