"""How a worker ended, in one sentence: what happened, to which model, with which values, and what to change.

Pure functions over what the supervisor saw: the way the process ended, the last lines it wrote, the plan, the memory's counters.
No exit codes and no signal numbers reach a person; the raw material goes into the error's `details`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.shared.engine import LoadedModel, LoadPlan
from app.shared.errors import EngineDied, EngineHung
from app.shared.units import Value

DETAIL_LINES = 60
QUOTE_LENGTH = 220
TOLD_SETTINGS = (
    "context",
    "experts",
    "gpu_layers",
    "moe_cpu_layers",
    "kv_k",
    "kv_v",
    "batch",
    "ubatch",
    "flash_attention",
    "rope_scaling",
    "tensor_split",
)
DOING = {
    "start": "starting for",
    "load": "loading",
    "prefill": "reading the prompt for",
    "decode": "writing an answer with",
    "count": "counting tokens with",
    None: "holding",
}


@dataclass(frozen=True)
class MemoryWatch:
    """The machine's memory when the worker began, and how often anything had been killed for want of it by then."""

    available_bytes: int | None
    kills: int | None

    @classmethod
    def begin(cls) -> MemoryWatch:
        """Take the present state; parts the system does not tell are None."""
        return cls(available_bytes=_available_bytes(), kills=oom_kills())

    def killed_since(self) -> bool:
        """Whether the system has ended some process for want of memory since `begin`."""
        now = oom_kills()
        return self.kills is not None and now is not None and now > self.kills


@dataclass(frozen=True)
class Circumstances:
    """What the supervisor knew when the worker ended."""

    plan: LoadPlan | None
    model: LoadedModel | None
    phase: str | None  # "start", "load", "prefill", "decode", "count" or None when idle
    stderr: tuple[str, ...]
    engine_log: tuple[str, ...]
    memory: MemoryWatch
    restarts: bool = True
    out_of_memory: bool | None = None  # None: ask `memory`

    @property
    def name(self) -> str:
        if self.model is not None:
            return self.model.name
        if self.plan is not None and self.plan.model_path:
            return Path(self.plan.model_path).name
        return "the model"

    @property
    def doing(self) -> str:
        return DOING.get(self.phase, "working with")

    @property
    def settings(self) -> str:
        """The load settings that differ from the defaults, in the command line's words: `context=131072, experts=4`."""
        values = self.plan.values if self.plan is not None else {}
        told = [f"{key}={values[key]}" for key in TOLD_SETTINGS if key in values]
        return ", ".join(told) or "default settings"


