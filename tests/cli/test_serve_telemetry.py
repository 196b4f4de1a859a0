"""`pult serve` as scripts start it, and `pult telemetry`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.__main__ import main
from app.cli.telemetry import line
from app.shared.telemetry import EngineSample, GpuSample, HostSample, TelemetrySample


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM to one process is POSIX")
def test_serve_says_when_it_is_ready_and_keeps_its_token(tmp_path: Path, model_file: str) -> None:
    token_file = tmp_path / "token"
    words = ["serve", "--engine", "fake", "--token-file", str(token_file), "--model", model_file]
    process = subprocess.Popen([sys.executable, "-m", "app", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready.startswith("ready http://127.0.0.1:")
    token = token_file.read_text().strip()
    assert token_file.stat().st_mode & 0o777 == 0o600
    headers = {"Authorization": f"Bearer {token}"}
    address = ready.split()[1]
    assert httpx.get(address + "/v1/models", headers=headers, trust_env=False).status_code == 200
    assert httpx.get(address + "/v1/models", trust_env=False).status_code == 401
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stdout.close()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--port", "99999"], "99999"), (["--set", "context=no"], "Context"), (["--set", "x"], "--set takes")],
)
def test_serve_refuses_with_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--json", *words]) in (1, 2)
    told = capsys.readouterr()
    assert sentence in told.err and sentence in json.loads(told.out)["error"]["sentence"]


def test_telemetry_prints_samples_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["telemetry", "--seconds", "0.5", "--rate", "10", "--json"]) == 0
    samples = [TelemetrySample.model_validate(each) for each in json.loads(capsys.readouterr().out)]
    assert samples and all(sample.host.memory_total_bytes > 0 for sample in samples)
    assert [sample.at for sample in samples] == sorted(sample.at for sample in samples)


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "1e9"])
def test_telemetry_refuses_a_senseless_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["telemetry", f"--seconds={seconds}"]) == 2
    assert "--seconds" in capsys.readouterr().err


def test_a_line_names_what_was_said_and_nothing_else() -> None:
    host = HostSample(
        memory_total_bytes=32 << 30,
        memory_used_bytes=8 << 30,
        memory_available_bytes=24 << 30,
        swap_total_bytes=0,
        swap_used_bytes=0,
        cpu_percent=12.4,
        cpu_count=8,
    )
    gpus = (
        GpuSample(index=0, uuid="a", name="H200", memory_used_bytes=19 << 30, power_watts=412.4),
        GpuSample(index=1, uuid="b", name="H200", lost=True),
    )
    sample = TelemetrySample(
        at=0.0, host=host, gpus=gpus, engine=EngineSample(decode_tokens_per_second=41.26)
    )
    told = line(sample)
    assert "GPU 0 19.0 GiB 412 W" in told and "GPU 1 lost" in told
    assert told.endswith("RAM 8.0 GiB  CPU 12%  41.3 tokens/s")
