"""`pult forecast` against the real service and llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.__main__ import main
from app.service.engine.llama import breakdown
from tests.models_for_tests import tiny_moe


@pytest.mark.engine
@pytest.mark.skipif(not breakdown.available(), reason="this llama.cpp does not show its layout")
def test_forecast_and_fit_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tiny_moe(tmp_path / "moe.gguf"))
    assert main(["forecast", "--model", model, "--set", "context=4096", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exact"] is True
    ram = told["devices"][-1]
    assert ram["name"] == "RAM" and ram["fits"] is True and ram["kv_bytes"] == 2 * 4096 * 2 * 64 * 4
    parts = ("weights_bytes", "kv_bytes", "compute_bytes", "adapters_bytes", "other_bytes")
    assert ram["total_bytes"] == sum(ram[part] for part in parts)

    assert main(["forecast", "--model", model, "--set", "context=4096"]) == 0
    words = capsys.readouterr().out
    assert words.startswith("fits (llama.cpp dry run)") and "RAM would have" in words

    assert main(["forecast", "--model", model, "--set", "context=8192", "--fit", "keep-speed"]) == 0
    assert "nothing was given up" in capsys.readouterr().out

    assert main(["forecast", "--model", model, "--set", "experts=99"]) == 2
    assert "Experts per token is 99" in capsys.readouterr().err