def oom_kills(proc: Path = Path("/proc/vmstat"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return how many processes the kernel has killed for want of memory, machine and control group together.

    None where the system keeps no such count (everything but Linux).
    """
    counts = [
        count
        for count in (_counter(proc, "oom_kill"), _counter(cgroup / "memory.events", "oom_kill"))
        if count is not None
    ]
    return sum(counts) if counts else None


def _counter(file: Path, name: str) -> int | None:
    try:
        text = file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return int(found.group(1)) if found else None


def _available_bytes() -> int | None:
    try:
        return int(psutil.virtual_memory().available)
    except (OSError, psutil.Error):
        return None


def hung(seen: Circumstances, *, seconds: float, asked_to_stop: bool) -> EngineHung:
    """Return the sentence for a worker that was ended because it made no step for `seconds`."""
    what = (
        "The engine did not stop within {waited_seconds} of being asked to while {doing} {model} ({settings}), so it was"
        " ended: load the model again, with a smaller batch if it happens often."
        if asked_to_stop
        else "The engine made no step for {waited_seconds} while {doing} {model} ({settings}), so it was ended: load it"
        " again, with fewer GPU layers or a smaller batch if it happens twice."
    )
    return EngineHung(
        what,
        waited_seconds=float(seconds),
        doing=seen.doing,
        model=seen.name,
        settings=seen.settings,
        details=_details(seen, "ended by the supervisor"),
    )


def obituary(seen: Circumstances, returncode: int | None) -> EngineDied:
    """Return the sentence for a worker that ended by itself; `returncode` is `Popen.returncode`."""
    text = "\n".join((*seen.engine_log, *seen.stderr))
    cause = _from_text(text, seen) or _from_exit(returncode, seen, text)
    return EngineDied(
        cause.template,
        model=seen.name,
        doing=seen.doing,
        settings=seen.settings,
        remedies=cause.remedies,
        details=_details(seen, f"exit status {returncode}"),
        **cause.values,
    )


@dataclass(frozen=True)
class _Cause:
    template: str
    values: dict[str, Value]
    remedies: tuple[str, ...]


MEMORY_REMEDIES = ("fit", "edit_preset", "log")
PRESET_REMEDIES = ("edit_preset", "reload", "log")
AGAIN_REMEDIES = ("reload", "log")

_DEVICE_MEMORY = re.compile(
    r"(?:allocating|allocate)\s+([\d.]+)\s*MiB on device (\d+)[^\n]*out of memory|"
    r"(?:CUDA|HIP|Vulkan|vk|ErrorOutOfDeviceMemory)[^\n]{0,80}out of (?:device )?memory|ErrorOutOfDeviceMemory",
    re.IGNORECASE,
)
_HOST_MEMORY = re.compile(
    r"failed to allocate[^\n]{0,80}?(?:buffer|memory)[^\n]{0,40}?(?:size\s+(\d+))?|std::bad_alloc|MemoryError|"
    r"Cannot allocate memory",
    re.IGNORECASE,
)
_ASSERT = re.compile(r"GGML_ASSERT\((.{1,400}?)\) failed", re.DOTALL)
_THROWN = re.compile(r"what\(\):\s*(.+)")
_DEVICE_ERROR = re.compile(r"(?:CUDA|HIP|Vulkan|Metal) error:?\s*(.+)", re.IGNORECASE)
_ABORT = re.compile(r"(?:^|\n)[^\n]*?(?:\.cpp|\.c|\.cu|\.h|\.m):\d+: (?!GGML_ASSERT)([^\n]+)")
_PYTHON = re.compile(r"(?:^|\n)((?:[A-Za-z_][\w.]*)?(?:Error|Exception|Interrupt)\b(?:: [^\n]*)?)\s*(?:$|\n)")

# What an assertion of llama.cpp is about → the settings at fault. Checked in order.
_ASSERTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"n_expert", re.I),
        "llama.cpp refused the number of experts per token while {doing} {model} ({settings}): choose one between 1 and"
        " what the file has, and fewer if it is already below that.",
    ),
    (
        re.compile(r"n_batch|n_ubatch|n_tokens_all|n_tokens <=|batch\.n_tokens", re.I),
        "llama.cpp refused the batch size while {doing} {model} ({settings}): set the batch no larger than the context and"
        " the micro-batch no larger than the batch.",
    ),
    (
        re.compile(r"type_[kv]|blck_size|GGML_TYPE_COUNT|type < |flash|n_embd_head_[kv]", re.I),
        "llama.cpp refused the type of the KV cache while {doing} {model} ({settings}): set K and V to f16 or q8_0 and"
        " flash attention to automatic.",
    ),
    (
        re.compile(r"rope|yarn", re.I),
        "llama.cpp refused the RoPE settings while {doing} {model} ({settings}): set RoPE scaling back to as in the file.",
    ),
    (
        re.compile(r"n_ctx|kv_size|cells|mem_size", re.I),
        "llama.cpp refused the context size while {doing} {model} ({settings}): choose a smaller context.",
    ),
)


def _from_text(text: str, seen: Circumstances) -> _Cause | None:
    """Read the cause from the last lines: abort texts name it better than the way the process ended."""
    if found := _last(_DEVICE_MEMORY, text):
        asked = found.group(1)
        if asked is not None:
            return _Cause(
                "The graphics memory ran out while {doing} {model} ({settings}): device {device} had no {asked_bytes} left,"
                " so use fewer GPU layers, a smaller context or a smaller KV cache type.",
                {"asked_bytes": int(float(asked) * 2**20), "device": found.group(2)},
                MEMORY_REMEDIES,
            )
        return _Cause(
            "The graphics memory ran out while {doing} {model} ({settings}): use fewer GPU layers, a smaller context or a"
            " smaller KV cache type.",
            {},
            MEMORY_REMEDIES,
        )
    if found := _last(_ASSERT, text):
        for pattern, template in _ASSERTS:
            if pattern.search(found.group(1)):
                return _Cause(template, {}, PRESET_REMEDIES)
        return _Cause(
            "llama.cpp stopped at a check of its own while {doing} {model} ({settings}): it expected “{said}”, so go back to"
            " the settings that worked, or try another file.",
            {"said": _quote(found.group(1))},
            PRESET_REMEDIES,
        )
    if found := _last(_HOST_MEMORY, text):
        return _no_ram(seen, int(found.group(1)) if found.group(1) else None)
    for pattern in (_THROWN, _DEVICE_ERROR, _ABORT):
        if found := _last(pattern, text):
            return _Cause(
                "llama.cpp gave up while {doing} {model} ({settings}) and said “{said}”: load it again, with other settings"
                " if it happens twice.",
                {"said": _quote(found.group(1))},
                PRESET_REMEDIES,
            )
    return None


def _no_ram(seen: Circumstances, asked_bytes: int | None = None) -> _Cause:
    values: dict[str, Value] = {"free_bytes": seen.memory.available_bytes}
    asked = ""
    if asked_bytes is not None:
        asked = " and {asked_bytes} were asked for at once"
        values["asked_bytes"] = asked_bytes
    return _Cause(
        "The computer's memory ran out while {doing} {model} ({settings}); {free_bytes} were free before"
        + asked
        + ": use a smaller context, a smaller KV cache type or a smaller file, or close other programs.",
        values,
        MEMORY_REMEDIES,
    )


_SIGNALS = {
    "SIGSEGV": (
        "llama.cpp crashed while {doing} {model} ({settings}), reading memory that is not its own: load it again, and go back"
        " to the settings that worked if it happens twice.",
        PRESET_REMEDIES,
    ),
    "SIGABRT": (
        "llama.cpp gave up while {doing} {model} ({settings}) without saying why: go back to the settings that worked, or"
        " load it again.",
        PRESET_REMEDIES,
    ),
    "SIGBUS": (
        "The engine could not read on in the file while {doing} {model} ({settings}): see that the file was not changed and"
        " its disk still answers, then load it again.",
        ("choose_model", "reload", "log"),
    ),
    "SIGILL": (
        "This build of llama.cpp uses processor instructions that this computer does not have, and ended while {doing}"
        " {model} ({settings}): install a build for this processor.",
        ("log",),
    ),
    "SIGFPE": (
        "llama.cpp divided by zero while {doing} {model} ({settings}): go back to the settings that worked, or try another"
        " file.",
        PRESET_REMEDIES,
    ),
    "SIGKILL": (
        "The engine was ended from outside while {doing} {model} ({settings}), by the system or another program: if memory"
        " was short ({free_bytes} were free before), use a smaller context, and load it again.",
        MEMORY_REMEDIES,
    ),
}
_ASKED_TO_END = (
    "Another program or the system asked the engine to end while {doing} {model} ({settings}): load it again.",
    AGAIN_REMEDIES,
)
# Windows says how a process ended in NTSTATUS values; each is worded like the signal that means the same.
_WINDOWS = {
    0xC0000005: "SIGSEGV",
    0xC00000FD: "SIGSEGV",
    0xC0000374: "SIGSEGV",
    0xC0000006: "SIGBUS",
    0xC000001D: "SIGILL",
    0xC0000094: "SIGFPE",
    0xC0000409: "SIGABRT",
    0x40000015: "SIGABRT",
    0xC000013A: "SIGTERM",
    0x40010004: "SIGTERM",
    0xC0000017: "memory",
    0xC000012D: "memory",
    0xC000009A: "memory",
    0xC0000135: "library",
    0xC0000139: "library",
    0xC0000142: "library",
    0xC000007B: "library",
}


def _from_exit(returncode: int | None, seen: Circumstances, text: str) -> _Cause:
    word = _word(returncode)
    starved = seen.memory.killed_since() if seen.out_of_memory is None else seen.out_of_memory
    if word == "memory" or (word == "SIGKILL" and starved):
        return _no_ram(seen)
    if word == "library":
        return _Cause(
            "The engine's process cannot start for {model} ({settings}), because a library that llama.cpp needs is missing:"
            " install Pult again, or the driver of the graphics card.",
            {},
            ("log",),
        )
    if word in _SIGNALS:
        template, remedies = _SIGNALS[word]
        values: dict[str, Value] = (
            {"free_bytes": seen.memory.available_bytes} if "{free_bytes}" in template else {}
        )
        return _Cause(template, values, remedies)
    if word is not None:
        return _Cause(*_plain(_ASKED_TO_END))
    if found := _last(_PYTHON, text):
        return _Cause(
            "The engine ended while {doing} {model} ({settings}) and said “{said}”: load it again; the log has the rest.",
            {"said": _quote(found.group(1))},
            AGAIN_REMEDIES,
        )
    return _Cause(
        "The engine ended by itself while {doing} {model} ({settings}) without saying why: load it again; the log has its"
        " last lines.",
        {},
        AGAIN_REMEDIES,
    )


def _plain(pair: tuple[str, tuple[str, ...]]) -> tuple[str, dict[str, Value], tuple[str, ...]]:
    return pair[0], {}, pair[1]


def _word(returncode: int | None) -> str | None:
    """Name what ended the process: a signal's name, "memory", "library", or None for a plain exit."""
    if returncode is None:
        return None
    if returncode < 0 and -returncode < 65:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return "SIGTERM"  # a real-time signal: sent by someone
    code = returncode & 0xFFFFFFFF
    if code in _WINDOWS:
        return _WINDOWS[code]
    if returncode == 3 and os.name == "nt":  # what abort() of Microsoft's runtime ends with
        return "SIGABRT"
    if 128 < returncode < 160:  # a shell's way to tell of a signal
        return _word(128 - returncode)
    return None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    every = list(pattern.finditer(text))
    return every[-1] if every else None


def _quote(text: str) -> str:
    """Return foreign words fit to stand inside a sentence: one line, no exclamation, not endless."""
    words = " ".join(text.replace("!", "").split()).strip(" .“”\"'")
    return words if len(words) <= QUOTE_LENGTH else words[:QUOTE_LENGTH].rsplit(" ", 1)[0] + " …"


def _details(seen: Circumstances, how: str) -> str:
    lines: Iterable[str] = (*seen.engine_log[-DETAIL_LINES:], *seen.stderr[-DETAIL_LINES:])
    return "\n".join((f"worker: {how}", *lines))
