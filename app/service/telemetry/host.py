"""RAM, swap and CPU of this machine, and the memory of Pult's own processes."""

from __future__ import annotations

import threading

import psutil

from app.shared.telemetry import HostSample, ProcessSample


class HostReader:
    """Reads the whole machine. The CPU's share is over the time since the last reading."""

    def __init__(self) -> None:
        self._cpus = psutil.cpu_count() or 1
        psutil.cpu_percent()  # the first call only sets the mark

    def read(self) -> HostSample:
        """Return the machine as it is now."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return HostSample(
            memory_total_bytes=memory.total,
            # What programs cannot have: the page cache of a mapped model file is not counted as used.
            memory_used_bytes=memory.total - memory.available,
            memory_available_bytes=memory.available,
            swap_total_bytes=swap.total,
            swap_used_bytes=swap.used,
            cpu_percent=psutil.cpu_percent(),
            cpu_count=self._cpus,
        )


class ProcessReader:
    """Reads Pult's own processes by role; those that ended drop out by themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[tuple[str, int], psutil.Process] = {}

    def watch(self, role: str, pid: int) -> None:
        """Read this process from now on. One that is not there is ignored."""
        try:
            process = psutil.Process(pid)
            process.cpu_percent()  # sets the mark
        except psutil.Error:
            return
        with self._lock:
            self._watched[role, pid] = process

    def read(self, *, engine_pid: int | None) -> tuple[ProcessSample, ...]:
        """Return the watched processes and the engine's."""
        with self._lock:
            engines = {pid for role, pid in self._watched if role == "engine"}
        for pid in engines - {engine_pid}:
            self._forget("engine", pid)
        if engine_pid is not None and engine_pid not in engines:
            self.watch("engine", engine_pid)
        with self._lock:
            watched = list(self._watched.items())
        samples = []
        for (role, pid), process in watched:
            try:
                with process.oneshot():
                    if not process.is_running():  # the number went to another process
                        raise psutil.NoSuchProcess(pid)
                    rss, cpu = process.memory_info().rss, process.cpu_percent()
            except psutil.Error:
                self._forget(role, pid)
                continue
            samples.append(ProcessSample(role=role, pid=pid, rss_bytes=rss, cpu_percent=cpu))
        return tuple(samples)

    def _forget(self, role: str, pid: int) -> None:
        with self._lock:
            self._watched.pop((role, pid), None)
