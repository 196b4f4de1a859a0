"""The desk: who may have the engine when, and what everyone is told meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from app.service.engine.base import StopFlag
from app.service.engine.fake import FakeEngine
from app.service.services import Services
from app.shared.engine import AnswerDelta, AnswerFinished, ChatTurn, EngineStatus, GenerateRequest, LoadPlan
from app.shared.errors import BadValue, Busy, Cancelled, EngineDied, ModelUnreadable, NoModelLoaded
from app.shared.events import EngineChanged
from tests.service.doubles import loaded, small_services, wait_until


@pytest.fixture
def services() -> Iterator[Services]:
    made = small_services()
    yield made
    made.answers.close()
    made.engine.close()


def request(text: str = "hi", **more: object) -> GenerateRequest:
    return GenerateRequest(id="1", messages=(ChatTurn(role="user", content=text),), **more)  # type: ignore[arg-type]


def test_a_load_goes_through_its_states(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[tuple[EngineStatus, float | None]] = []
    monkeypatch.setattr(
        services.engine,
        "_publish",
        lambda event: (
            states.append((event.engine.status, event.engine.progress))
            if isinstance(event, EngineChanged)
            else None
        ),
    )
    loaded(services, "some/model.gguf", experts=4)
    state = services.engine.state()
    assert state.status is EngineStatus.READY and state.model is not None
    assert state.model.name == "model" and state.model.experts_used == 4
    progress = [
        fraction for status, fraction in states if status is EngineStatus.LOADING and fraction is not None
    ]
    assert progress == sorted(progress) and progress[-1] == 1.0 and states[-1][0] is EngineStatus.READY
    services.engine.eject()
    assert services.engine.state().status is EngineStatus.EMPTY
    with pytest.raises(NoModelLoaded):
        list(services.engine.generate(request(), stop=StopFlag()))
    reloaded = services.engine.reload()
    assert reloaded.wait(5) and services.engine.state().status is EngineStatus.READY
    assert services.telemetry.markers == [("load", "model"), ("eject", "model"), ("load", "model")]  # type: ignore[attr-defined]


def test_a_failed_load_says_why_and_another_one_works(services: Services) -> None:
    job = services.engine.load(LoadPlan(model_path="refuse.gguf"))
    assert job.wait(5) and isinstance(job.error, ModelUnreadable)
    state = services.engine.state()
    assert (
        state.status is EngineStatus.FAILED and state.error is not None and "refuse" in state.error.sentence
    )
    with pytest.raises(NoModelLoaded, match="refuse is not a GGUF"):
        services.engine.ready_model()
    loaded(services)


def test_a_new_load_cancels_the_one_under_way(services: Services) -> None:
    slow = services.engine.load(LoadPlan(model_path="slow.gguf"))
    wait_until(lambda: (services.engine.state().progress or 0) > 0)
    with pytest.raises(Busy):
        services.engine.count([ChatTurn(role="user", content="x")])
    started = time.monotonic()
    loaded(services, "other.gguf")
    assert time.monotonic() - started < 1.5
    assert slow.wait(1) and isinstance(slow.error, Cancelled)
    model = services.engine.state().model
    assert model is not None and model.name == "other"


def test_cancelling_a_load_leaves_nothing(services: Services) -> None:
    slow = services.engine.load(LoadPlan(model_path="slow.gguf"))
    wait_until(lambda: (services.engine.state().progress or 0) > 0)
    services.engine.cancel()
    assert slow.wait(2) and isinstance(slow.error, Cancelled)
    assert services.engine.state().status is EngineStatus.EMPTY and services.engine.state().error is None


def test_loading_stops_answers_and_answers_take_turns(services: Services) -> None:
    loaded(services)
    running = threading.Semaphore(1)
    ends: list[str] = []

    def answer(stop: StopFlag) -> None:
        for event in services.engine.generate(request("fake:tokens=900"), stop=stop):
            if isinstance(event, AnswerDelta):
                assert running.acquire(blocking=False), "two answers at once"
                running.release()
            if isinstance(event, AnswerFinished):
                ends.append(event.finish_reason)

    threads = [threading.Thread(target=answer, args=(StopFlag(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert ends == ["stop"] * 3
    long = threading.Thread(
        target=lambda: list(services.engine.generate(request("fake:tokens=90000"), stop=StopFlag()))
    )
    long.start()
    wait_until(lambda: services.engine.state().status is EngineStatus.ANSWERING)
    assert services.engine.sample().model == "fake"
    loaded(services, "next.gguf")
    long.join(3)
    assert not long.is_alive() and services.engine.state().status is EngineStatus.READY


def test_values_for_the_next_answers(services: Services) -> None:
    loaded(services)
    state = services.engine.set_values({"seed": 11, "temperature": 0.2})
    assert state.model is not None and state.model.values["seed"] == 11
    texts = [list(services.engine.generate(request(), stop=StopFlag()))[-1] for _ in range(2)]
    assert isinstance(texts[0], AnswerFinished) and isinstance(texts[1], AnswerFinished)
    assert texts[0].text == texts[1].text and texts[0].seed == 11
    own = list(services.engine.generate(request(values={"seed": 12}), stop=StopFlag()))[-1]
    assert isinstance(own, AnswerFinished) and own.seed == 12
    back = services.engine.set_values({"seed": None})
    assert (
        back.model is not None and "seed" not in back.model.values and back.model.values["temperature"] == 0.2
    )
    with pytest.raises(BadValue, match="loaded"):
        services.engine.set_values({"context": 4096})
    with pytest.raises(BadValue):
        services.engine.set_values({"temperature": "warm"})


def test_a_dead_worker_is_a_failed_state(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mortal(FakeEngine):
        def count(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise EngineDied("The engine died holding {model}: load it again.", model="m")

    services = small_services(local=lambda: Mortal(3000, load_seconds=0))
    loaded(services)
    with pytest.raises(EngineDied):
        services.engine.count([])
    assert services.engine.state().status is EngineStatus.FAILED
    loaded(services)
    services.engine.engine_died(EngineDied("It died holding {model}.", model="m"))
    state = services.engine.state()
    assert (
        state.status is EngineStatus.FAILED
        and state.error is not None
        and state.error.remedies == ("reload", "log")
    )
    services.engine.close()


def test_an_answer_between_two_ticks_is_told_by_its_own_speed(services: Services) -> None:
    loaded(services)
    desk = services.engine
    assert desk.sample().decode_tokens_per_second is None
    finished = list(desk.generate(request("fake:tokens=40"), stop=StopFlag()))[-1]
    assert isinstance(finished, AnswerFinished) and finished.timings.tokens_per_second is not None
    assert desk.sample().decode_tokens_per_second == finished.timings.tokens_per_second
    assert desk.sample().decode_tokens_per_second is None
