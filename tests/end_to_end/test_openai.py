"""The official `openai` client against Pult's /v1: chat, streaming, tools, schema, and every error with a sentence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from app.service.services import Services
from app.shared.engine import EngineStatus
from tests.end_to_end.running import serve
from tests.models_for_tests import tiny_moe
from tests.service.doubles import TOKEN, headers, loaded, serving, wait_until

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell it", "parameters": SCHEMA},
}
ASK: Any = [{"role": "user", "content": "How are you?"}]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with serving() as running:
        yield loaded(running)


@pytest.fixture
def client(services: Services) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{services.address}/v1", api_key=TOKEN, max_retries=0) as made:
        yield made


def test_models(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed] == ["fake"] and listed[0].owned_by == "pult"
    assert client.models.retrieve("fake").id == "fake"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "are you?"}],
            },
        ],
        temperature=0.7,
        top_p=0.9,
        seed=5,
        max_completion_tokens=60,
        extra_body={"top_k": 10, "min_p": 0.1, "repeat_penalty": 1.1},
    )
    choice = answer.choices[0]
    assert choice.message.content and choice.finish_reason == "stop"
    assert choice.message.reasoning_content.startswith("They ask")  # type: ignore[attr-defined]
    usage = answer.usage
    assert usage is not None and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details is not None and usage.completion_tokens_details.reasoning_tokens
    beside = answer.x_pult  # type: ignore[attr-defined]
    assert beside["seed"] == 5 and beside["tokens_per_second"] > 0 and beside["finish_reason"] == "stop"


def test_streaming_equals_the_whole(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="pult", messages=ASK, seed=9)
    stream = client.chat.completions.create(
        model="pult", messages=ASK, seed=9, stream=True, stream_options={"include_usage": True}
    )
    text, thought, reasons, usage = "", "", [], None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        usage = chunk.usage or usage
    assert text == whole.choices[0].message.content and reasons == ["stop"]
    assert thought == whole.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    assert usage is not None and usage.completion_tokens == whole.usage.completion_tokens  # type: ignore[union-attr]


def test_tools_there_and_back(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Weather in Bergen?"}]
    first = client.chat.completions.create(model="fake", messages=messages, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls" and first.message.tool_calls
    call: Any = first.message.tool_calls[0]
    assert call.function.name == "weather"
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    messages += [
        first.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Rain, 9 degrees"},
    ]
    second = client.chat.completions.create(model="fake", messages=messages, tools=[WEATHER]).choices[0]
    assert second.finish_reason == "stop" and second.message.content
    forced: Any = {"type": "function", "function": {"name": "weather"}}
    streamed = client.chat.completions.create(
        model="fake", messages=ASK, tools=[WEATHER], tool_choice=forced, stream=True
    )
    calls = [each for chunk in streamed for choice in chunk.choices for each in choice.delta.tool_calls or ()]
    assert [each.function.name for each in calls if each.function] == ["weather"] and calls[0].index == 0


def test_json_schema(client: openai.OpenAI) -> None:
    schema_format: Any = {
        "type": "json_schema",
        "json_schema": {"name": "w", "schema": SCHEMA, "strict": True},
    }
    answer = client.chat.completions.create(model="fake", messages=ASK, response_format=schema_format)
    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), SCHEMA)
    answer = client.chat.completions.create(
        model="fake", messages=ASK, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_stop_and_logprobs(client: openai.OpenAI) -> None:
    whole = (
        client.chat.completions.create(model="fake", messages=ASK, seed=2).choices[0].message.content or ""
    )
    word = " " + whole.split()[4]
    for stop in (word, [word, "never"]):
        cut = (
            client.chat.completions.create(model="fake", messages=ASK, seed=2, stop=stop)
            .choices[0]
            .message.content
        )
        assert cut and whole.startswith(cut) and word not in cut
    logs = (
        client.chat.completions.create(model="fake", messages=ASK, logprobs=True, top_logprobs=2)
        .choices[0]
        .logprobs
    )
    assert logs is not None and logs.content and len(logs.content[0].top_logprobs) == 2


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "gpt-4o is not loaded; fake is"),
        ({"n": 2}, openai.BadRequestError, "n is 2"),
        ({"temperature": "hot"}, openai.BadRequestError, "hot"),
        ({"top_p": 7}, openai.BadRequestError, "7"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens is 0"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, "wizard"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            openai.BadRequestError,
            "image_url",
        ),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, openai.BadRequestError, "yaml"),
        ({"logit_bias": {"5": 1}}, openai.BadRequestError, "logit_bias"),
        ({"top_logprobs": 3}, openai.BadRequestError, "logprobs"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "temprature"),
        ({"extra_body": {"context": 4096}}, openai.BadRequestError, "loaded"),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, openai.BadRequestError, "8,192"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    client: openai.OpenAI, body: dict[str, Any], error: type[openai.APIStatusError], words: str
) -> None:
    for stream in (False, True):
        with pytest.raises(error) as caught:
            client.chat.completions.create(**{"model": "fake", "messages": ASK, "stream": stream, **body})
        detail: Any = caught.value.body
        assert words in detail["message"] and detail["message"].endswith("."), detail
        assert detail["type"] in ("invalid_request_error", "not_found_error")


def test_a_wrong_key_is_401(services: Services) -> None:
    with (
        openai.OpenAI(base_url=f"{services.address}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.models.list()
    assert "token" in caught.value.message


def test_an_engine_that_fails_mid_way_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "fake:fail"}])
    assert caught.value.status_code == 502 and "asked to fail" in caught.value.message


def test_leaving_a_stream_stops_the_answer(services: Services) -> None:
    body = {"messages": [{"role": "user", "content": "fake:tokens=6000"}], "stream": True}
    with (
        httpx.Client(base_url=services.address, headers=headers()) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        for line in response.iter_lines():
            if '"content":"' in line and '"content":""' not in line:
                assert services.engine.state().status is EngineStatus.ANSWERING
                break
    started = time.monotonic()
    wait_until(lambda: services.engine.state().status is EngineStatus.READY)
    assert time.monotonic() - started < 1.0


def test_leaving_a_whole_answer_stops_it_too(services: Services) -> None:
    body = {"messages": [{"role": "user", "content": "fake:tokens=7000"}]}
    with (
        httpx.Client(base_url=services.address, headers=headers(), timeout=0.3) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post("/v1/chat/completions", json=body)
    wait_until(lambda: services.engine.state().status is EngineStatus.READY, 1.5)


def test_answers_queue_and_too_many_are_refused(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.service.engine_desk.WAITING_LIMIT", 3)
    statuses: list[int] = []

    def post() -> None:
        body = {"messages": [{"role": "user", "content": "fake:tokens=1600"}], "max_tokens": 1500}
        answer = httpx.post(
            f"{services.address}/v1/chat/completions", json=body, headers=headers(), timeout=10
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 429, 429]


@pytest.mark.engine
def test_the_same_client_against_a_real_model(tmp_path: Path) -> None:
    model = tiny_moe(tmp_path / "tiny.gguf", context=2048)
    with (
        serve(
            tmp_path / "data",
            "--model",
            str(model),
            "--set",
            "context=2048",
            "--set",
            "threads=1",
            "--set",
            "thinking=off",
        ) as real,
        openai.OpenAI(base_url=f"{real.address}/v1", api_key=real.token, max_retries=0) as client,
    ):
        wait_until(lambda: real.get("/api/state")["engine"]["status"] == "ready", 30)
        assert [each.id for each in client.models.list()] == ["tiny"]
        whole = client.chat.completions.create(model="tiny", messages=ASK, seed=4, max_tokens=24)
        usage = whole.usage
        assert (
            whole.choices[0].finish_reason == "length" and usage is not None and usage.completion_tokens == 24
        )
        pieces = client.chat.completions.create(
            model="tiny", messages=ASK, seed=4, max_tokens=24, stream=True
        )
        text = "".join(choice.delta.content or "" for chunk in pieces for choice in chunk.choices)
        assert text == whole.choices[0].message.content
        schema = {**SCHEMA, "properties": {"city": {"enum": ["Oslo", "Rome"]}, "degrees": {"enum": [1, 2]}}}
        shape: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
        shaped = client.chat.completions.create(
            model="tiny", messages=ASK, seed=1, max_tokens=200, response_format=shape
        )
        jsonschema.validate(json.loads(shaped.choices[0].message.content or ""), schema)
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": schema}}
        called = client.chat.completions.create(
            model="tiny", messages=ASK, seed=1, max_tokens=200, tools=[tool], tool_choice="required"
        ).choices[0]
        assert called.finish_reason == "tool_calls" and called.message.tool_calls
        call: Any = called.message.tool_calls[0]
        jsonschema.validate(json.loads(call.function.arguments), schema)
        logs = client.chat.completions.create(
            model="tiny", messages=ASK, seed=1, max_tokens=5, logprobs=True, top_logprobs=3
        ).choices[0]
        assert logs.logprobs is not None and logs.logprobs.content and len(logs.logprobs.content) == 5
        assert all(len(each.top_logprobs) == 3 and each.logprob <= 0 for each in logs.logprobs.content)
        with pytest.raises(openai.BadRequestError, match="2,048"):
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "long " * 3000}]
            )
