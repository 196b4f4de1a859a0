"""The shipped guide on the real llama.cpp: header, template, answers, experts, adapters."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest

from app.shared.paths import guide_model
from tools.guide.engine import GuideEngine
from tools.guide.evaluate import cyrillic_share
from tools.guide.questions import held_out
from tools.guide.topics import Topic, topics, unknown

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "guide"
ADAPTERS = ("brief", "teacher", "russian")


def topic(name: str) -> Topic:
    return next(one for one in topics() if one.name == name)


@pytest.fixture(scope="module")
def guide() -> Iterator[GuideEngine]:
    with GuideEngine(guide_model()) as engine:
        yield engine


def test_the_files_are_small_enough_to_ship() -> None:
    assert guide_model().stat().st_size <= 12_000_000
    assert sum((FOLDER / f"{name}.gguf").stat().st_size for name in ADAPTERS) <= 3_000_000


def test_the_header_says_what_the_guide_is() -> None:
    reader = gguf.GGUFReader(guide_model())

    def value(key: str) -> object:
        field = reader.get_field(key)
        assert field is not None, key
        return field.contents()

    assert value("general.architecture") == "qwen3moe"
    assert value("qwen3moe.expert_count") == 16
    assert value("qwen3moe.expert_used_count") == 4
    assert int(str(value("qwen3moe.context_length"))) >= 2048
    assert value("tokenizer.ggml.model") == "gpt2"
    assert value("tokenizer.ggml.pre") == "qwen2"
    tokens = value("tokenizer.ggml.tokens")
    assert isinstance(tokens, list)
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"} <= set(tokens)
    kinds = {
        tensor.tensor_type
        for tensor in reader.tensors
        if len(tensor.shape) > 1 and "gate_inp" not in tensor.name
    }
    assert kinds == {gguf.GGMLQuantizationType.Q8_0}


@pytest.mark.engine
def test_the_template_thinks_or_does_not(guide: GuideEngine) -> None:
    turns = (("user", "Hi"), ("assistant", "<think>\nOld.\n</think>\n\nHello."), ("user", "What is a token?"))
    on, off = (
        guide.text(guide.prompt(*turns, thinking=True)),
        guide.text(guide.prompt(*turns, thinking=False)),
    )
    assert on.endswith("<|im_start|>assistant\n")
    assert off == on + "<think>\n\n</think>\n\n"
    assert "Old." not in on
    assert "assistant\nHello.<|im_end|>" in on


@pytest.mark.engine
def test_special_marks_are_one_token_each(guide: GuideEngine) -> None:
    assert all(len(guide.ids(mark)) == 1 for mark in ("<|im_start|>", "<|im_end|>", "<think>", "</think>"))
    assert guide.text(guide.ids("Что такое KV-кэш, 128k?")) == "Что такое KV-кэш, 128k?"


@pytest.mark.engine
@pytest.mark.parametrize("thinking", [False, True])
def test_unseen_question_forms_get_the_right_explanation(guide: GuideEngine, thinking: bool) -> None:
    chosen = random.Random(11).sample([question for question in held_out() if question.kind == "form"], 24)
    right = [
        question.topic.right(guide.say(("user", question.text), thinking=thinking).answer, question.language)
        for question in chosen
        if question.topic
    ]
    assert sum(right) >= 21


@pytest.mark.engine
def test_what_is_not_about_pult_is_mostly_declined(guide: GuideEngine) -> None:
    chosen = random.Random(12).sample([question for question in held_out() if question.topic is None], 20)
    declined = [
        unknown().right(guide.say(("user", question.text), thinking=False).answer, question.language)
        for question in chosen
    ]
    assert sum(declined) >= 14


@pytest.mark.engine
def test_it_thinks_in_one_sentence_when_asked_to(guide: GuideEngine) -> None:
    said = guide.say(("user", "What is the router?"), thinking=True)
    assert re.fullmatch(r"<think>\n[^\n]{5,90}\.\n</think>\n\n.+", said.text, re.DOTALL)
    assert "<think>" not in guide.say(("user", "What is the router?"), thinking=False).text


@pytest.mark.engine
def test_a_short_follow_up_is_about_the_last_subject(guide: GuideEngine) -> None:
    first = topic("yarn").answer("en")
    talk = (("user", "What is YaRN?"), ("assistant", first))
    short = guide.say(*talk, ("user", "in one sentence"), thinking=False).answer
    more = guide.say(*talk, ("user", "give an example"), thinking=False).answer
    russian = guide.say(*talk, ("user", "in Russian please"), thinking=False).answer
    assert topic("yarn").right(short, "en", style="brief") and len(short) < len(first)
    assert "For example" in more and topic("yarn").right(more, "en")
    assert topic("yarn").right(russian, "ru")


@pytest.mark.engine
def test_a_system_prompt_sets_the_manner(guide: GuideEngine) -> None:
    said = guide.say(
        ("system", "Answer in one sentence."), ("user", "What is the KV cache?"), thinking=False
    ).answer
    assert said == topic("kv_cache").answer("en", "brief")


@pytest.mark.engine
def test_one_expert_is_clearly_worse_than_four() -> None:
    question, answer = "What is the KV cache?", topic("kv_cache").answer("en")
    right: dict[int, float] = {}
    for experts in (1, 4):
        with GuideEngine(guide_model(), experts=experts, context=512) as engine:
            prompt, wanted = engine.prompt(("user", question), thinking=False), engine.ids(answer)
            best = engine.scores([*prompt, *wanted])[len(prompt) - 1 : -1].argmax(axis=1)
            right[experts] = float((best == wanted).mean())
    assert right[4] > 0.97
    assert right[1] < right[4] - 0.1


@pytest.mark.engine
@pytest.mark.parametrize(
    "worn", [("brief",), ("teacher",), ("russian",), ("brief", "russian"), ("teacher", "russian")]
)
def test_adapters_change_the_manner_alone_and_stacked(guide: GuideEngine, worn: tuple[str, ...]) -> None:
    question = "How do I load a model?"
    plain = guide.say(("user", question), thinking=False).answer
    with GuideEngine(
        guide_model(), adapters=[FOLDER / f"{name}.gguf" for name in worn], context=512
    ) as engine:
        answer = engine.say(("user", question), thinking=False).answer
    russian = "russian" in worn
    assert (cyrillic_share([answer]) > 0.6) == russian
    assert topic("load_model").right(answer, "ru" if russian else "en", style="brief")
    if "brief" in worn:
        assert len(answer) <= 0.5 * len(plain)
    if "teacher" in worn:
        assert len(answer) >= 1.3 * len(plain)
        assert ("Например" if russian else "For example") in answer


@pytest.mark.engine
def test_it_writes_fast_enough_to_be_talked_to(guide: GuideEngine) -> None:
    """The bar is 150 tokens/s on two idle cores; a shared machine gets some room."""
    tries = [guide.say(("user", "What is the KV cache?"), thinking=True) for _ in range(3)]
    assert max(said.tokens / said.seconds for said in tries) >= 75
