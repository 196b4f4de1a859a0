"""OpenAI's wire format, read and written: the request as Pult's own, the answer as chunks or whole.

What cannot be honoured is refused by name instead of being dropped. Sampling words beyond OpenAI's (`top_k`, `min_p`, any
sample-stage setting) stand beside them, as llama-server and vLLM have it; Pult's measurements ride under `x_pult`.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.shared.engine import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    ResponseFormat,
    SettingValue,
    Timings,
    TokenLogprob,
    ToolCall,
)
from app.shared.errors import BadRequest, NotFound
from app.shared.settings import Stage, check_values, find
from app.shared.units import Value

# OpenAI's fields that say nothing a local engine could act on; taken and left alone.
IDLE_FIELDS = frozenset(
    {
        "user",
        "store",
        "metadata",
        "service_tier",
        "parallel_tool_calls",
        "safety_identifier",
        "prompt_cache_key",
        "verbosity",
    }
)
REFUSED_FIELDS = frozenset(
    {"functions", "function_call", "modalities", "audio", "prediction", "web_search_options"}
)


class WireError(BadRequest):
    """A field of the request cannot be honoured; `param` names it, as in OpenAI's errors."""

    def __init__(self, template: str, /, *, param: str, details: str = "", **values: Value) -> None:
        self.param = param
        super().__init__(template, remedies=None, details=details, **values)


class ModelNotFound(NotFound):
    """The request names a model that is not loaded."""

    kind = "model_not_found"
    param = "model"


class Part(BaseModel):
    type: str
    text: str = ""


class WireFunctionCall(BaseModel):
    name: str
    arguments: str = "{}"


class WireToolCall(BaseModel):
    id: str = ""
    type: Literal["function"] = "function"
    function: WireFunctionCall


class WireMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[WireToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class WireFormat(BaseModel):
    type: str = "text"
    json_schema: JsonObject | None = None


class Beside(BaseModel):
    """Pult's own part of a request."""

    model_config = ConfigDict(extra="forbid")

    values: dict[str, SettingValue] = {}
    continue_last: bool = False
    thinking_counts: bool = True


class TemplateWords(BaseModel):
    enable_thinking: bool | None = None


class ChatCompletionRequest(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    messages: Annotated[list[WireMessage], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: WireFormat | None = None
    tools: list[JsonObject] | None = None
    tool_choice: str | JsonObject | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: TemplateWords | None = None
    x_pult: Beside = Beside()

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_model(self, loaded: LoadedModel) -> None:
        """Raise `ModelNotFound` unless the request means the model that is loaded."""
        if self.model not in ("", "pult", "default", loaded.id, loaded.name):
            raise ModelNotFound(
                "The model {model} is not loaded; {loaded} is. Name that one, or load the other first.",
                model=self.model[:200],
                loaded=loaded.id,
            )

    def to_request(self) -> GenerateRequest:
        """Return the engine's request. Raises `BadRequest` or `BadValue` for what cannot be honoured."""
        if self.n not in (None, 1):
            raise WireError(
                "The field n is {n}. One answer is written at a time, so it takes 1.", param="n", n=self.n
            )
        if self.logit_bias:
            raise WireError("The field logit_bias is not supported. Leave it out.", param="logit_bias")
        limit = self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
        if limit is not None and limit < 1:
            raise WireError(
                "The field max_tokens is {limit}. It takes 1 or more.", param="max_tokens", limit=limit
            )
        return GenerateRequest(
            id=uuid.uuid4().hex,
            messages=tuple(_turn(message, place) for place, message in enumerate(self.messages)),
            values=self._values(),
            max_tokens=limit,
            thinking_counts=self.x_pult.thinking_counts,
            stop=self._stops(),
            tools=self._tools(),
            tool_choice=self._tool_choice(),
            response_format=self._format(),
            continue_last=self.x_pult.continue_last,
            logprobs=self._logprobs(),
        )

    def _values(self) -> dict[str, SettingValue]:
        values: dict[str, object] = dict(self.x_pult.values)
        for name, value in (self.model_extra or {}).items():
            if name in IDLE_FIELDS or value is None:
                continue
            if name in REFUSED_FIELDS:
                raise WireError("The field {name} is not supported. Leave it out.", param=name, name=name)
            knob = _knob(name)
            if knob is None:
                raise WireError(
                    "There is no field {name}. Leave it out, or see docs/settings.md for the names.",
                    param=name,
                    name=name,
                )
            values[knob] = value
        if self.chat_template_kwargs is not None and self.chat_template_kwargs.enable_thinking is not None:
            values["thinking"] = self.chat_template_kwargs.enable_thinking
        if self.reasoning_effort is not None:
            values["thinking"] = self.reasoning_effort != "none"
        checked = check_values(values)
        for key in checked:
            found = find(key)
            if found is not None and found.stage is not Stage.SAMPLE and key != "experts":  # the desk knows
                raise WireError(
                    "{label} acts only when the model is loaded, so a request cannot set it. Load the model with it.",
                    param=key,
                    label=found.label,
                )
        return checked

    def _stops(self) -> tuple[str, ...]:
        stops = [self.stop] if isinstance(self.stop, str) else list(self.stop or ())
        if len(stops) > 16:
            raise WireError(
                "The field stop has {count} strings. It takes up to 16.", param="stop", count=len(stops)
            )
        return tuple(stop for stop in stops if stop)

    def _tools(self) -> tuple[JsonObject, ...]:
        for place, tool in enumerate(self.tools or ()):
            function = tool.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            if tool.get("type") != "function" or not isinstance(name, str) or not name:
                raise WireError(
                    "The tool at place {place} is not a function with a name. Declare it as OpenAI's tools are.",
                    param="tools",
                    place=place,
                )
        return tuple(self.tools or ())

    def _tool_choice(self) -> str | None:
        choice = self.tool_choice
        if choice is None or choice in ("auto", "none"):
            return choice if isinstance(choice, str) else None
        names = [tool["function"]["name"] for tool in self._tools()]
        if choice == "required" and names:
            return "required"
        function = choice.get("function") if isinstance(choice, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str) and name in names:
            return name
        raise WireError(
            "The field tool_choice is {choice}, and the tools are {names}. Choose auto, none, required or one of these.",
            param="tool_choice",
            choice=str(name or choice)[:120],
            names=", ".join(names) or "none",
        )

    def _format(self) -> ResponseFormat:
        given = self.response_format
        match given.type if given is not None else "text":
            case "text":
                return ResponseFormat()
            case "json_object":
                return ResponseFormat(kind="json_object")
            case "json_schema" if given is not None and given.json_schema is not None:
                schema = given.json_schema.get("schema")
                if isinstance(schema, dict):
                    return ResponseFormat(kind="json_schema", json_schema=schema)
                raise WireError(
                    "The field response_format.json_schema has no schema. Put the JSON schema there.",
                    param="response_format",
                )
        raise WireError(
            "The response format {kind} is not known. It takes text, json_object or json_schema.",
            param="response_format",
            kind=str(given.type if given else "")[:80],
        )

    def _logprobs(self) -> int | None:
        if not self.logprobs:
            if self.top_logprobs:
                raise WireError(
                    "The field top_logprobs is {count} without logprobs. Set logprobs to true as well.",
                    param="top_logprobs",
                    count=self.top_logprobs,
                )
            return None
        count = self.top_logprobs or 0
        if not 0 <= count <= 20:
            raise WireError(
                "The field top_logprobs is {count}. It takes 0 to 20.", param="top_logprobs", count=count
            )
        return count


def _knob(name: str) -> str | None:
    """Return the setting that a request's extra field means, by its key, a former key or OpenAI's word."""
    from app.shared.settings import settings

    found = find(name)
    if found is not None:
        return found.key
    return next((knob.key for knob in settings().values() if name in knob.also), None)


def _turn(message: WireMessage, place: int) -> ChatTurn:
    content = message.content
    if isinstance(content, list):
        for part in content:
            if part.type not in ("text", "input_text"):
                raise WireError(
                    "Message {place} has a part of the type {kind}, and this model reads text. Send text parts only.",
                    param=f"messages[{place}].content",
                    place=place,
                    kind=part.type[:80],
                )
        content = "".join(part.text for part in content)
    if content is None and message.role != "assistant":
        raise WireError(
            "Message {place} has no content. Give it a text.", param=f"messages[{place}].content", place=place
        )
    return ChatTurn(
        role="system" if message.role == "developer" else message.role,
        content=content or "",
        thought=message.reasoning_content,
        tool_calls=tuple(
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in message.tool_calls or ()
        ),
        tool_call_id=message.tool_call_id,
        name=message.name,
    )


class Completion:
    """One answer on its way out: makes the chunks of a stream, or the whole object at the end."""

    def __init__(self, loaded: LoadedModel, request: ChatCompletionRequest) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": loaded.id}
        self._usage_wanted = request.wants_usage
        self._logprobs_wanted = bool(request.logprobs)
        self._logprobs: list[TokenLogprob] = []

    def opening(self, started: AnswerStarted) -> JsonObject:
        """Return the first chunk: the role, and the prompt's size beside it."""
        return self._chunk(
            {"role": "assistant", "content": ""},
            beside=started.model_dump(exclude={"type"}, exclude_none=True),
        )

    def delta(self, event: AnswerDelta) -> JsonObject:
        """Return a chunk with more text or thought."""
        delta: JsonObject = {}
        if event.thought:
            delta["reasoning_content"] = event.thought
        if event.text:
            delta["content"] = event.text
        beside = event.model_dump(
            include={"tokens", "context_used_tokens", "decode_tokens_per_second"}, exclude_none=True
        )
        return self._chunk(delta, logprobs=self._wire_logprobs(event.logprobs), beside=beside)

    def closing(self, finished: AnswerFinished) -> list[JsonObject]:
        """Return the last chunks: tool calls, the reason, and the usage if it was asked for."""
        chunks = []
        if finished.tool_calls:
            calls = [{"index": place, **call} for place, call in enumerate(_wire_calls(finished.tool_calls))]
            chunks.append(self._chunk({"tool_calls": calls}))
        chunks.append(self._chunk({}, reason=_reason(finished), beside=_beside(finished)))
        if self._usage_wanted:
            chunks.append(
                {
                    **self._head,
                    "object": "chat.completion.chunk",
                    "choices": [],
                    "usage": _usage(finished.timings),
                }
            )
        return chunks

    def collect(self, event: AnswerDelta) -> None:
        """Keep the log probabilities of an answer that is sent whole."""
        self._logprobs.extend(event.logprobs)

    def whole(self, finished: AnswerFinished) -> JsonObject:
        """Return the answer as one object."""
        message: JsonObject = {"role": "assistant", "content": finished.text, "refusal": None}
        if finished.thought is not None:
            message["reasoning_content"] = finished.thought
        if finished.tool_calls:
            message["tool_calls"] = _wire_calls(finished.tool_calls)
            message["content"] = finished.text or None
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": _reason(finished),
            "logprobs": self._wire_logprobs(tuple(self._logprobs)),
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(finished.timings),
            "x_pult": _beside(finished),
        }

    def _chunk(
        self, delta: JsonObject, *, reason: str | None = None, logprobs: object = None, beside: object = None
    ) -> JsonObject:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        chunk: JsonObject = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        if self._usage_wanted:
            chunk["usage"] = None
        if beside:
            chunk["x_pult"] = beside
        return chunk

    def _wire_logprobs(self, given: tuple[TokenLogprob, ...]) -> JsonObject | None:
        if not self._logprobs_wanted:
            return None
        return {
            "content": [
                {
                    "token": each.token,
                    "logprob": each.logprob,
                    "bytes": list(each.token.encode()),
                    "top_logprobs": [
                        {"token": token, "logprob": logprob, "bytes": list(token.encode())}
                        for token, logprob in each.top
                    ],
                }
                for each in given
            ],
            "refusal": None,
        }


def model_object(model: LoadedModel) -> JsonObject:
    """Return the loaded model as GET /v1/models lists it; `max_model_len` is vLLM's word for the context."""
    facts: dict[str, Any] = model.model_dump(
        mode="json", exclude={"values", "path", "remote_url"}, exclude_none=True
    )
    return {
        "id": model.id,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "pult",
        "max_model_len": model.context,
        "x_pult": facts,
    }


def _wire_calls(calls: tuple[ToolCall, ...]) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]


def _reason(finished: AnswerFinished) -> str:
    """OpenAI has no word for an answer that was stopped by hand; the true reason is in `x_pult`."""
    return "stop" if finished.finish_reason == "cancelled" else finished.finish_reason


def _usage(timings: Timings) -> JsonObject:
    return {
        "prompt_tokens": timings.prompt_tokens,
        "completion_tokens": timings.completion_tokens,
        "total_tokens": timings.prompt_tokens + timings.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": timings.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": timings.thought_tokens},
    }


def _beside(finished: AnswerFinished) -> JsonObject:
    timings = finished.timings
    return {
        "finish_reason": finished.finish_reason,
        "timings": timings.model_dump(),
        "tokens_per_second": timings.tokens_per_second,
        "prefill_tokens_per_second": timings.prefill_tokens_per_second,
        "context_used_tokens": finished.context_used_tokens,
        "experts_used": finished.experts_used,
        "seed": finished.seed,
    }
