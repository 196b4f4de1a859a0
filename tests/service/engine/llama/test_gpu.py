"""What only a GPU shows: layers there, the draw in its graph, experts kept on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.service.engine.llama import native
from tests.service.engine.llama.conftest import Loaded

pytestmark = [pytest.mark.engine, pytest.mark.gpu]

GREEDY = {"values": {"temperature": 0, "thinking": False}, "max_tokens": 40}


@pytest.fixture(autouse=True)
def needs_a_gpu(loaded: Loaded) -> None:
    if not native.can_offload():
        pytest.skip("this llama.cpp sees no GPU")


def test_all_layers_go_to_the_gpu_and_the_graph_draws(loaded: Loaded, files: dict[str, Path]) -> None:
    model = loaded.load(files["moe"])
    assert model.gpu_layers == model.layers
    assert model.backend_sampling
    assert any(device != "CPU" for device in model.devices)
    assert loaded.answer("hello", values={"seed": 3}).text == loaded.answer("hello", values={"seed": 3}).text


def test_no_or_some_layers_leave_the_draw_to_the_cpu(loaded: Loaded, files: dict[str, Path]) -> None:
    assert loaded.load(files["moe"], gpu_layers=0).devices == ("CPU",)
    some = loaded.load(files["moe"], gpu_layers=1)
    assert some.gpu_layers == 1 and not some.backend_sampling
    assert loaded.answer("hello").timings.completion_tokens == 24


def test_experts_on_the_cpu_and_cache_in_ram_still_answer(loaded: Loaded, files: dict[str, Path]) -> None:
    for values in ({"moe_cpu_layers": 2}, {"moe_cpu_layers": 1}, {"kv_offload": False}, {"main_gpu": 0}):
        loaded.load(files["moe"], **values)
        assert loaded.answer("hello", **GREEDY).timings.completion_tokens == 40


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0", "q4_0"])
def test_cache_types_on_the_gpu(loaded: Loaded, files: dict[str, Path], kind: str) -> None:
    loaded.load(files["dense"], kv_k=kind, kv_v=kind)
    assert loaded.answer("hello", **GREEDY).timings.completion_tokens == 40


def test_the_graph_and_the_cpu_draw_the_same_there_too(
    new_engine: Callable[..., Loaded], files: dict[str, Path]
) -> None:
    graph, cpu = new_engine(), new_engine(backend_sampling=False)
    graph.load(files["moe"])
    cpu.load(files["moe"])
    for values in ({"seed": 1}, {"seed": 2, "presence_penalty": 1.0}, {"temperature": 0}):
        assert graph.answer("hello", values=values).text == cpu.answer("hello", values=values).text


def test_a_hybrid_returns_to_its_checkpoint(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["hybrid"])
    first = loaded.answer("hello world", **GREEDY).text
    started = loaded.events("hello world", **GREEDY)
    assert started[0].cached_tokens > 0
    assert started[-1].text == first
