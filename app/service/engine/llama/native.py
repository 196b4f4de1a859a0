"""The process-wide side of llama.cpp: its start, its log, its devices, and what it was built with."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any, Literal

os.environ.setdefault(
    "GGML_NO_BACKTRACE", "1"
)  # else an abort attaches gdb, if there is one, and waits for it

import llama_cpp
from llama_cpp import _ggml

Level = Literal["debug", "info", "warning", "error"]
EngineLog = Callable[[Level, str, str], None]  # level, source, one line

_LEVELS: dict[int, Level] = {1: "debug", 2: "info", 3: "warning", 4: "error"}  # ggml_log_level
_CONTINUED = 5
_CPU, _GPU, _IGPU = 0, 1, 2  # ggml_backend_dev_type

_started = False
_log: EngineLog | None = None
_level: Level = "info"
_line = ""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes function type
def _on_log(level: int, text: bytes | None, _user_data: object) -> None:
    """Gather llama.cpp's pieces into lines; a piece of level 5 continues the line before it."""
    global _level, _line
    if level != _CONTINUED:
        _level = _LEVELS.get(level, "info")
    if _level == "debug":
        return  # llama.cpp's builders' notes: many a token, and of no use to the person
    _line += (text or b"").decode("utf-8", "replace")
    *lines, _line = _line.split("\n")
    for line in lines:
        if line.strip(" .") and _log is not None:
            _log(_level, "llama.cpp", line.rstrip())


def start(log: EngineLog) -> None:
    """Start llama.cpp once for this process; its log goes to `log` from now on, a line at a time, from any
    thread."""
    global _started, _log
    _log = log
    if _started:
        return
    _started = True
    llama_cpp.llama_log_set(_on_log, None)
    llama_cpp.llama_backend_init()


def version() -> str:
    """The bindings' version and what the CPU part was built with, for the About page and the log."""
    return f"llama-cpp-python {llama_cpp.__version__}, llama.cpp {llama_cpp.llama_version().decode()}"


def can_offload() -> bool:
    """Whether this build can put layers on a GPU; without it gpu_layers is silently ignored by llama.cpp."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def devices() -> tuple[str, ...]:
    """Return the devices that llama.cpp sees, GPUs first: `CUDA0 NVIDIA H200`, `CPU`."""
    found: list[str] = []
    for index in range(function("ggml_backend_dev_count", ctypes.c_size_t)()):
        device = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)(index)
        kind = function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(device)
        name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)(device).decode()
        words = function("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)(device).decode()
        found.append(f"{name} {words}".strip() if kind != _CPU else name)
    return tuple(sorted(found, key=lambda name: name == "CPU"))


def gpu_memory() -> tuple[tuple[str, str, int, int], ...]:
    """Return name, description, free and total bytes of every GPU; asking may start the driver in this process."""
    found: list[tuple[str, str, int, int]] = []
    for index in range(function("ggml_backend_dev_count", ctypes.c_size_t)()):
        device = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)(index)
        if function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(device) not in (_GPU, _IGPU):
            continue
        name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)(device).decode()
        words = function("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)(device).decode()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        sizes = (ctypes.POINTER(ctypes.c_size_t),) * 2
        ask = function("ggml_backend_dev_memory", None, ctypes.c_void_p, *sizes)
        ask(device, ctypes.byref(free), ctypes.byref(total))
        found.append((name, words, free.value, total.value))
    return tuple(found)


def cpu_buffer_type() -> int:
    """The buffer type that keeps tensors in ordinary RAM (`ggml_backend_cpu_buffer_type`)."""
    return int(function("ggml_backend_cpu_buffer_type", ctypes.c_void_p)())


def function(name: str, result: Any, *arguments: Any) -> Any:
    """Look up a ggml function that the bindings do not list; it may live in any of ggml's libraries."""
    found = getattr(_ggml.libggml, name)
    found.restype = result
    found.argtypes = list(arguments)
    return found
