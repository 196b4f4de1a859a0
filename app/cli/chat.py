"""`pult chat`: load, answer, print; the same service and the same wire as everything else."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import httpx

from app.cli.arguments import add_json, add_model, remote_server, setting_values
from app.cli.output import print_json
from app.client.http import error_of, unreachable, worded
from app.client.launch import RunningService, start_service
from app.shared.engine import SettingValue, Timings
from app.shared.errors import BadRequest, BadValue, ModelFileMissing, PultError
from app.shared.paths import guide_model

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def add_parser(commands: Any) -> None:
    """Declare `pult chat`."""
    parser = commands.add_parser(
        "chat",
        help="one answer in the terminal",
        description="Load a model, answer one prompt, print it. The thought goes to stderr, the answer to stdout."
        " Ctrl+C stops the answer and keeps what stands (exit status 130).",
    )
    add_model(parser)
    parser.add_argument("--prompt", required=True, metavar="T", help="the question; - reads it from stdin")
    parser.add_argument("--system", default=None, metavar="S", help="the system prompt")
    parser.add_argument(
        "--max-tokens", type=int, default=None, metavar="N", help="end the answer after N tokens"
    )
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="for the same text again")
    parser.add_argument(
        "--thinking", choices=("on", "off"), default=None, help="whether the model thinks first"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer the prompt. Raises what the service says."""
    values = setting_values(arguments.settings)
    if arguments.max_tokens is not None and arguments.max_tokens < 1:
        raise BadValue(
            "--max-tokens is {value}. It takes 1 or more.", key="max_tokens", value=arguments.max_tokens
        )
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    if not prompt.strip():
        raise BadRequest("The prompt is empty. Give the question with --prompt, or - to read it from stdin.")
    service = start_service(engine=arguments.engine)
    try:
        load(service, arguments, values)
        result = answer(
            service,
            prompt,
            system=arguments.system,
            max_tokens=arguments.max_tokens,
            seed=arguments.seed,
            thinking=None if arguments.thinking is None else arguments.thinking == "on",
            show=not arguments.json,
        )
    finally:
        service.close()
    if arguments.json:
        print_json(result)
    else:
        print_facts(result)
    return 130 if result["finish_reason"] == "cancelled" else 0


def load(service: RunningService, arguments: argparse.Namespace, values: dict[str, SettingValue]) -> None:
    """Load what the arguments name and wait for it."""
    client = service.client()
    try:
        server = remote_server(arguments)
        model = None if server is not None else arguments.model or default_model()
        client.load(model, remote=server, preset=arguments.preset, values=dict(values), wait=True)
    finally:
        client.close()


def default_model() -> str:
    """Return the guide's file. Raises `ModelFileMissing` in a build without it."""
    if not guide_model().is_file():
        raise ModelFileMissing(
            "No model was named and the built-in one is not here. Name a GGUF file with --model."
        )
    return str(guide_model())


def answer(
    service: RunningService,
    prompt: str,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    thinking: bool | None = None,
    show: bool = False,
) -> dict[str, Any]:
    """Stream one answer and return text, thought and measurements; Ctrl+C stops it and keeps what stands."""
    messages = [{"role": "user", "content": prompt}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    body: dict[str, Any] = {
        "model": "pult",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if seed is not None:
        body["seed"] = seed
    if thinking is not None:
        body["x_pult"] = {"values": {"thinking": thinking}}
    heard = _Heard(show=show)
    headers = {"Authorization": f"Bearer {service.token}"}
    try:
        with (
            _stopped_by_interrupt(service),
            httpx.Client(trust_env=False, timeout=httpx.Timeout(None, connect=5.0)) as http,
            http.stream(
                "POST", service.address + "/v1/chat/completions", json=body, headers=headers
            ) as stream,
        ):
            if stream.status_code >= 400:
                stream.read()
                raise error_of(stream)
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    heard.take(line[5:].strip())
    except httpx.HTTPError as error:
        raise unreachable(service.address, error) from error
    heard.close()
    return heard.result()


@contextmanager
def _stopped_by_interrupt(service: RunningService) -> Iterator[None]:
    """Have the first Ctrl+C stop the answer, whose end and measurements still come; the second one ends the program."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return

    def cancel() -> None:
        client = service.client()
        with suppress(PultError):  # the stream says it better if the service is gone
            client.cancel()
        client.close()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=cancel, name="pult-stop", daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Heard:
    """The answer so far, from the stream's chunks."""

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._colour = show and sys.stderr.isatty()
        self._text: list[str] = []
        self._thought: list[str] = []
        self._timings = Timings()
        self._reason: str | None = None

    def take(self, data: str) -> None:
        if not data or data == "[DONE]":
            return
        chunk = json.loads(data)
        if "error" in chunk:
            told = chunk["error"]
            raise worded(str(told.get("message", told)), kind=str(told.get("code") or ""))
        pult = chunk.get("x_pult") or {}
        if pult.get("timings"):
            self._timings = Timings.model_validate(pult["timings"])
        self._reason = pult.get("finish_reason") or self._reason
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content"):
                self._thought.append(thought)
                self._write(thought, thought=True)
            if text := delta.get("content"):
                self._text.append(text)
                self._write(text, thought=False)
            for call in delta.get("tool_calls") or ():
                self._text.append(json.dumps(call, ensure_ascii=False))
            self._reason = self._reason or choice.get("finish_reason")

    def _write(self, words: str, *, thought: bool) -> None:
        if not self._show:
            return
        if thought:
            sys.stderr.write(f"{DIM}{words}{PLAIN}" if self._colour else words)
            sys.stderr.flush()
            return
        if self._thought and len(self._text) == 1:
            sys.stderr.write("\n")
            sys.stderr.flush()
        sys.stdout.write(words)
        sys.stdout.flush()

    def close(self) -> None:
        if self._show and self._text and not self._text[-1].endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()

    def result(self) -> dict[str, Any]:
        timings = self._timings
        return {
            "text": "".join(self._text),
            "thought": "".join(self._thought) or None,
            "prompt_tokens": timings.prompt_tokens,
            "completion_tokens": timings.completion_tokens,
            "prefill_tokens_per_second": timings.prefill_tokens_per_second,
            "tokens_per_second": timings.tokens_per_second,
            "finish_reason": self._reason,
        }


def print_facts(result: dict[str, Any]) -> None:
    """Print one line of measurements to stderr."""
    speed, prefill = result["tokens_per_second"], result["prefill_tokens_per_second"]
    words = [f"{result['completion_tokens']} tokens"]
    if speed is not None:
        words.append(f"{speed:.1f} tokens/s")
    if prefill is not None:
        words.append(f"prefill {result['prompt_tokens']} tokens at {prefill:.0f} tokens/s")
    if result["finish_reason"] not in (None, "stop"):
        words.append(f"ended by {result['finish_reason']}")
    print(" · ".join(words), file=sys.stderr, flush=True)
