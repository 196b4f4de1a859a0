"""Templates, thoughts, tool calls and stop strings, cut at every possible place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.service.engine.chat_format import ChatTemplate, StopStrings, ThoughtSplitter, ToolCallParser
from app.shared.engine import ChatTurn, ToolCall
from app.shared.errors import BadRequest
from tests.models_for_tests import CHATML_THINKING, PROMPT_OPENS_THOUGHT

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "hourly": {"type": "boolean"},
            },
        },
    },
}
HELLO = (ChatTurn(role="system", content="Be brief."), ChatTurn(role="user", content="Hello"))

marked = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think>", "\n", "\n\n", " ", "a", "Привет", "b<c"]),
    max_size=12,
).map("".join)


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


def split(text: str, cuts: Iterable[int] = (), *, inside: bool = False) -> tuple[str, str]:
    splitter = ThoughtSplitter(inside=inside)
    parts = [splitter.feed(piece) for piece in pieces(text, cuts)] + [splitter.finish()]
    return "".join(part.text for part in parts), "".join(part.thought for part in parts)


@pytest.mark.parametrize(
    ("written", "inside", "text", "thought"),
    [
        ("Hello", False, "Hello", ""),
        ("<think>\nhm\n</think>\n\nHello", False, "Hello", "hm"),
        ("\n <think>hm</think>Hello", False, "Hello", "hm"),
        ("hm\nhm</think>\n\nHello", True, "Hello", "hm\nhm"),
        ("never closed ", True, "", "never closed"),
        ("<think>\n\n</think>\n\nHello", False, "Hello", ""),
        ("Say <think> aloud</think>", False, "Say <think> aloud</think>", ""),
        ("<think>a</think>b<think>c</think>", False, "b<think>c</think>", "a"),
        ("<thin", False, "<thin", ""),
        ("<think>a</thi", False, "", "a</thi"),
        ("  ", False, "  ", ""),
    ],
)
def test_thought_and_answer_are_told_apart(written: str, inside: bool, text: str, thought: str) -> None:
    assert split(written, inside=inside) == (text, thought)
    assert split(written, range(len(written)), inside=inside) == (text, thought)


@settings(max_examples=300, deadline=None)
@given(marked, st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_the_split_does_not_depend_on_the_cuts(text: str, cuts: list[int], inside: bool) -> None:
    assert split(text, cuts, inside=inside) == split(text, inside=inside)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab <\n", max_size=30), st.text(alphabet="ab\n ", min_size=1, max_size=30))
def test_nothing_that_was_written_is_lost(thought: str, answer: str) -> None:
    text, found = split(f"<think>\n{thought}\n</think>\n\n{answer}")
    assert text == answer.lstrip("\r\n")
    assert found == thought.strip()


def called(text: str, cuts: Iterable[int] = ()) -> tuple[str, list[ToolCall]]:
    parser = ToolCallParser([WEATHER])
    shown = "".join([parser.feed(piece) for piece in pieces(text, cuts)])
    return shown + parser.finish(), parser.calls


HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "Киев", "days": 2}}\n</tool_call>'
CODER = (
    "<tool_call>\n<function=weather>\n<parameter=city>\nKyiv\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
    "<parameter=hourly>\nTrue\n</parameter>\n</function>\n</tool_call>"
)


def test_hermes_calls_are_read_and_hidden() -> None:
    text, calls = called(f"One moment.\n{HERMES}\n{HERMES}\n")
    assert text == "One moment."
    assert [call.name for call in calls] == ["weather", "weather"]
    assert json.loads(calls[0].arguments) == {"city": "Киев", "days": 2}
    assert calls[0].id != calls[1].id


def test_coder_calls_get_their_types_from_the_schema() -> None:
    text, calls = called(CODER)
    assert text == ""
    assert json.loads(calls[0].arguments) == {"city": "Kyiv", "days": 2, "hourly": True}


def test_a_call_without_its_end_is_still_a_call_and_a_broken_one_stays_text() -> None:
    assert len(called(HERMES.removesuffix("</tool_call>"))[1]) == 1
    broken = "<tool_call>\n{not json}\n</tool_call>"
    assert called(f"Look: {broken}") == (f"Look: {broken}", [])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        [HERMES, CODER, f"before\n{HERMES}\nafter", "a < b, <tool", "<tool_call>x", f"{HERMES}{CODER}"]
    ),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_calls_do_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    shown, calls = called(text, cuts)
    whole, all_calls = called(text)
    assert shown == whole
    assert [(call.name, call.arguments) for call in calls] == [
        (call.name, call.arguments) for call in all_calls
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abc", max_size=30), st.lists(st.integers(0, 60), max_size=8))
def test_stop_strings_are_found_across_cuts(text: str, cuts: list[int]) -> None:
    stops = StopStrings(["abc", "cc"])
    shown = "".join(stops.feed(piece) for piece in pieces(text, cuts)) + stops.finish()
    places = [place for place in (text.find("abc"), text.find("cc")) if place >= 0]
    # Cut after cut, the stop that is complete first wins; the one that begins first may then lie inside it.
    assert stops.hit == bool(places)
    assert text.startswith(shown)
    if not places:
        assert shown == text
    else:
        assert "abc" not in shown and "cc" not in shown


def test_the_template_gets_thinking_tools_and_calls() -> None:
    template = ChatTemplate(CHATML_THINKING)
    assert template.can_think and template.takes_tools
    on, off = template.render(HELLO, thinking=True), template.render(HELLO, thinking=False)
    assert on.text.endswith("<|im_start|>assistant\n") and not on.inside_thought
    assert off.text.endswith("<think>\n\n</think>\n\n") and not off.inside_thought
    assert on.text[: on.stable_length].endswith("Hello<|im_end|>\n")
    call = ToolCall(id="1", name="weather", arguments='{"city": "Kyiv"}')
    turns = (*HELLO, ChatTurn(role="assistant", tool_calls=(call,)), ChatTurn(role="tool", content="sunny"))
    text = template.render(turns, tools=[WEATHER]).text
    assert '"name": "weather", "arguments": {"city": "Kyiv"}' in text
    assert "<tool_response>\nsunny" in text
    assert '"hourly"' in text


def test_a_prompt_that_opens_the_thought_is_noticed_and_can_be_closed() -> None:
    template = ChatTemplate(PROMPT_OPENS_THOUGHT)
    assert template.render(HELLO).inside_thought
    always = ChatTemplate("{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}")
    assert always.render(HELLO).inside_thought
    closed = always.render(HELLO, thinking=False)
    assert closed.text.endswith("<think>\n\n</think>\n\n") and not closed.inside_thought


def test_a_forced_thought_is_opened_once() -> None:
    assert (
        ChatTemplate(CHATML_THINKING).render(HELLO, force_thought=True).text.endswith("assistant\n<think>\n")
    )
    opened = ChatTemplate(PROMPT_OPENS_THOUGHT).render(HELLO, force_thought=True)
    assert opened.text.count("<think>") == 1


@pytest.mark.parametrize(
    ("last", "ending", "inside"),
    [
        (ChatTurn(role="assistant", content="It is"), "assistant\nIt is", False),
        (ChatTurn(role="assistant", content="It", thought="hm"), "<think>\nhm\n</think>\n\nIt", False),
        (ChatTurn(role="assistant", thought="hm, per"), "<think>\nhm, per", True),
    ],
)
def test_the_last_answer_can_be_continued(last: ChatTurn, ending: str, inside: bool) -> None:
    prompt = ChatTemplate(CHATML_THINKING).render((*HELLO, last), continue_last=True)
    assert prompt.text.endswith(ending)
    assert prompt.inside_thought is inside
    opens = ChatTemplate(PROMPT_OPENS_THOUGHT).render((*HELLO, last), continue_last=True)
    assert opens.text.count("<think>") == 1
    assert opens.inside_thought is inside


def test_no_template_means_chatml() -> None:
    template = ChatTemplate(None)
    assert not template.own and not template.can_think
    assert template.render(HELLO).text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_can_refuse_and_cannot_do_harm() -> None:
    with pytest.raises(BadRequest, match="no system here"):
        ChatTemplate("{{ raise_exception('no system here') }}").render(HELLO)
    with pytest.raises(BadRequest, match="cannot be read"):
        ChatTemplate("{% for %}")
    with pytest.raises(BadRequest):
        ChatTemplate("{{ ''.__class__.__mro__[1].__subclasses__() }}").render(HELLO)
    with pytest.raises(BadRequest, match="does not take tools"):
        ChatTemplate(None).render(HELLO, tools=[WEATHER])
    with pytest.raises(BadRequest, match="Only an assistant"):
        ChatTemplate(None).render(HELLO, continue_last=True)


def test_helpers_that_real_templates_call() -> None:
    source = "{{ strftime_now('%Y') }} {{ tools[0] | tojson }} {% for m in messages %}{% if loop.index > 1 %}{% break %}"
    text = (
        ChatTemplate(source + "{% endif %}{{ m.content }}{% endfor %}")
        .render(HELLO, tools=[{"имя": "<b>"}])
        .text
    )
    assert text[:2] == "20" and '{"имя": "<b>"}' in text and text.endswith("Be brief.")
