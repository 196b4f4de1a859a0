"""The dry-run process: deaths, idleness, builds that cannot, and the real one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.service.forecast.dry_run_process import DryRunProcess, NoDryRun
from app.shared.errors import BadValue
from tests.models_for_tests import tiny_moe
from tests.service.doubles import wait_until

# Answers as the real one does; a context of 13 ends it, 14 makes it hang, 99 is refused.
SCRIPT = """
import os, sys, time
from app.forecast.layout import DeviceLayout, Gpu, Layout, LayoutReply, LayoutRequest
from app.shared import messages
from app.shared.errors import BadValue
out, come = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
can = sys.argv[1] == "can"
messages.write_frame(out, LayoutReply(id="", available=can, gpus=(Gpu(name="CUDA0"),), gpu_offload=True))
while (frame := messages.read_frame(come)) is not None:
    asked = LayoutRequest.model_validate_json(frame)
    context = asked.values.get("context")
    if context == 13:
        sys.stderr.write("GGML_ASSERT(fits) failed\\n")
        sys.stderr.flush()
        os._exit(7)
    if context == 14:
        time.sleep(60)
    if context == 99:
        error = BadValue("{label} is {value}. No.", key="context", label="Context", value=99).info()
        messages.write_frame(out, LayoutReply(id=asked.id, error=error))
        continue
    ram = DeviceLayout(name="RAM", kind="ram", kv_bytes=context)
    messages.write_frame(out, LayoutReply(id=asked.id, layout=Layout(exact=True, devices=(ram,))))
"""


@pytest.fixture
def scripted() -> Iterator[Callable[..., DryRunProcess]]:
    made: list[DryRunProcess] = []

    def make(word: str = "can", **options: float) -> DryRunProcess:
        command = [sys.executable, "-c", SCRIPT, word]
        made.append(DryRunProcess(command=lambda: command, **options))  # type: ignore[arg-type]  # only floats are given
        return made[-1]

    yield make
    for process in made:
        process.close()


def kv(process: DryRunProcess, context: int) -> int:
    return process.layout("m.gguf", {"context": context}).devices[0].kv_bytes


def test_it_starts_on_need_and_answers_in_turn(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted()
    assert process.pid is None and process.gpu_offload is None
    answers: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.__setitem__(n, kv(process, n)))  # type: ignore[misc]  # bound default
        for n in range(100, 106)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n for n in range(100, 106)}
    assert process.gpu_offload is True and process.gpus[0].name == "CUDA0"


def test_a_death_is_tried_once_more_and_remembered(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted()
    assert kv(process, 512) == 512
    with pytest.raises(NoDryRun, match="status 7: GGML_ASSERT") as told:
        kv(process, 13)
    assert told.value.died
    assert kv(process, 512) == 512  # started again
    pid = process.pid
    with pytest.raises(NoDryRun, match="status 7"):
        kv(process, 13)
    assert process.pid == pid  # what kills is not asked twice


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_being_killed_from_outside_costs_one_start(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted()
    kv(process, 512)
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: process.pid is None)
    assert kv(process, 512) == 512 and process.pid != first


def test_errors_are_those_of_a_load(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted()
    with pytest.raises(BadValue, match="Context is 99"):
        kv(process, 99)
    assert kv(process, 1) == 1


def test_one_that_takes_too_long_is_ended(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted(answer_seconds=0.3)
    with pytest.raises(NoDryRun):
        kv(process, 14)


def test_closing_ends_a_question_under_way(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted()
    kv(process, 1)
    ended: list[bool] = []

    def ask() -> None:
        with pytest.raises(NoDryRun):
            kv(process, 14)
        ended.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    process.close()
    thread.join(5)
    assert ended == [True] and process.pid is None
    with pytest.raises(NoDryRun, match="stopping"):
        kv(process, 1)


def test_it_is_ended_when_idle_or_told_to(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted(idle_seconds=0.1)
    kv(process, 1)
    assert process.pid is not None
    wait_until(lambda: process.pid is None)
    assert kv(process, 2) == 2
    process.retire()
    assert process.pid is None


def test_a_build_that_does_not_show_its_layout_is_asked_once(scripted: Callable[..., DryRunProcess]) -> None:
    process = scripted("cannot")
    for _ in range(2):
        with pytest.raises(NoDryRun, match="does not show its memory layout"):
            kv(process, 1)
    assert process.pid is None


def test_a_program_that_does_not_start_is_given_up() -> None:
    said: list[str] = []
    process = DryRunProcess(command=lambda: ["/nowhere/pult"], log=said.append)
    for _ in range(5):
        with pytest.raises(NoDryRun, match="does not start"):
            kv(process, 1)
    assert len(said) == 3
    process.close()


@pytest.mark.engine
def test_the_real_process_answers_and_ends_with_its_pipe(tmp_path: Path) -> None:
    path = tiny_moe(tmp_path / "moe.gguf")
    process = DryRunProcess()
    try:
        layout = process.layout(str(path), {"context": 1024})
        assert layout.exact and layout.devices[-1].kv_bytes == 2 * 1024 * 2 * 64 * 4
        took = []
        for step in range(20):
            began = time.perf_counter()
            process.layout(str(path), {"context": 2048 + 256 * step})
            took.append(time.perf_counter() - began)
        assert sorted(took)[10] < 0.05
        with pytest.raises(BadValue, match="Experts per token is 99"):
            process.layout(str(path), {"experts": 99})
        assert process._child is not None and process._child.process.stdin is not None
        child = psutil.Process(process._child.process.pid)
        process._child.process.stdin.close()
        child.wait(5)
    finally:
        process.close()


@pytest.mark.engine
def test_a_real_abort_is_survived_and_said(tmp_path: Path) -> None:
    """256 experts per token are more than llama.cpp's graph has room for, which it asserts."""
    path = str(tiny_moe(tmp_path / "many.gguf", experts=256))
    process = DryRunProcess()
    try:
        with pytest.raises(NoDryRun, match=r"^it ended with .*: GGML_ASSERT\(.*\) failed$") as told:
            process.layout(path, {"context": 512, "experts": 256})
        assert told.value.died
        assert process.layout(path, {"context": 512, "experts": 8}).exact
    finally:
        process.close()
