"""Another number of experts per token without a reload: bit for bit what a reload gives, and never an abort."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from app.service.engine.base import StopFlag
from app.service.engine.llama import experts_findings, live_experts
from app.service.engine.llama.experts_findings import Study, question
from app.service.engine.llama.gguf_file import read_header
from app.service.engine.llama.live_experts import Findings, Layout, NumberInModel, SwitchRefused, model_block
from app.service.engine.llama.parameters import Values, context_parameters
from app.shared.errors import BadValue, Cancelled
from app.shared.paths import cache_dir
from tests.models_for_tests import tiny_hybrid, tiny_moe
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with more experts than its graph has room for."""
    return tiny_moe(tmp_path_factory.mktemp("deep") / "deep.gguf", experts=64, used=4, layers=8)


@pytest.fixture
def ignorant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from earlier studies."""
    monkeypatch.setattr(experts_findings, "_known", {})


def logits_of(loaded: Loaded, text: str = "hello world, and so on") -> Any:
    """The logits after `text`, read into an empty cache."""
    model, context = loaded.engine._ready()
    context.clear()
    context.read(model.tokenize(text), output=True)
    found = context.logits(model.vocabulary_size)
    context.clear()
    return found


def switch(loaded: Loaded, count: int) -> None:
    loaded.engine._use_experts(Values({"experts": count}))


@pytest.fixture(scope="session")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of experts that keeps a recurrent state beside its cache."""
    return tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "hybrid.gguf", experts=8)


@pytest.mark.parametrize("kind", ["attention", "hybrid"])
def test_every_number_gives_the_logits_of_a_reload(
    new_engine: Callable[..., Loaded], files: dict[str, Path], hybrid: Path, kind: str
) -> None:
    path = hybrid if kind == "hybrid" else files["moe"]
    switched, reloaded = new_engine(), new_engine()
    model = switched.load(path)
    assert (model.experts_switch, model.experts_limit) == ("live", 8)
    seen = []
    for count in (1, 8, 3, 2, 7, 4, 6, 5):
        reloaded.load(path, experts=count)
        switch(switched, count)
        found = logits_of(switched)
        assert np.array_equal(found, logits_of(reloaded)), count
        seen.append(found.tobytes())
    assert len(set(seen)) == 8


def test_an_answer_says_how_many_worked_and_the_next_goes_back(
    loaded: Loaded, files: dict[str, Path]
) -> None:
    loaded.load(files["moe"])
    weights, context = loaded.engine._model, loaded.engine._context
    plain = loaded.answer("hello", values=GREEDY)
    more = loaded.answer("hello", values={**GREEDY, "experts": 5})
    again = loaded.answer("hello", values=GREEDY)
    assert (plain.experts_used, more.experts_used, again.experts_used) == (2, 5, 2)
    assert plain.text == again.text != more.text
    assert loaded.engine._model is weights and loaded.engine._context is context


@pytest.mark.parametrize("kind", ["attention", "hybrid"])
def test_in_the_middle_of_a_conversation_the_cache_stays(
    loaded: Loaded, files: dict[str, Path], hybrid: Path, kind: str
) -> None:
    loaded.load(hybrid if kind == "hybrid" else files["moe"])
    first = loaded.answer("hello", values=GREEDY, max_tokens=8)
    second = loaded.answer("hello", first.text, "and then", values={**GREEDY, "experts": 6}, max_tokens=8)
    assert second.experts_used == 6
    assert second.timings.cached_tokens > 5  # what was read with 2 experts was not read again


def test_two_hundred_switches_in_one_conversation_leak_nothing(
    loaded: Loaded, files: dict[str, Path]
) -> None:
    loaded.load(files["moe"])
    model, context = loaded.engine._ready()
    token, process = model.tokenize("a")[-1:], psutil.Process()
    expected = logits_of(loaded)

    def around() -> None:
        for count in (1, 8, 3, 2):
            switch(loaded, count)
            context.read(token, output=True)

    around()
    before = process.memory_info().rss
    for _ in range(50):
        around()
    # One graph's buffers kept for each switch would be 100 MB; the allocator breathes by 5.
    assert process.memory_info().rss - before < 12_000_000
    assert len(context.tokens) == 204  # none was forgotten
    assert np.array_equal(logits_of(loaded), expected)


