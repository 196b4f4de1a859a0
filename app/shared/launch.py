"""How Pult starts itself again as another process: the same program, also when frozen."""

from __future__ import annotations

import subprocess
import sys


def program_command(*arguments: str) -> list[str]:
    """Return the command line that runs this program with `arguments`, frozen or from Python."""
    if getattr(sys, "frozen", False):
        return [sys.executable, *arguments]
    return [sys.executable, "-m", "app", *arguments]


def hidden_window_flags() -> int:
    """Creation flags that keep a console window from flashing up on Windows; 0 elsewhere."""
    return int(getattr(subprocess, "CREATE_NO_WINDOW", 0))
