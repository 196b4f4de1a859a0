"""Drawing in the graph and on the CPU: the same text for the same seed, and every knob does something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.service.engine.llama.parameters import Values
from app.service.engine.llama.sampling import fits_backend, sampler_settings
from app.shared.engine import ResponseFormat
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine

SAME: list[dict[str, Any]] = [
    {},
    {"temperature": 0},
    {"temperature": 1.5, "top_k": 50},
    {"top_p": 0.5},
    {"min_p": 0.1, "temperature": 1.2},
    {"repeat_penalty": 1.3, "repeat_last": 32},
    {"presence_penalty": 1.5, "frequency_penalty": 0.5},
    {"repeat_penalty": 1.1, "temperature": 0},
]


@pytest.mark.parametrize("values", SAME, ids=str)
def test_the_graph_and_the_cpu_draw_the_same(
    new_engine: Callable[..., Loaded], files: dict[str, Path], values: dict[str, Any]
) -> None:
    graph, cpu = new_engine(backend_sampling=True), new_engine(backend_sampling=False)
    model = graph.load(files["moe"], **values)
    assert model.backend_sampling
    assert model.sampling_note and "graph" in model.sampling_note
    assert not cpu.load(files["moe"], **values).backend_sampling
    for seed in range(4):
        drawn = graph.answer("hello", max_tokens=60, values={"seed": seed})
        assert drawn.text == cpu.answer("hello", max_tokens=60, values={"seed": seed}).text


def test_the_seat_changes_chains_between_answers(
    new_engine: Callable[..., Loaded], files: dict[str, Path]
) -> None:
    graph, cpu = new_engine(backend_sampling=True), new_engine(backend_sampling=False)
    graph.load(files["moe"])
    cpu.load(files["moe"])
    json = {"response_format": ResponseFormat(kind="json_object")}
    turns: list[dict[str, Any]] = [
        {"values": {"seed": 1}},
        {"values": {"seed": 2}},  # other dice, the same graph
        {"values": {"seed": 1, "temperature": 1.4}},  # another chain
        {"values": {"seed": 1, "thinking": False}, **json},  # the CPU, because of the grammar
        {"values": {"seed": 1, "top_k": 0}},  # the CPU, because of the whole vocabulary
        {"values": {"seed": 1, "presence_penalty": 1.0}},
        {"values": {"seed": 1, "temperature": 0}},
        {"values": {"seed": 1}},
    ]
    texts = [graph.answer("hello", max_tokens=40, **turn).text for turn in turns]
    assert texts == [cpu.answer("hello", max_tokens=40, **turn).text for turn in turns]
    assert texts[0] == texts[-1]


def test_the_note_says_where_the_order_differs(
    new_engine: Callable[..., Loaded], files: dict[str, Path]
) -> None:
    graph = new_engine(backend_sampling=True)
    note = graph.load(files["moe"], top_p=1.0).sampling_note
    assert note and "another text" in note


def test_on_a_cpu_the_cpu_draws_unless_told(loaded: Loaded, files: dict[str, Path]) -> None:
    model = loaded.load(files["moe"])
    assert not model.backend_sampling
    assert model.sampling_note and "on the CPU" in model.sampling_note


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 1.9},
        {"top_k": 1},
        {"top_p": 0.1},
        {"min_p": 0.9},
        {"repeat_penalty": 2.0},
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
    ],
    ids=str,
)
def test_every_knob_changes_the_text(loaded: Loaded, files: dict[str, Path], values: dict[str, Any]) -> None:
    loaded.load(files["moe"], temperature=0.9)
    plain = [loaded.answer("hello", max_tokens=80, values={"seed": seed}).text for seed in range(3)]
    turned = [
        loaded.answer("hello", max_tokens=80, values={"seed": seed, **values}).text for seed in range(3)
    ]
    assert plain != turned


def test_repeat_last_bounds_the_penalties_memory(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    values = {"seed": 1, "presence_penalty": 2.0}
    texts = {
        last: loaded.answer("hello", max_tokens=80, values={**values, "repeat_last": last}).text
        for last in (0, 4, 256)
    }
    assert len(set(texts.values())) == 3
    assert texts[0] == loaded.answer("hello", max_tokens=80, values={"seed": 1}).text


def test_a_long_memory_of_penalties_stays_off_the_graph() -> None:
    settings = sampler_settings(Values({"presence_penalty": 1.0, "repeat_last": 500}))
    assert fits_backend(settings, 501)
    assert not fits_backend(settings, 499)
    assert not fits_backend(sampler_settings(Values({"top_k": 0})), 1000)


def test_a_seed_is_always_known() -> None:
    assert sampler_settings(Values({"seed": 7})).seed == 7
    assert len({sampler_settings(Values({})).seed for _ in range(4)}) > 1
