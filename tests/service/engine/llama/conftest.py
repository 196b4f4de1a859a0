"""Engines on tiny models; each model is written once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.service.engine.base import StopFlag
from app.service.engine.llama.engine import LlamaEngine
from app.shared.engine import AnswerFinished, ChatTurn, GenerateRequest, LoadedModel, LoadPlan, SettingValue
from tests import models_for_tests as models

SMALL: dict[str, SettingValue] = {"context": 512, "threads": 1, "batch_threads": 1}


class Loaded:
    """An engine under test and short words for what tests do with it."""

    def __init__(self, engine: LlamaEngine, log: list[str]) -> None:
        self.engine = engine
        self.log = log

    def load(self, path: Path, **values: SettingValue) -> LoadedModel:
        plan = LoadPlan(model_path=str(path), values={**SMALL, **values})
        return self.engine.load(plan, progress=lambda fraction: None, stop=StopFlag())

    def events(self, *said: str, flag: StopFlag | None = None, **fields: Any) -> list[Any]:
        """Ask with user and assistant turns in turn."""
        roles = ("user", "assistant")
        turns = tuple(ChatTurn(role=roles[index % 2], content=text) for index, text in enumerate(said))  # type: ignore[arg-type]  # one of two literals
        fields = {"messages": turns, "max_tokens": 24, **fields}
        request = GenerateRequest(id="request", **fields)
        return list(self.engine.generate(request, stop=flag or StopFlag()))

    def answer(self, *said: str, **fields: Any) -> AnswerFinished:
        """Return the last event."""
        last = self.events(*said, **fields)[-1]
        assert isinstance(last, AnswerFinished)
        return last


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "moe": models.tiny_moe(folder / "moe.gguf"),
        "dense": models.tiny_dense(folder / "dense.gguf"),
        "hybrid": models.tiny_hybrid(folder / "hybrid.gguf"),
        "ends": models.tiny_moe(folder / "ends.gguf", ends=True),
        "plain": models.tiny_dense(folder / "plain.gguf", template=False),
        "opens": models.tiny_dense(folder / "opens.gguf", template=models.PROMPT_OPENS_THOUGHT),
        "long": models.tiny_dense(folder / "long.gguf", context=65536),
    }


@pytest.fixture
def new_engine() -> Iterator[Callable[..., Loaded]]:
    made: list[LlamaEngine] = []

    def make(**options: Any) -> Loaded:
        log: list[str] = []
        made.append(LlamaEngine(lambda level, source, text: log.append(text), **options))
        return Loaded(made[-1], log)

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def loaded(new_engine: Callable[..., Loaded]) -> Loaded:
    return new_engine()
