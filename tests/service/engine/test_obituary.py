"""Every way a worker can end is one sentence with the model's name, the values, and what to do."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service.engine.obituary import Circumstances, MemoryWatch, hung, obituary, oom_kills
from app.shared.engine import LoadPlan
from app.shared.errors import EngineDied, EngineHung, from_info

MEMORY = MemoryWatch(available_bytes=3 * 2**30, kills=4)


def seen(
    *lines: str,
    phase: str | None = "decode",
    oom: bool | None = False,
    values: dict[str, int | str] | None = None,
) -> Circumstances:
    plan = LoadPlan(model_path="/models/Qwen3-30B-A3B-Q4_K_M.gguf", values=values or {})
    return Circumstances(
        plan=plan, model=None, phase=phase, stderr=lines, engine_log=(), memory=MEMORY, out_of_memory=oom
    )


def words(error: EngineDied) -> str:
    sentence = error.sentence
    assert sentence.endswith(".") and "\n" not in sentence and "!" not in sentence
    assert "Qwen3-30B-A3B-Q4_K_M" in sentence
    assert not re.search(
        r"signal \d|exit (code|status)|0x[0-9a-f]{4,}|returncode|SIG[A-Z]{2,}", sentence, re.I
    ), sentence
    assert from_info(error.info()).sentence == sentence
    return sentence


KNOWN = [
    (-signal.SIGSEGV, (), "crashed"),
    (-signal.SIGABRT, (), "without saying why"),
    (-signal.SIGILL, (), "processor"),
    (-signal.SIGBUS, (), "file"),
    (-signal.SIGFPE, (), "divided by zero"),
    (-signal.SIGKILL, (), "from outside"),
    (-signal.SIGTERM, (), "asked the engine to end"),
    (139, (), "crashed"),
    (0xC0000005, (), "crashed"),
    (0xC000001D - 2**32, (), "processor"),
    (0xC0000017, (), "memory ran out"),
    (0xC0000135, (), "library"),
    (0, (), "ended by itself"),
    (
        1,
        ("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'llama_cpp'"),
        "No module named",
    ),
    (-6, ("/x/llama-graph.cpp:99: GGML_ASSERT(n_expert_used <= n_expert) failed",), "experts per token"),
    (-6, ("GGML_ASSERT(n_tokens_all <= cparams.n_batch) failed",), "batch size"),
    (-6, ("ggml.c:1200: GGML_ASSERT(type >= 0 && type < GGML_TYPE_COUNT) failed",), "KV cache"),
    (-6, ("GGML_ASSERT(some_thing == 7) failed",), "some_thing == 7"),
    (
        -6,
        ("terminate called after throwing an instance of 'std::runtime_error'", "  what():  bad thing!"),
        "bad thing",
    ),
    (-6, ("terminate called after throwing an instance of 'std::bad_alloc'",), "memory ran out"),
    (-6, ("CUDA error: an illegal memory access was encountered",), "illegal memory access"),
    (-6, ("CUDA error: out of memory",), "graphics memory ran out"),
    (
        -6,
        (
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 1024.50 MiB on device 0: cudaMalloc failed: out of memory",
        ),
        "device 0 had no 1.0 GiB left",
    ),
]


@pytest.mark.parametrize(("returncode", "lines", "expected"), KNOWN)
def test_known_endings_are_worded(returncode: int, lines: tuple[str, ...], expected: str) -> None:
    assert expected in words(obituary(seen(*lines), returncode))


def test_the_oom_killer_is_told_from_another_kill() -> None:
    starved = words(obituary(seen(oom=True, values={"context": 131072}), -signal.SIGKILL))
    assert "memory ran out" in starved and "context=131072" in starved and "3.0 GiB" in starved
    assert "from outside" in words(obituary(seen(oom=False), -signal.SIGKILL))


def test_the_kernels_counters_are_read(tmp_path: Path) -> None:
    vmstat, group = tmp_path / "vmstat", tmp_path / "group"
    group.mkdir()
    assert oom_kills(vmstat, group) is None
    vmstat.write_text("pgfault 3\noom_kill 2\n")
    (group / "memory.events").write_text("oom 9\noom_kill 5\noom_group_kill 1\n")
    assert oom_kills(vmstat, group) == 7


@pytest.mark.parametrize("asked", [True, False])
def test_hanging_is_worded(asked: bool) -> None:
    error = hung(seen(phase="prefill", values={"batch": 512}), seconds=61.2, asked_to_stop=asked)
    assert isinstance(error, EngineHung)
    assert (
        "61.2 s" in words(error) and "reading the prompt" in error.sentence and "batch=512" in error.sentence
    )


@given(
    returncode=st.one_of(st.none(), st.integers(-70, 260), st.integers(-(2**31), 2**32 - 1)),
    lines=st.lists(
        st.one_of(st.text(max_size=80), st.sampled_from([line for _, each, _ in KNOWN for line in each])),
        max_size=4,
    ),
    phase=st.sampled_from(["start", "load", "prefill", "decode", "count", None]),
    oom=st.booleans(),
)
def test_any_ending_is_one_readable_sentence(
    returncode: int | None, lines: list[str], phase: str | None, oom: bool
) -> None:
    error = obituary(seen(*lines, phase=phase, oom=oom), returncode)
    sentence = error.sentence
    assert sentence.endswith(".") and "\n" not in sentence and "!" not in sentence
    assert "Qwen3-30B-A3B-Q4_K_M" in sentence and len(sentence) < 700
    assert error.remedies and from_info(error.info()).sentence == sentence
