"""`pult models anatomy` and `explain`: for people and as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from app.__main__ import main


def test_anatomy_as_a_table(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "anatomy", model_file]) == 0
    told = capsys.readouterr().out
    assert "expert layers" in told and "router" in told
    assert "with 2 of 8 experts" in told


def test_anatomy_as_json_at_a_chosen_k(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "anatomy", model_file, "--experts", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["anatomy", model_file, "--experts", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert told["at"] == told["active"][4] and told["at"]["experts"] == 5
    assert sum(part["parameters"] for part in told["parts"]) == told["parameters"]


def test_anatomy_refuses_with_sentences(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "anatomy", model_file, "--experts", "9"]) == 2
    assert "It takes 1 to 8" in capsys.readouterr().err
    assert main(["models", "anatomy", "no-such.gguf"]) != 0
    assert "There is no file" in capsys.readouterr().err


def test_a_config_is_explained_from_file_and_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"temperature": 0.7, "num_hidden_layers": 48, "whatever": 1})
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert main(["models", "explain", str(tmp_path / "config.json")]) == 0
    told = capsys.readouterr().out
    assert "48 layers deep" in told and "not known to Pult" in told and "For a preset" in told
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["models", "explain", "-", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"] == {"temperature": 0.7} and found["unknown"] == 1


def test_what_cannot_be_explained_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "explain", str(tmp_path / "none.json")]) != 0
    assert "There is no file" in capsys.readouterr().err
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    assert main(["models", "explain", str(tmp_path / "bad.json")]) == 2
    assert "UTF-8" in capsys.readouterr().err
