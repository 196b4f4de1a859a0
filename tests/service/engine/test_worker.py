"""The worker process itself, spoken to through its pipes as the supervisor does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.shared import messages
from app.shared.engine import AnswerDelta, AnswerFinished, AnswerStarted, ChatTurn, GenerateRequest, LoadPlan
from tests.models_for_tests import tiny_moe

START = "import sys; from app.service.engine.worker import main; sys.exit(main())"
Spawn = Callable[..., "Pipe"]


class Pipe:
    """A worker and both ends of its pipe."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "--worker", "engine", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.heartbeats: list[messages.Heartbeat] = []
        self._watchdog = threading.Timer(60, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def send(self, message: Any) -> None:
        assert self.process.stdin is not None
        messages.write_frame(self.process.stdin, message)  # type: ignore[arg-type]  # Popen's pipes are BinaryIO

    def reply(self) -> Any:
        """The next message that is neither log nor heartbeat; None at the end."""
        while True:
            assert self.process.stdout is not None
            frame = messages.read_frame(self.process.stdout)  # type: ignore[arg-type]  # see above
            if frame is None:
                return None
            message = messages.REPLY.validate_json(frame)
            if isinstance(message, messages.Heartbeat):
                self.heartbeats.append(message)
            elif not isinstance(message, messages.Log):
                return message

    def outcome(self, request: Any) -> tuple[list[Any], Any]:
        """Send and return the events and the one outcome."""
        self.send(request)
        events: list[Any] = []
        while (message := self.reply()) is not None:
            if isinstance(message, (messages.Done, messages.Failed)):
                return events, message
            events.append(message.event if isinstance(message, messages.Token) else message)
        return events, None

    def end(self) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue  # a frame was never taken: the worker is gone


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    pipes: list[Pipe] = []

    def start(*arguments: str, **environment: str) -> Pipe:
        pipes.append(Pipe(*arguments, **environment))
        return pipes[-1]

    yield start
    for pipe in pipes:
        pipe.end()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_moe(tmp_path_factory.mktemp("worker") / "tiny.gguf", context=2048)


def load(path: Path, **values: Any) -> messages.Load:
    return messages.Load(
        id="load", plan=LoadPlan(model_path=str(path), values={"context": 2048, "threads": 1, **values})
    )


def ask(**fields: Any) -> messages.Generate:
    request = GenerateRequest(id="r", messages=(ChatTurn(role="user", content="hello"),), **fields)
    return messages.Generate(id="answer", request=request)


@pytest.mark.engine
def test_it_says_ready_loads_answers_counts_and_ejects(spawn: Spawn, model: Path) -> None:
    pipe = spawn()
    ready = pipe.reply()
    assert isinstance(ready, messages.Ready)
    assert ready.pid == pipe.process.pid
    assert "llama" in ready.engine
    assert "CPU" in ready.devices

    progress, done = pipe.outcome(load(model))
    assert isinstance(done, messages.Done)
    assert done.model is not None and done.model.experts == 8
    fractions = [message.fraction for message in progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0

    events, done = pipe.outcome(ask(max_tokens=30, values={"seed": 3}))
    assert isinstance(done, messages.Done)
    assert isinstance(events[0], AnswerStarted)
    assert isinstance(events[-1], AnswerFinished)
    deltas = [event for event in events if isinstance(event, AnswerDelta)]
    assert "".join(event.text for event in deltas) == events[-1].text
    assert sum(event.tokens for event in deltas) == events[-1].timings.completion_tokens == 30

    _, done = pipe.outcome(messages.Count(id="count", messages=(ChatTurn(role="user", content="hello"),)))
    assert isinstance(done, messages.Done)
    assert done.counts is not None and done.counts.total == events[0].prompt_tokens

    _, done = pipe.outcome(messages.Eject(id="eject"))
    assert isinstance(done, messages.Done)
    _, failed = pipe.outcome(ask())
    assert isinstance(failed, messages.Failed)
    assert failed.error.kind == "no_model_loaded"

    pipe.send(messages.Quit())
    assert pipe.process.wait(10) == 0


@pytest.mark.engine
def test_the_fault_of_a_request_is_its_outcome_and_the_worker_lives_on(spawn: Spawn, tmp_path: Path) -> None:
    pipe = spawn()
    pipe.reply()
    page = tmp_path / "model.gguf"
    page.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    _, failed = pipe.outcome(load(page))
    assert isinstance(failed, messages.Failed)
    assert failed.error.kind == "model_unreadable"
    assert "web page" in failed.error.sentence
    pipe.send(messages.Ping(id="still there"))
    assert pipe.reply() == messages.Done(id="still there")


@pytest.mark.engine
def test_cancel_reaches_an_answer_being_written(spawn: Spawn, tmp_path: Path) -> None:
    pipe = spawn()
    pipe.reply()
    pipe.outcome(load(tiny_moe(tmp_path / "long.gguf", context=200_000), context=200_000))
    pipe.send(ask())
    first = pipe.reply()
    assert isinstance(first.event, AnswerStarted)
    pipe.send(messages.Cancel(id="answer"))
    events = []
    while not isinstance(message := pipe.reply(), messages.Done):
        events.append(message.event)
    assert events[-1].finish_reason == "cancelled"


@pytest.mark.engine
def test_a_cancel_sent_ahead_of_its_request_counts(spawn: Spawn, model: Path) -> None:
    pipe = spawn()
    pipe.reply()
    pipe.outcome(load(model))
    pipe.send(messages.Cancel(id="answer"))
    events, _ = pipe.outcome(ask())
    assert (events[-1].finish_reason, events[-1].text) == ("cancelled", "")


def test_heartbeats_say_that_the_engine_moves(spawn: Spawn) -> None:
    pipe = spawn("--engine", "fake:20")
    assert isinstance(pipe.reply(), messages.Ready)
    pipe.outcome(messages.Load(id="load", plan=LoadPlan(model_path="fake.gguf")))
    pipe.outcome(ask(max_tokens=30))
    busy = [beat for beat in pipe.heartbeats if beat.busy is not None]
    assert len(busy) >= 2
    assert busy[-1].steps > busy[0].steps


@pytest.mark.parametrize(
    ("fault", "died_of"),
    [
        pytest.param("sigsegv", "SIGSEGV", marks=pytest.mark.skipif(os.name != "posix", reason="signals")),
        pytest.param("sigabrt", "SIGABRT", marks=pytest.mark.skipif(os.name != "posix", reason="signals")),
        pytest.param("sigkill", "SIGKILL", marks=pytest.mark.skipif(os.name != "posix", reason="signals")),
    ],
)
@pytest.mark.parametrize("phase", ["load", "prefill", "decode"])
def test_faults_on_demand_are_real_deaths(spawn: Spawn, fault: str, died_of: str, phase: str) -> None:
    pipe = spawn("--engine", "fake:200", PULT_FAULT=f"{fault}:{phase}")
    pipe.reply()
    _, outcome = pipe.outcome(messages.Load(id="load", plan=LoadPlan(model_path="fake.gguf")))
    if phase != "load":
        assert isinstance(outcome, messages.Done)
        _, outcome = pipe.outcome(ask(max_tokens=50))
    assert outcome is None
    assert pipe.process.wait(10) == -getattr(signal, died_of)


def test_a_hung_engine_still_ends_when_stdin_closes(spawn: Spawn) -> None:
    pipe = spawn("--engine", "fake:200", PULT_FAULT="hang:load")
    pipe.reply()
    pipe.send(messages.Load(id="load", plan=LoadPlan(model_path="fake.gguf")))
    deadline = time.monotonic() + 10
    while not any(beat.busy == "load" for beat in pipe.heartbeats) and time.monotonic() < deadline:
        assert pipe.process.stdout is not None
        frame = messages.read_frame(pipe.process.stdout)  # type: ignore[arg-type]  # Popen's pipes are BinaryIO
        message = messages.REPLY.validate_json(frame or b"")
        if isinstance(message, messages.Heartbeat):
            pipe.heartbeats.append(message)
    assert pipe.process.stdin is not None
    pipe.process.stdin.close()
    assert pipe.process.wait(10) == 0


def test_an_unknown_engine_is_refused_in_words(spawn: Spawn) -> None:
    pipe = spawn("--engine", "steam")
    assert pipe.reply() is None
    assert pipe.process.wait(10) == 1
    assert pipe.process.stderr is not None
    assert b"There is no engine named steam" in pipe.process.stderr.read()


def test_what_prints_to_stdout_cannot_break_a_frame(spawn: Spawn) -> None:
    program = "import os,sys; from app.service.engine import worker; take=worker.take_stdio\n"
    program += "requests, out = take(); os.write(1, b'noise from a library'); print('more', flush=True)\n"
    program += "worker.FrameWriter(out).log('info', 'worker', 'hello')"
    done = subprocess.run(
        [sys.executable, "-c", program], input=b"", capture_output=True, timeout=30, check=True
    )
    assert messages.REPLY.validate_json(done.stdout[4:]) == messages.Log(
        level="info", source="worker", text="hello"
    )
    assert b"noise from a library" in done.stderr and b"more" in done.stderr
