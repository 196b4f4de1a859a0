"""What every engine keeps to: the fake, its supervised twin, the real llama.cpp behind the pipe, and a remote server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.service.engine.base import Engine, StopFlag
from app.service.engine.fake import FakeEngine
from app.service.engine.remote import RemoteEngine
from app.service.engine.supervisor import SupervisedEngine
from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    LoadPlan,
    PrefillProgress,
    RemoteServer,
    TokenEvent,
)
from app.shared.errors import BadRequest, NoModelLoaded, PultError
from tests.models_for_tests import tiny_moe
from tests.service.doubles import TOKEN, loaded, serving

KINDS = [
    "fake",
    "supervised fake",
    pytest.param("supervised llama", marks=pytest.mark.engine),
    "remote",
]


@dataclass
class Case:
    """An engine, a plan that it can load and one that it cannot."""

    engine: Engine
    plan: LoadPlan
    bad: LoadPlan
    slow: bool = False  # decodes slowly enough to be stopped in the middle


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """A worker lives across the tests of its kind here; `case` looks for leftovers at its end instead."""


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder: Path = tmp_path_factory.mktemp("models")
    fake, refused = LoadPlan(model_path="fake.gguf"), LoadPlan(model_path="refuse.gguf")
    threads = set(threading.enumerate())
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    with ExitStack() as stack:
        match request.param:
            case "fake":
                made = Case(FakeEngine(2000), fake, refused)
            case "supervised fake":
                made = Case(SupervisedEngine("fake:2000"), fake, refused)
            case "supervised llama":
                html = folder / "page.gguf"
                html.write_text("<!DOCTYPE html><html>not a model</html>")
                model = tiny_moe(folder / "tiny.gguf", context=4096)
                plan = LoadPlan(model_path=str(model), values={"context": 4096, "threads": 1})
                made = Case(SupervisedEngine("llama"), plan, LoadPlan(model_path=str(html)))
            case _:
                services = stack.enter_context(serving(rate=2000))
                loaded(services)
                server = RemoteServer(name="other", url=f"{services.address}/v1", key=TOKEN)
                made = Case(
                    RemoteEngine(),
                    LoadPlan(remote=server),
                    LoadPlan(remote=server.model_copy(update={"key": "wrong"})),
                )
        try:
            yield made
        finally:
            made.engine.close()
            made.engine.close()
    left = {
        thread for thread in threading.enumerate() if thread not in threads and "AnyIO" not in thread.name
    }
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= children


@pytest.fixture
def engine(case: Case) -> Engine:
    if case.engine.loaded is None:
        case.engine.load(case.plan, progress=lambda _: None, stop=StopFlag())
    return case.engine


def request(text: str = "hello there", **more: Any) -> GenerateRequest:
    return GenerateRequest(id="r", messages=(ChatTurn(role="user", content=text),), **more)


def answer(engine: Engine, asked: GenerateRequest, stop: StopFlag | None = None) -> list[TokenEvent]:
    return list(engine.generate(asked, stop=stop or StopFlag()))


def last(events: list[TokenEvent]) -> AnswerFinished:
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    return finished


def test_loading_tells_progress_and_what_it_became(case: Case) -> None:
    fractions: list[float] = []
    model = case.engine.load(case.plan, progress=fractions.append, stop=StopFlag())
    assert model == case.engine.loaded
    assert model.id and model.name and model.context and model.context > 0
    assert fractions and fractions == sorted(fractions) and fractions[-1] == 1.0
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_an_answer_has_one_order(engine: Engine) -> None:
    events = answer(engine, request(max_tokens=30, values={"seed": 1}))
    kinds = [type(event) for event in events]
    assert kinds[0] is AnswerStarted and kinds.count(AnswerStarted) == 1
    assert kinds[-1] is AnswerFinished and kinds.count(AnswerFinished) == 1
    first_delta = kinds.index(AnswerDelta)
    assert all(kind is PrefillProgress for kind in kinds[1:first_delta])
    assert all(kind is AnswerDelta for kind in kinds[first_delta:-1])
    finished = last(events)
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert "".join(delta.text for delta in deltas) == finished.text
    assert "".join(delta.thought for delta in deltas) == (finished.thought or "")
    timings = finished.timings
    assert timings.prompt_tokens > 0 and 0 < timings.completion_tokens <= 30
    assert timings.prompt_tokens == timings.cached_tokens + timings.prefill_tokens
    assert finished.finish_reason in ("stop", "length")


def test_the_same_seed_says_the_same(engine: Engine) -> None:
    asked = request(max_tokens=24, values={"seed": 42, "temperature": 0.8})
    first, again = last(answer(engine, asked)), last(answer(engine, asked))
    assert (first.text, first.thought) == (again.text, again.thought)


def test_length_stop_strings_and_thinking_off(engine: Engine) -> None:
    values: Any = {"seed": 5, "thinking": False}
    whole = last(answer(engine, request(max_tokens=16, values=values)))
    assert whole.finish_reason == "length" and whole.timings.completion_tokens == 16 and not whole.thought
    middle = whole.text[len(whole.text) // 2 :][:3]
    cut = last(answer(engine, request(max_tokens=16, values=values, stop=(middle,))))
    assert cut.finish_reason == "stop" and whole.text.startswith(cut.text) and middle not in cut.text


def test_stopping_gives_what_there_is(engine: Engine) -> None:
    stop = StopFlag()
    asked = request("fake:tokens=3000 go on", values={"seed": 1, "thinking": False})
    text = ""
    started = 0.0
    for event in engine.generate(asked, stop=stop):
        if isinstance(event, AnswerDelta) and not stop.is_set():
            stop.set()
            started = time.monotonic()
        if isinstance(event, AnswerDelta):
            text += event.text
        if isinstance(event, AnswerFinished):
            assert event.finish_reason == "cancelled" and event.text == text and text
    assert time.monotonic() - started < 1.0
    assert last(answer(engine, request(max_tokens=4))).timings.completion_tokens == 4


def test_stopping_before_the_first_token(engine: Engine) -> None:
    stop = StopFlag()
    stop.set()
    assert last(answer(engine, request(max_tokens=50), stop)).finish_reason == "cancelled"


def test_walking_away_leaves_it_usable(engine: Engine) -> None:
    stream = engine.generate(request("fake:tokens=3000"), stop=StopFlag())
    for event in stream:
        if isinstance(event, AnswerDelta):
            break
    stream.close()  # type: ignore[attr-defined]
    assert last(answer(engine, request(max_tokens=4))).finish_reason == "length"


def test_stop_comes_from_any_thread(engine: Engine) -> None:
    stop = StopFlag()
    timer = threading.Timer(0.15, stop.set)
    timer.start()
    finished = last(answer(engine, request("fake:tokens=4000", values={"seed": 3}), stop))
    timer.join()
    assert finished.finish_reason in ("cancelled", "length")


def test_a_prompt_that_cannot_fit_is_refused_and_the_next_works(engine: Engine) -> None:
    with pytest.raises(BadRequest) as caught:
        answer(engine, request("far too many words " * 4000))
    assert caught.value.sentence.endswith(".") and caught.value.status == 400
    assert last(answer(engine, request(max_tokens=4))).timings.completion_tokens == 4


def test_counting(engine: Engine) -> None:
    short = engine.count([ChatTurn(role="user", content="one two three")])
    more = engine.count(
        [
            ChatTurn(role="system", content="Be kind."),
            ChatTurn(role="user", content="one two three four five six"),
        ]
    )
    assert 0 < short.total < more.total and more.system > 0 and short.context
    assert more.total >= more.system + more.history


def test_eject_and_a_refused_load_leave_nothing(case: Case) -> None:
    case.engine.load(case.plan, progress=lambda _: None, stop=StopFlag())
    case.engine.eject()
    case.engine.eject()
    assert case.engine.loaded is None
    with pytest.raises(NoModelLoaded):
        answer(case.engine, request())
    with pytest.raises(NoModelLoaded):
        case.engine.count([])
    with pytest.raises(PultError) as caught:
        case.engine.load(case.bad, progress=lambda _: None, stop=StopFlag())
    assert caught.value.sentence.endswith(".") and case.engine.loaded is None
    case.engine.load(case.plan, progress=lambda _: None, stop=StopFlag())
    assert last(answer(case.engine, request(max_tokens=3))).timings.completion_tokens == 3