def test_a_switch_takes_less_than_ten_milliseconds(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    model, context = loaded.engine._ready()
    token = model.tokenize("a")[-1:]
    taken = []
    for count in (1, 8, 3, 2, 7, 4, 6, 5):
        began = time.perf_counter()
        switch(loaded, count)
        context.read(token, output=True)  # the new graph is built here
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.010  # the rest is what else the machine does


def test_a_plan_brings_its_own_number_back(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"], experts=3)
    weights = loaded.engine._model
    assert loaded.answer("hello", values={"experts": 7}).experts_used == 7
    model = loaded.load(files["moe"], experts=3, context=256)
    assert loaded.engine._model is weights and model.experts_used == 3
    assert loaded.answer("hello").experts_used == 3
    loaded.answer("hello", values={"experts": 7})
    assert loaded.load(files["moe"], experts=3, context=256, temperature=0.1).experts_used == 3


def test_more_than_the_graph_has_room_for_is_a_sentence(loaded: Loaded, deep: Path) -> None:
    model = loaded.load(deep)
    limit = model.experts_limit
    assert model.experts_switch == "live" and limit is not None and 16 < limit < 64
    assert loaded.answer("hello", values={"experts": limit}).experts_used == limit
    for wrong in (limit + 1, 64):
        with pytest.raises(
            BadValue, match=rf"Experts per token is {wrong}\..*has room for {limit}; choose 1 to"
        ):
            loaded.answer("hello", values={"experts": wrong})
    for wrong in (65, 999):
        with pytest.raises(BadValue, match=rf"Experts per token is {wrong}\. It takes 1 to {limit}\."):
            loaded.answer("hello", values={"experts": wrong})
    assert loaded.answer("hello").experts_used == 4
    with pytest.raises(BadValue, match=f"has room for {limit}"):
        loaded.load(deep, experts=limit + 1)
    assert loaded.load(deep, experts=limit).experts_used == limit
    assert loaded.answer("hello").finish_reason == "length"


def test_without_a_live_switch_the_sentence_says_to_reload(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, ignorant: None
) -> None:
    monkeypatch.setattr(Study, "findings", lambda study, stop: Findings(limit=8, reason="this is a test"))
    model = loaded.load(files["moe"], experts=3)
    assert model.experts_switch == "reload" and model.experts_limit == 8
    assert model.experts_switch_note == "Experts per token change by loading again: this is a test."
    assert loaded.answer("hello", values={"experts": 3}).experts_used == 3
    with pytest.raises(BadValue, match="only when the model is loaded: this is a test") as caught:
        loaded.answer("hello", values={"experts": 4})
    assert "reload" in caught.value.remedies
    assert loaded.load(files["moe"], experts=4).experts_used == 4


def test_a_wrong_place_is_never_written(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = loaded.load(files["moe"])
    model = loaded.engine._model
    assert model is not None and model.pointer is not None and right.experts_switch == "live"
    size = len(model_block(model.pointer)) * 4
    before = model_block(model.pointer).copy()
    for wrong in (
        Layout(size, (64, 68)),
        Layout(size - 8, (8332, 8336)),
        Layout(size, ()),
        Layout(size, (size,)),
    ):
        with pytest.raises(SwitchRefused):
            NumberInModel(model.pointer, wrong, 2)
        monkeypatch.setattr(Study, "findings", lambda study, stop, wrong=wrong: Findings(wrong, 8))
        assert loaded.load(files["moe"], context=256).experts_switch == "reload"
        assert loaded.load(files["moe"], context=512).experts_switch == "reload"
    assert np.array_equal(model_block(model.pointer), before)


@pytest.mark.parametrize("pointer", [0, 8, 0x10, 2**47 - 4096, id(None) + 1])
def test_memory_that_is_not_there_is_not_read(pointer: int) -> None:
    with pytest.raises(SwitchRefused):
        model_block(pointer)


def test_a_switch_that_gives_other_logits_costs_a_reload_and_is_given_up(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def noise(self: Any, context: Any) -> Any:
        asked.append(1)
        return np.array([float(max(2, len(asked)))])  # the same twice, then another each time

    monkeypatch.setattr(live_experts.LiveExperts, "_logits", noise)
    model = loaded.load(files["moe"])
    assert model.experts_switch == "reload" and "loaded once more" in str(model.experts_switch_note)
    assert len(asked) == 4 and any("other logits" in line for line in loaded.log)
    assert loaded.answer("hello").experts_used == 2


def test_a_model_that_never_says_the_same_twice_is_not_switched(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter(range(10))
    monkeypatch.setattr(live_experts.LiveExperts, "_logits", lambda self, context: np.array([next(values)]))
    model = loaded.load(files["moe"])
    assert model.experts_switch == "reload" and "each time" in str(model.experts_switch_note)
    assert next(values) == 2  # and it was not loaded again


def test_a_number_that_changes_nothing_is_no_switch(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_experts.LiveExperts, "_logits", lambda self, context: np.zeros(3))
    weights = loaded.load(files["moe"])
    assert weights.experts_switch == "reload" and "changed nothing" in str(weights.experts_switch_note)


def study_of(path: Path, log: list[str], **values: Any) -> Study:
    header = read_header(path)
    context = context_parameters(Values({"context": 512, **values}), header)
    asked = question(header, context, wanted=values.get("experts", 2), gpu=False)
    return Study(asked, lambda level, source, text: log.append(text))


def test_a_study_is_made_once_for_a_file_and_again_when_it_changes(tmp_path: Path, ignorant: None) -> None:
    path, log = tiny_moe(tmp_path / "m.gguf"), []

    def ask(**values: Any) -> Findings:
        with study_of(path, log, **values) as study:
            return study.findings(StopFlag())

    first = ask()
    assert first.layout is not None and len(first.layout.offsets) == 2 and first.limit == 8
    assert ask(experts=5, context=1024) == first and len(log) == 1
    experts_findings._known.clear()
    assert ask() == first and len(log) == 1  # from the disk
    kept = json.loads((cache_dir() / "experts.json").read_text())
    assert [words["limit"] for words in kept.values()] == [8]
    tiny_moe(path, experts=16)
    assert ask().limit == 16 and len(log) == 2
    (cache_dir() / "experts.json").write_text('{"broken": {"layout"')
    experts_findings._known.clear()
    assert ask().limit == 16 and len(log) == 3


def children() -> Iterator[psutil.Process]:
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and "--study" in child.cmdline():
            yield child


def test_leaving_ends_the_child_and_cancel_is_heard(tmp_path: Path, ignorant: None) -> None:
    stop = StopFlag()
    stop.set()
    with study_of(tiny_moe(tmp_path / "m.gguf"), []) as study:
        assert len(list(children())) == 1
        with pytest.raises(Cancelled, match="m\\.gguf"):
            study.findings(stop)
    assert not list(children())


def test_a_child_that_dies_at_once_means_reload(
    tmp_path: Path, ignorant: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_moe(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes().replace(b"qwen3moe", b"qwen9moe"))
    with study_of(path, []) as study:
        found = study.findings(StopFlag())
    assert found.layout is None and found.limit is None and "without its weights" in found.reason
    monkeypatch.setattr(experts_findings, "program_command", lambda *words: ["/nonexistent/pult"])
    with study_of(tiny_moe(tmp_path / "n.gguf"), []) as study:
        assert "could not be started" in study.findings(StopFlag()).reason


def test_without_a_known_allocator_only_the_number_asked_for_is_tried(tmp_path: Path, deep: Path) -> None:
    """What happens off Linux, played in a child whose platform says so."""
    import subprocess
    import sys
    from dataclasses import asdict

    def lines(experts: int) -> tuple[list[dict[str, Any]], int]:
        header = read_header(deep)
        asked = question(header, context_parameters(Values({}), header), wanted=experts, gpu=False)
        code = (
            "from app.service.engine.llama import live_experts, experts_study;"
            "live_experts._allocator_measure = lambda: None; import sys; sys.exit(experts_study.main())"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(asdict(asked)).encode(),
            capture_output=True,
            check=False,
        )
        return [json.loads(line) for line in ran.stdout.splitlines()], ran.returncode

    said, status = lines(8)
    assert said[0]["offsets"] == [] and "cannot be told" in said[0]["reason"]
    assert said[1:] == [{"fits": 8}] and status == 0
    said, status = lines(60)
    assert len(said) == 1 and status != 0
