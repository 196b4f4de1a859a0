"""Experts per token for the next answer, from the desk and over HTTP down to the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.service.engine.base import StopFlag
from app.service.engine.fake import FakeEngine
from app.service.engine.supervisor import SupervisedEngine
from app.service.services import Services
from app.shared.engine import (
    AnswerFinished,
    ChatTurn,
    EngineState,
    EngineStatus,
    GenerateRequest,
    LoadedModel,
    LoadPlan,
)
from app.shared.errors import BadValue
from tests.models_for_tests import tiny_moe
from tests.service.doubles import headers, loaded, serving, small_services, wait_until


class Fixed(FakeEngine):
    """A model whose experts change by loading only."""

    def load(self, *arguments: object, **named: object) -> LoadedModel:
        model = super().load(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came
        self._loaded = model.model_copy(update={"experts_switch": "reload"})
        return self._loaded


@pytest.fixture
def services() -> Iterator[Services]:
    made = small_services()
    yield made
    made.answers.close()
    made.engine.close()


def answer(services: Services, text: str = "hi", **values: int) -> AnswerFinished:
    turns = (ChatTurn(role="user", content=text),)
    request = GenerateRequest(id="1", messages=turns, values=dict(values), max_tokens=24)
    last = list(services.engine.generate(request, stop=StopFlag()))[-1]
    assert isinstance(last, AnswerFinished)
    return last


def used(state: EngineState) -> int | None:
    assert state.model is not None
    return state.model.experts_used


def markers(services: Services) -> list[tuple[str, str]]:
    return services.telemetry.markers  # type: ignore[attr-defined, no-any-return]  # the double's


def test_the_next_answer_uses_them_and_says_so(services: Services) -> None:
    loaded(services)
    assert answer(services).experts_used == 8
    state = services.engine.set_values({"experts": 4})
    assert used(state) == 4 and state.model is not None and state.model.values["experts"] == 4
    assert markers(services) == [("load", "fake")]  # nothing has been computed with 4 yet
    assert answer(services).experts_used == 4
    assert answer(services).experts_used == 4
    assert answer(services, experts=6).experts_used == 6
    assert used(services.engine.state()) == 4
    assert used(services.engine.set_values({"experts": None})) == 8
    assert answer(services).experts_used == 8
    assert markers(services)[1:] == [("experts", "4"), ("experts", "6"), ("experts", "8")]


def test_the_models_bounds_hold_and_a_refusal_changes_nothing(services: Services) -> None:
    loaded(services)
    services.engine.set_values({"experts": 128})
    with pytest.raises(BadValue, match="Experts per token is 129"):
        services.engine.set_values({"experts": 129})
    with pytest.raises(BadValue, match="Experts per token is 0"):
        services.engine.set_values({"experts": 0})
    with pytest.raises(BadValue, match="Experts per token is 200"):
        answer(services, experts=200)
    assert used(services.engine.state()) == 128


def test_a_reload_keeps_the_choice_and_a_load_takes_the_plans(services: Services) -> None:
    loaded(services, experts=2)
    services.engine.set_values({"experts": 5})
    assert services.engine.reload().wait(10)
    assert used(services.engine.state()) == 5 and answer(services).experts_used == 5
    loaded(services, experts=2)
    assert used(services.engine.state()) == 2 and answer(services).experts_used == 2


def test_a_model_that_cannot_switch_says_reload() -> None:
    services = small_services(local=lambda: Fixed(3000, load_seconds=0))
    try:
        loaded(services, experts=3)
        with pytest.raises(BadValue, match="only when the model is loaded") as caught:
            services.engine.set_values({"experts": 4})
        assert "reload" in caught.value.remedies
        with pytest.raises(BadValue, match="only when fake is loaded"):
            answer(services, experts=4)
        assert answer(services, experts=3).experts_used == 3
    finally:
        services.answers.close()
        services.engine.close()


def test_over_http_in_a_chat_and_in_the_wire_format() -> None:
    with serving() as services, httpx.Client(base_url=services.address, headers=headers()) as client:
        loaded(services)
        told = client.post("/api/engine/values", json={"values": {"experts": 12}})
        assert told.status_code == 200 and told.json()["model"]["experts_used"] == 12
        refused = client.post("/api/engine/values", json={"values": {"experts": 129}})
        assert refused.status_code == 400 and "1 to 128" in refused.text
        chat = services.chats.create(title="a title")
        question = services.chats.add(chat.id, role="user", text="hi", parent_id=None)
        for values, expected in (({}, 12), ({"experts": 3}, 3)):
            message = services.answers.start(chat.id, parent_id=question.id, values=values)
            wait_until(lambda known=message.id: services.chats.message(known).state == "done")
            facts = services.chats.message(message.id).facts
            assert facts is not None and facts.experts_used == expected
        body = {"model": "pult", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
        wire = client.post("/v1/chat/completions", json={**body, "x_pult": {"values": {"experts": 9}}})
        assert wire.status_code == 200 and wire.json()["x_pult"]["experts_used"] == 9
        wrong = client.post("/v1/chat/completions", json={**body, "x_pult": {"values": {"experts": 900}}})
        assert wrong.status_code == 400 and "experts" in wrong.text.lower()


@pytest.mark.engine
def test_llama_in_its_own_process_switches_between_answers(tmp_path: Path) -> None:
    path = tiny_moe(tmp_path / "moe.gguf")
    services = small_services(local=SupervisedEngine)
    try:
        job = services.engine.load(
            LoadPlan(model_path=str(path), values={"context": 512, "threads": 1, "temperature": 0.0})
        )
        assert job.wait(60) and job.error is None, job.error
        model = services.engine.state().model
        assert model is not None and (model.experts_switch, model.experts_limit) == ("live", 8)
        pid = services.engine.pid
        first = answer(services)
        services.engine.set_values({"experts": 7})
        second = answer(services)
        services.engine.set_values({"experts": 2})
        third = answer(services)
        assert [one.experts_used for one in (first, second, third)] == [2, 7, 2]
        assert first.text == third.text != second.text
        assert services.engine.pid == pid and services.engine.state().status is EngineStatus.READY
        assert [label for kind, label in markers(services) if kind == "experts"] == ["7", "2"]
    finally:
        services.answers.close()
        services.engine.close()
