"""The import contracts hold, and each of them bites when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# One import that each contract must refuse: contract name → (module to break, line to add).
BREACHES = {
    "Only the llama engine imports llama_cpp": ("app/service/hub.py", "import llama_cpp"),
    "Only telemetry's nvml imports pynvml": ("app/client/__init__.py", "import pynvml"),
    "Only the charts import pyqtgraph": ("app/ui/__init__.py", "import pyqtgraph"),
    "No torch or Chroma in the window, the client, the service's own process": (
        "app/ui/__init__.py",
        "import torch",
    ),
    "No Qt outside the window": ("app/client/__init__.py", "import PySide6.QtCore"),
    "Shared imports no room": ("app/shared/units.py", "import app.client"),
    "Models import only shared": ("app/models/__init__.py", "import app.client"),
    "Forecasts import only models and shared": ("app/forecast/__init__.py", "import app.service"),
    "The client knows neither window nor service": ("app/client/__init__.py", "import app.service"),
    "The service knows neither window nor client": ("app/service/__init__.py", "import app.client"),
    "The window reaches the service over HTTP only": ("app/ui/__init__.py", "import app.service"),
}


def _contracts() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in config["tool"]["importlinter"]["contracts"]]


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_contract_has_a_breach_here() -> None:
    assert sorted(BREACHES) == sorted(_contracts())


def test_contracts_hold_and_each_one_bites(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    clean = _lint(tmp_path)
    assert clean.returncode == 0, clean.stdout[-3000:]

    for file, line in BREACHES.values():
        with (tmp_path / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    broken = _lint(tmp_path)
    assert broken.returncode != 0
    for name in BREACHES:
        assert f"{name} BROKEN" in broken.stdout, f"not noticed: {name}\n{broken.stdout[-3000:]}"
