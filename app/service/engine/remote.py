"""Another engine over the network: any OpenAI-style server by URL and key, driven through the same protocol.

vLLM, llama-server, llama_cpp.server, another `pult serve`. What such a server does not say stays None: it is never guessed.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from app.service.engine.base import LoadProgress, StopFlag
from app.service.engine.remote_stream import AnswerReader
from app.service.engine.remote_words import not_json, parsed_json, refused, status_of, unreachable
from app.shared.engine import (
    AnswerFinished,
    AnswerStarted,
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    PrefillProgress,
    RemoteServer,
    SettingValue,
    TokenCounts,
    TokenEvent,
)
from app.shared.errors import (
    BadRequest,
    Cancelled,
    EngineFailed,
    NoModelLoaded,
    PultError,
    RemoteFailed,
)

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 300.0  # a long prompt on a slow machine may say nothing for minutes
# Pult's words for sampling → the wire's. The second group are extras that llama-server, vLLM and Pult understand.
WIRE_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
EXTRA_NAMES = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"}


class RemoteEngine:
    """Speaks OpenAI's chat completions with one server. Keeps to `Engine`; errors are `RemoteFailed` with a sentence."""

    def __init__(
        self, *, connect_seconds: float = CONNECT_SECONDS, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self._timeout = httpx.Timeout(silence_seconds, connect=connect_seconds, write=60.0, pool=10.0)
        self._check_timeout = httpx.Timeout(connect_seconds)
        self._client: httpx.Client | None = None
        self._server: RemoteServer | None = None
        self._loaded: LoadedModel | None = None
        self._is_pult = False

    @property
    def loaded(self) -> LoadedModel | None:
        return self._loaded

    def load(self, plan: LoadPlan, *, progress: LoadProgress, stop: StopFlag) -> LoadedModel:
        self.eject()
        server = plan.remote
        if server is None:
            raise BadRequest("A remote engine loads a server, and this plan names a file.")
        started = time.monotonic()
        url = server.url.rstrip("/")
        parts = httpx.URL(url) if url.isprintable() else httpx.URL("")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise BadRequest(
                "{url} is not the address of a server. It takes http:// or https://, a host, and a path such as /v1.",
                url=server.url[:200] or "(empty)",
            )
        progress(0.1)
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        client = httpx.Client(
            base_url=url, headers=headers, timeout=self._timeout, trust_env=not _is_local(parts.host)
        )
        try:
            models = _stoppable(lambda: self._get_models(client, server), stop, server)
        except BaseException:
            client.close()
            raise
        progress(0.8)
        chosen = _chosen(models, server)
        own = chosen.get("x_pult")
        self._is_pult = isinstance(own, dict)
        facts = dict(own) if isinstance(own, dict) else {}
        known = {name: facts[name] for name in _FACTS if facts.get(name) is not None}
        self._client, self._server = client, server
        self._loaded = LoadedModel(
            **{
                "name": str(chosen["id"]),
                "context": _context(chosen),
                "sampling_note": "The server samples; whether the same seed gives the same text is up to it.",
                **known,
                "id": str(chosen["id"]),
                "remote_url": url,
                "tools": True,
                "can_think": bool(facts.get("can_think", True)),
                "load_seconds": time.monotonic() - started,
                "preset": plan.preset,
                "values": dict(plan.values),
            }
        )
        progress(1.0)
        return self._loaded

    def eject(self) -> None:
        self._loaded = None
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def close(self) -> None:
        self.eject()

    def count(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        client, server, model = self._need()
        if not self._is_pult:
            raise EngineFailed(
                "{name} does not count tokens. The count appears after the first answer.",
                name=server.name or model.id,
            )
        body = {"messages": [turn.model_dump() for turn in messages], "thinking": thinking}
        url = str(httpx.URL(str(client.base_url)).copy_with(raw_path=b"/api/engine/count"))
        try:
            answer = client.post(url, json=body, timeout=self._check_timeout)
        except httpx.HTTPError as error:
            raise unreachable(error, server) from error
        if answer.status_code != 200:
            raise refused(answer.status_code, answer.text, server)
        return TokenCounts.model_validate(parsed_json(answer.text, server))

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        client, server, model = self._need()
        body = self._body(request, model)
        reader = AnswerReader(
            thinking=_merged(model, request).get("thinking") is not False,
            context=model.context,
            tools=request.tools,
        )
        asked = time.monotonic()
        stream = _Stream(client, body, server)
        begun = False
        try:
            for line in stream.lines(stop):
                if line.startswith(": prefill "):
                    done, _, total = line[10:].partition(" ")
                    if not begun:
                        begun = True
                        yield AnswerStarted(prompt_tokens=int(total))
                    yield PrefillProgress(done_tokens=int(done), total_tokens=int(total))
                    continue
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    break
                chunk = parsed_json(data, server)
                if "error" in chunk:
                    raise refused(status_of(chunk), data, server)
                if not begun:
                    begun = True
                    yield AnswerStarted(prompt_tokens=reader.prompt_tokens(chunk))
                yield from reader.take(chunk, time.monotonic() - asked)
            if not begun:
                yield AnswerStarted(prompt_tokens=0)
            yield from reader.rest()
            if not stop.is_set() and reader.finish_reason is None:
                raise RemoteFailed(
                    "{name} ended the answer in the middle. Ask again, and look at the server's log if it repeats.",
                    name=server.name or model.id,
                )
            finished: AnswerFinished = reader.finished(time.monotonic() - asked, cancelled=stop.is_set())
            yield finished
        finally:
            stream.close()

    def _get_models(self, client: httpx.Client, server: RemoteServer) -> list[JsonObject]:
        try:
            answer = client.get("/models", timeout=self._check_timeout)
        except httpx.HTTPError as error:
            raise unreachable(error, server) from error
        if answer.status_code != 200:
            raise refused(answer.status_code, answer.text, server)
        data = parsed_json(answer.text, server).get("data")
        models = (
            [each for each in data if isinstance(each, dict) and each.get("id")]
            if isinstance(data, list)
            else []
        )
        if not models:
            raise RemoteFailed(
                "{url} answers, but lists no model. Load one there first, or check that the address ends in /v1.",
                url=server.url,
            )
        return models

    def _need(self) -> tuple[httpx.Client, RemoteServer, LoadedModel]:
        if self._loaded is None or self._client is None or self._server is None:
            raise NoModelLoaded("No remote server is connected. Connect to one first.")
        return self._client, self._server, self._loaded

    def _body(self, request: GenerateRequest, model: LoadedModel) -> JsonObject:
        values = _merged(model, request)
        body: JsonObject = {
            "model": model.id,
            "messages": [_wire_turn(turn) for turn in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for names in (WIRE_NAMES, EXTRA_NAMES):
            for key, name in names.items():
                if key in values:
                    body[name] = values[key]
        if isinstance(body.get("seed"), int) and body["seed"] < 0:
            del body["seed"]
        if "thinking" in values:
            body["chat_template_kwargs"] = {"enable_thinking": bool(values["thinking"])}
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = list(request.tools)
            if request.tool_choice in ("auto", "none", "required"):
                body["tool_choice"] = request.tool_choice
            elif request.tool_choice:
                body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice}}
        match request.response_format.kind:
            case "json_object":
                body["response_format"] = {"type": "json_object"}
            case "json_schema":
                schema = {"name": "answer", "schema": request.response_format.json_schema or {}}
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, request.logprobs
        if self._is_pult:
            beside = {"continue_last": request.continue_last, "thinking_counts": request.thinking_counts}
            body["x_pult"] = beside
        elif request.continue_last:  # vLLM's and llama-server's words for it
            body["add_generation_prompt"], body["continue_final_message"] = False, True
        return body


class _Stream:
    """One streaming request, read by a thread of its own so that stopping never waits for the server."""

    def __init__(self, client: httpx.Client, body: JsonObject, server: RemoteServer) -> None:
        self._client, self._body, self._server = client, body, server
        self._lines: queue.SimpleQueue[str | PultError | None] = queue.SimpleQueue()
        self._response: httpx.Response | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="remote answer", daemon=True)
        self._thread.start()

    def lines(self, stop: StopFlag) -> Iterator[str]:
        """Yield the stream's lines until its end or until `stop` is set; raise what went wrong."""
        while not stop.is_set():
            try:
                line = self._lines.get(timeout=0.05)
            except queue.Empty:
                continue
            if line is None:
                return
            if isinstance(line, PultError):
                raise line
            yield line

    def close(self) -> None:
        """Cut the connection, which is how a server learns that nobody listens, and end the thread."""
        self._closed.set()
        response = self._response
        if response is not None and not response.is_closed:
            stream = response.extensions.get("network_stream")
            connection = stream.get_extra_info("socket") if stream is not None else None
            if isinstance(connection, socket.socket):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # already cut from the other side
        self._thread.join(2.0)

    def _read(self) -> None:
        try:
            with self._client.stream("POST", "/chat/completions", json=self._body) as response:
                self._response = response
                if self._closed.is_set():
                    return
                if response.status_code != 200:
                    response.read()
                    self._lines.put(refused(response.status_code, response.text, self._server))
                    return
                kind = response.headers.get("content-type", "")
                if "text/event-stream" not in kind:
                    response.read()
                    self._lines.put(not_json(response.text, self._server))
                    return
                for line in response.iter_lines():
                    if self._closed.is_set():
                        return
                    self._lines.put(line)
            self._lines.put(None)
        except (httpx.HTTPError, httpx.StreamError, RuntimeError, OSError) as error:
            # RuntimeError: the client was closed while it was being asked
            self._lines.put(None if self._closed.is_set() else unreachable(error, self._server))


_FACTS = (
    "name",
    "architecture",
    "description",
    "quantisation",
    "file_bytes",
    "parameter_count",
    "layers",
    "gpu_layers",
    "experts",
    "experts_used",
    "experts_trained",
    "trained_context",
    "context",
    "vocabulary",
    "chat_template",
    "devices",
    "sampling_note",
)


def _stoppable(work: Any, stop: StopFlag, server: RemoteServer) -> list[JsonObject]:
    """Run `work` on a thread and return its result, or raise `Cancelled` as soon as `stop` is set."""
    results: queue.SimpleQueue[list[JsonObject] | PultError] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except PultError as error:
            results.put(error)
        except Exception as error:  # noqa: BLE001 - the border of this thread: it becomes the load's error
            results.put(unreachable(error, server))

    threading.Thread(target=run, name="remote models", daemon=True).start()
    while True:
        if stop.is_set():
            raise Cancelled("Connecting to {name} was cancelled.", name=server.name or server.url)
        try:
            result = results.get(timeout=0.05)
        except queue.Empty:
            continue
        if isinstance(result, PultError):
            raise result
        return result


def _chosen(models: list[JsonObject], server: RemoteServer) -> JsonObject:
    if not server.model:
        return models[0]
    for model in models:
        if model["id"] == server.model:
            return model
    raise RemoteFailed(
        "{url} has no model {model}; it has {known}. Choose one of these.",
        url=server.url,
        model=server.model,
        known=", ".join(str(model["id"]) for model in models[:8]),
    )


def _context(model: JsonObject) -> int | None:
    """Return the context in tokens, as vLLM (`max_model_len`) or llama-server (`meta.n_ctx_train`) tell it."""
    meta = model.get("meta")
    for value in (model.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None):
        if isinstance(value, int) and value > 0:
            return value
    return None


def _merged(model: LoadedModel, request: GenerateRequest) -> dict[str, SettingValue]:
    return {**model.values, **request.values}


def _wire_turn(turn: ChatTurn) -> JsonObject:
    message: JsonObject = {"role": turn.role, "content": turn.content}
    if turn.thought and turn.role == "assistant":
        message["reasoning_content"] = turn.thought
    if turn.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        message["name"] = turn.name
    return message


def _is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "[::1]")
