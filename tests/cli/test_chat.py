"""`pult chat` as a person and as a script use it, over a real service with the fake engine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.__main__ import main

FACTS = {
    "text",
    "thought",
    "prompt_tokens",
    "completion_tokens",
    "prefill_tokens_per_second",
    "tokens_per_second",
    "finish_reason",
}


def test_json_is_what_was_promised(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "chat",
        "--engine",
        "fake:2000",
        "--model",
        model_file,
        "--prompt",
        "hello",
        "--max-tokens",
        "12",
    ]
    assert main([*words, "--seed", "5", "--thinking", "off", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert set(first) == FACTS
    assert first["completion_tokens"] == 12 and first["finish_reason"] == "length"
    assert first["thought"] is None and first["text"]
    assert first["tokens_per_second"] > 0 and first["prompt_tokens"] > 0


def test_text_goes_to_stdout_and_the_rest_to_stderr(
    model_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("fake:markdown"))
    words = ["chat", "--engine", "fake:2000", "--model", model_file, "--prompt", "-", "--system", "Be short."]
    assert main([*words, "--thinking", "on"]) == 0
    told = capsys.readouterr()
    assert "| layer | bytes | place |" in told.out and told.out.endswith("\n")
    assert "tokens/s" in told.err and "tokens/s" not in told.out
    thought, _, _ = told.err.rpartition("\n\n") if "\n\n" in told.err else told.err.partition("\n")
    assert thought.strip() and thought.strip() not in told.out


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--set", "context"], 2, "--set takes KEY=VALUE"),
        (["--set", "experts=zero"], 2, "Experts per token"),
        (["--set", "no_such=1"], 2, "There is no setting named no_such"),
        (["--max-tokens", "0"], 2, "--max-tokens is 0"),
        (["--prompt", "  "], 2, "The prompt is empty"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    words: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str], user_dirs: Path
) -> None:
    assert main(["chat", "--prompt", "x", "--json", *words]) == status
    told = capsys.readouterr()
    assert sentence in told.err and told.err.startswith("pult: ") and told.err.count("\n") == 1
    assert sentence in json.loads(told.out)["error"]["sentence"]
    assert not (user_dirs / "chats.db").exists()


def test_a_missing_prompt_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["chat"])
    assert caught.value.code == 2 and "--prompt" in capsys.readouterr().err


def test_errors_of_the_engine_are_one_sentence(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["chat", "--engine", "fake:2000", "--model", model_file, "--prompt", "fake:fail", "--json"]
    assert main(words) == 1
    told = capsys.readouterr()
    assert told.err.startswith("pult: ") and told.err.count("\n") == 1 and "Traceback" not in told.err
    error = json.loads(told.out)["error"]
    assert error["sentence"] and error["kind"] != "error"


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--model", "/no/where.gguf", "--prompt", "x"]) == 1
    assert "/no/where.gguf" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="SIGINT to one process is POSIX")
def test_ctrl_c_stops_the_answer_and_keeps_what_stands(model_file: str, tmp_path: Path) -> None:
    words = ["chat", "--engine", "fake:60", "--model", model_file, "--prompt", "fake:tokens=5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    head = process.stdout.read(40)  # it is writing
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2  # the service and its worker
    process.send_signal(signal.SIGINT)
    rest, facts = process.communicate(timeout=30)
    assert process.returncode == 130
    assert head and rest is not None
    assert "tokens/s" in facts and "ended by cancelled" in facts and "Traceback" not in facts
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.engine
def test_the_real_engine_repeats_itself_with_a_seed(
    model_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["chat", "--model", model_file, "--prompt", "hi", "--max-tokens", "8", "--seed", "3", "--json"]
    texts = []
    for _ in range(2):
        assert main([*words, "--set", "context=512", "--set", "threads=1"]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1]


def test_the_demo_shows_the_main_job(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", model_file, "--engine", "fake:2000"]) == 0
    told = capsys.readouterr()
    assert "Loaded " in told.out and "What is a KV cache?" in told.out and "of RAM" in told.out
    assert "tokens/s" in told.err
