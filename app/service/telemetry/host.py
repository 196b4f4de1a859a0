"""RAM, swap and CPU of the machine, and Pult's own processes, over psutil."""

from __future__ import annotations

import psutil

from app.shared.telemetry import HostSample, ProcessSample


def read_host() -> HostSample:
    """Return the machine's state; CPU percent is since the last call."""
    memory = psutil.virtual_memory()
    try:
        swap = psutil.swap_memory()
        swap_total, swap_used = int(swap.total), int(swap.used)
    except (OSError, RuntimeError):
        swap_total = swap_used = 0  # some containers hide it; the machine then has none to use
    return HostSample(
        memory_total_bytes=int(memory.total),
        memory_used_bytes=int(memory.total - memory.available),
        memory_available_bytes=int(memory.available),
        swap_total_bytes=swap_total,
        swap_used_bytes=swap_used,
        cpu_percent=float(psutil.cpu_percent()),
        cpu_count=psutil.cpu_count() or 1,
    )


class Processes:
    """Pult's processes by role; ended ones drop out by themselves."""

    def __init__(self) -> None:
        self._known: dict[str, psutil.Process] = {}

    def set(self, role: str, pid: int | None) -> None:
        """Watch `pid` under `role` from now on; None stops."""
        present = self._known.get(role)
        if present is not None and present.pid == pid:
            return
        self._known.pop(role, None)
        if pid is None:
            return
        try:
            process = psutil.Process(pid)
            process.cpu_percent()  # the first call only starts the measurement
            self._known[role] = process
        except psutil.Error:
            return  # ended between being named and being looked at

    def read(self) -> tuple[ProcessSample, ...]:
        """Return RSS and CPU of those that live."""
        samples: list[ProcessSample] = []
        for role, process in list(self._known.items()):
            try:
                with process.oneshot():
                    rss, cpu = process.memory_info().rss, process.cpu_percent()
            except psutil.Error:
                del self._known[role]
                continue
            samples.append(
                ProcessSample(role=role, pid=process.pid, rss_bytes=int(rss), cpu_percent=float(cpu))
            )
        return tuple(samples)
