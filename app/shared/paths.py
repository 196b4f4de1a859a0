"""Where Pult keeps things: one place that names every directory and file.

`PULT_DATA` (or `pult --data DIR`) moves all of it into one folder: portable mode, and what tests use. Otherwise
platformdirs and its environment variables (XDG_DATA_HOME and the like) decide.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

_APP = "pult"


def _portable() -> Path | None:
    folder = os.environ.get("PULT_DATA")
    return Path(folder).expanduser() if folder else None


def data_dir() -> Path:
    """User data: chats, presets, roles, memory, telemetry. Created on first use."""
    return _made(_portable() or Path(platformdirs.user_data_dir(_APP, appauthor=False)))


def config_dir() -> Path:
    """Window state and preferences."""
    portable = _portable()
    return _made(
        portable / "config" if portable else Path(platformdirs.user_config_dir(_APP, appauthor=False))
    )


def cache_dir() -> Path:
    """What can be made again: prefix states, header cache."""
    portable = _portable()
    return _made(portable / "cache" if portable else Path(platformdirs.user_cache_dir(_APP, appauthor=False)))


def log_dir() -> Path:
    """The service's and the engine's log files."""
    portable = _portable()
    return _made(portable / "log" if portable else Path(platformdirs.user_log_dir(_APP, appauthor=False)))


def runtime_dir() -> Path:
    """Short-lived files readable by this user only: the service's address and token."""
    portable = _portable()
    folder = _made(
        portable / "run" if portable else Path(platformdirs.user_runtime_dir(_APP, appauthor=False))
    )
    if os.name == "posix":
        folder.chmod(0o700)
    return folder


def chats_db() -> Path:
    """The SQLite file of chats."""
    return data_dir() / "chats.db"


def user_presets_dir() -> Path:
    """The user's own presets, one TOML each."""
    return _made(data_dir() / "presets")


def preferences_file() -> Path:
    """Preferences of the service and window (`preferences.toml`)."""
    return config_dir() / "preferences.toml"


def models_file() -> Path:
    """Known model files and folders, remote servers and per-model defaults (`models.toml`)."""
    return data_dir() / "models.toml"


def service_file() -> Path:
    """Address, pid and token of the running service (JSON, mode 0600)."""
    return runtime_dir() / "service.json"


def _root() -> Path:
    """The folder that holds `resources/` and `presets/`: the checkout, the installed package's data or a frozen build."""
    frozen = getattr(sys, "_MEIPASS", None)
    if frozen is not None:
        return Path(str(frozen))
    return Path(__file__).resolve().parents[2]


def resources_dir() -> Path:
    """Icons, fonts, themes, translations, the guide model."""
    inside = Path(__file__).resolve().parents[1] / "_bundled" / "resources"
    return inside if inside.is_dir() else _root() / "resources"


def shipped_presets_dir() -> Path:
    """Presets that come with Pult (read-only)."""
    inside = Path(__file__).resolve().parents[1] / "_bundled" / "presets"
    return inside if inside.is_dir() else _root() / "presets"


def guide_model() -> Path:
    """The built-in model's file; may be missing in a build without it."""
    return resources_dir() / "guide" / "guide.gguf"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
