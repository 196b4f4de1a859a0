"""The supervisor with the real worker process around the fake engine: deaths, hangs, stops, and the next load."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from app.service.engine.base import StopFlag
from app.service.engine.supervisor import Patience, SupervisedEngine
from app.shared.engine import AnswerDelta, AnswerFinished, ChatTurn, GenerateRequest, LoadPlan, TokenEvent
from app.shared.errors import Cancelled, EngineDied, EngineHung, ModelUnreadable, NoModelLoaded, PultError
from tests.service.doubles import wait_until

SHORT = Patience(load=1.5, prefill=1.5, decode=1.5, stop=1.0)
Make = Callable[..., SupervisedEngine]


@pytest.fixture
def make() -> Iterator[Make]:
    engines: list[SupervisedEngine] = []

    def build(rate: int = 3000, **more: object) -> SupervisedEngine:
        engine = SupervisedEngine(f"fake:{rate}", patience=SHORT, **more)  # type: ignore[arg-type]
        engines.append(engine)
        return engine

    yield build
    for engine in engines:
        engine.close()


def load(engine: SupervisedEngine, name: str = "fake.gguf") -> None:
    engine.load(LoadPlan(model_path=name), progress=lambda _: None, stop=StopFlag())


def ask(engine: SupervisedEngine, text: str, stop: StopFlag | None = None) -> list[TokenEvent]:
    request = GenerateRequest(id="1", messages=(ChatTurn(role="user", content=text),))
    return list(engine.generate(request, stop=stop or StopFlag()))


def test_an_answer_crosses_the_pipe_and_a_dead_worker_is_replaced(make: Make) -> None:
    engine = make()
    fractions: list[float] = []
    model = engine.load(LoadPlan(model_path="x/fake.gguf"), progress=fractions.append, stop=StopFlag())
    assert model == engine.loaded and model.name == "fake"
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert isinstance(ask(engine, "hello")[-1], AnswerFinished)
    assert engine.count([ChatTurn(role="user", content="one two")]).total > 2
    first = engine.pid
    with pytest.raises(EngineDied) as caught:
        ask(engine, "fake:die")
    assert "fake" in caught.value.sentence and "ended" in caught.value.sentence
    assert engine.loaded is None and engine.pid is None
    with pytest.raises(NoModelLoaded):
        ask(engine, "hello")
    load(engine)
    assert engine.pid not in (None, first)
    assert isinstance(ask(engine, "hello")[-1], AnswerFinished)


def test_a_refused_load_keeps_the_worker(make: Make) -> None:
    engine = make()
    with pytest.raises(ModelUnreadable) as caught:
        load(engine, "refuse-this.gguf")
    assert caught.value.sentence.startswith("refuse-this is not a GGUF")
    pid = engine.pid
    load(engine)
    assert engine.pid == pid


def test_a_hung_worker_is_ended_with_a_sentence(make: Make) -> None:
    engine = make()
    load(engine)
    pid = engine.pid
    assert pid is not None
    started = time.monotonic()
    with pytest.raises(EngineHung) as caught:
        ask(engine, "fake:hang")
    assert 1.4 < time.monotonic() - started < 5
    assert "made no step" in caught.value.sentence and "fake" in caught.value.sentence
    wait_until(lambda: not psutil.pid_exists(pid))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_frozen_process_counts_as_hung(make: Make) -> None:
    engine = make(rate=20)
    load(engine)
    assert engine.pid is not None
    with pytest.raises(EngineHung):
        for event in engine.generate(
            GenerateRequest(id="1", messages=(ChatTurn(role="user", content="hi"),)), stop=StopFlag()
        ):
            if isinstance(event, AnswerDelta) and engine.pid is not None:
                os.kill(engine.pid, signal.SIGSTOP)


def test_stopping_an_answer_and_a_load(make: Make) -> None:
    engine = make(rate=30)
    load(engine)
    stop = StopFlag()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    finished = ask(engine, "fake:tokens=3000", stop)[-1]
    assert isinstance(finished, AnswerFinished) and finished.finish_reason == "cancelled"
    assert time.monotonic() - started < 1.0
    stop = StopFlag()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        engine.load(LoadPlan(model_path="slow.gguf"), progress=lambda _: None, stop=stop)
    load(engine)
    assert engine.loaded is not None


def test_walking_away_from_an_answer_leaves_the_engine_usable(make: Make) -> None:
    engine = make(rate=100)
    load(engine)
    request = GenerateRequest(id="1", messages=(ChatTurn(role="user", content="fake:tokens=5000"),))
    for event in engine.generate(request, stop=StopFlag()):
        if isinstance(event, AnswerDelta):
            break
    assert isinstance(ask(engine, "hello")[-1], AnswerFinished)


def test_a_death_while_idle_is_told(make: Make) -> None:
    told: list[PultError] = []
    engine = make(died=told.append)
    load(engine)
    assert engine.pid is not None
    psutil.Process(engine.pid).kill()
    wait_until(lambda: told)
    assert isinstance(told[0], EngineDied) and "holding fake" in told[0].sentence
    assert engine.loaded is None


def test_a_worker_that_cannot_start_says_why(make: Make) -> None:
    engine = SupervisedEngine("steam", patience=SHORT)
    with pytest.raises(EngineDied) as caught:
        load(engine)
    assert "fake" in caught.value.sentence
    assert "There is no engine named steam" in caught.value.details
    engine.close()


def test_eject_ends_the_process_and_closing_twice_is_fine(make: Make) -> None:
    engine = make()
    load(engine)
    pid = engine.pid
    assert pid is not None
    engine.eject()
    assert engine.pid is None and not psutil.pid_exists(pid)
    engine.close()
    engine.close()
