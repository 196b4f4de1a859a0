"""How much RAM may still be used, a container's limit counted."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free_ram_bytes() -> int:
    """Return what may still be used: the system's available RAM, or what a container's limit leaves of it."""
    free = int(psutil.virtual_memory().available)
    for limit_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _bytes_in(_CGROUP / limit_file), _bytes_in(_CGROUP / used_file)
        if limit is not None and used is not None:
            free = min(free, max(0, limit - used + _cached_bytes()))
    return free


def _cached_bytes() -> int:
    """File pages in the container's account can be given back, so they count as free."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        account = dict(line.split() for line in lines)
        return int(account["active_file"]) + int(account["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0


def _bytes_in(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None  # not Linux, no limit ("max"), or the other cgroup version
