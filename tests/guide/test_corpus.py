"""The corpus itself: every setting explained in both languages, facts in place, nothing held out that was trained on."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from app.shared.settings_table import TABLE
from tools.guide.questions import asked, forms, held_out, off_topic
from tools.guide.topics import LANGUAGES, Language, Topic, topics, unknown

EVERYTHING = (*topics(), unknown())


def words(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", text.lower()))


def test_every_setting_of_the_table_has_a_topic_and_no_topic_explains_a_setting_that_is_gone() -> None:
    keys = set(TABLE)
    assert {topic.name for topic in topics() if topic.room == "settings"} == keys


def test_names_of_topics_are_used_once() -> None:
    assert [name for name, count in Counter(topic.name for topic in topics()).items() if count > 1] == []
    assert len(topics()) >= 120


@pytest.mark.parametrize("language", LANGUAGES)
def test_right_answers_hold_their_own_facts(language: Language) -> None:
    for topic in EVERYTHING:
        assert topic.right(topic.answer(language), language), topic.name
        assert topic.right(topic.answer(language, "teacher"), language), topic.name
        assert topic.right(topic.answer(language, "brief"), language, style="brief"), topic.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_facts_tell_topics_apart(language: Language) -> None:
    """An answer to another topic counts as right for almost none: else the score would flatter."""
    confused = [
        (topic.name, other.name)
        for topic in EVERYTHING
        for other in EVERYTHING
        if other is not topic and topic.right(other.answer(language), language)
    ]
    assert len(confused) <= 0.004 * len(EVERYTHING) ** 2, confused


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_are_short_and_the_manners_differ_as_promised(language: Language) -> None:
    plain = sorted(len(topic.answer(language)) for topic in topics())
    brief = sorted(len(topic.answer(language, "brief")) for topic in topics())
    teacher = sorted(len(topic.answer(language, "teacher")) for topic in topics())
    middle = len(plain) // 2
    assert plain[-1] <= 260
    assert brief[middle] <= 0.4 * plain[middle]
    assert teacher[middle] >= 1.5 * plain[middle]
    example = "For example" if language == "en" else "Например"
    assert all(example in topic.answer(language, "teacher") for topic in EVERYTHING)


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_stay_in_their_language(language: Language) -> None:
    for topic in EVERYTHING:
        cyrillic = len(re.findall(r"[а-яё]", topic.answer(language, "teacher"), re.IGNORECASE))
        assert (cyrillic > 40) if language == "ru" else (cyrillic == 0 or topic.name == "languages"), (
            topic.name
        )


def test_every_topic_can_be_asked_in_many_ways() -> None:
    rng = random.Random(1)
    for topic in topics():
        for language in LANGUAGES:
            assert len({words(asked(topic, language, rng)) for _ in range(60)}) >= 20, (topic.name, language)


def test_held_forms_are_never_trained_on() -> None:
    for language in LANGUAGES:
        for kind, table in forms()[language].items():
            if "held" in table:
                assert not set(table["held"]) & set(table["train"]), (language, kind)


def test_held_out_questions_never_turn_up_in_training() -> None:
    held = {words(question.text) for question in held_out() if question.kind in ("form", "hand")}
    rng = random.Random(2)
    met: list[str] = []
    for language in LANGUAGES:
        for topic in topics():
            met += [text for text in (words(asked(topic, language, rng)) for _ in range(120)) if text in held]
    assert met == []


def test_hand_written_questions_are_no_copies_of_trained_ones() -> None:
    def near(first: str, second: str) -> bool:
        one, two = set(words(first).split()), set(words(second).split())
        return len(one & two) / len(one | two) >= 0.75

    for topic in topics():
        for language in LANGUAGES:
            side = topic.sides[language]
            close = [
                (held, text) for held in side.held for text in (*side.ask, *side.say) if near(held, text)
            ]
            assert len([pair for pair in close if words(pair[0]) == words(pair[1])]) == 0, close


def test_questions_in_free_words_are_far_from_every_held_out_one() -> None:
    held = [set(words(question.text).split()) for question in held_out() if question.kind == "hand"]
    free = [text for topic in topics() for language in LANGUAGES for text in topic.sides[language].free]
    near = [
        text
        for text in free
        for other in held
        if len((own := set(words(text).split())) & other) / len(own | other) >= 0.5
    ]
    assert len(free) > 900
    assert near == []


def test_subjects_to_decline_differ_between_training_and_evaluation() -> None:
    rng = random.Random(3)
    held = {words(question.text) for question in held_out() if question.topic is None}
    trained = {words(off_topic(language, rng)) for language in LANGUAGES for _ in range(3000)}
    assert len(held) >= 190
    assert len(held & trained) <= 2  # "1234567" and the like can be made twice from nothing


def test_a_topic_without_its_fact_is_wrong() -> None:
    topic: Topic = next(topic for topic in topics() if topic.name == "kv_cache")
    assert not topic.right("The KV cache is a place.", "en")
    assert topic.right("It holds KEYS and values, nothing is read again.", "en")
