"""What is known of a file's experts: asked of a child process once, kept for this process and on disk.

The child (`experts_study`) may abort; that is how llama.cpp says that a graph is too large. It sees no GPU, so that it takes
no memory there; the graph has the same nodes without one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import llama_cpp

from app.models.gguf_header import split_parts
from app.service.engine.base import StopFlag
from app.service.engine.llama.gguf_file import ModelHeader
from app.service.engine.llama.live_experts import Findings, Layout
from app.service.engine.llama.native import EngineLog
from app.service.engine.llama.parameters import KV_TYPES, ContextParameters
from app.shared.atomic_file import write_atomically
from app.shared.errors import Cancelled, StorageFailed
from app.shared.launch import hidden_window_flags, program_command
from app.shared.paths import cache_dir

_PATIENCE_SECONDS = 60.0
_KEPT_FILES = 64
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "GGML_VK_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}
_known: dict[str, Findings] = {}  # of this process


@dataclass(frozen=True)
class Question:
    """What the child is asked: the file, and the context whose graph has to have room."""

    path: str
    architecture: str
    experts: int
    wanted: int
    context: ContextParameters

    def key(self) -> str:
        """Name the answer: it holds for this file, this llama.cpp and graphs of this kind."""
        parts = [
            (str(part), stat.st_size, stat.st_mtime_ns)
            for part in split_parts(Path(self.path))
            for stat in (part.stat(),)
        ]
        library = Path(llama_cpp.llama_cpp._lib._name)
        built = (
            (llama_cpp.__version__, library.stat().st_mtime_ns)
            if library.is_file()
            else llama_cpp.__version__
        )
        asked = (parts, built, asdict(self.context))
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]


def question(header: ModelHeader, context: ContextParameters, *, wanted: int, gpu: bool) -> Question:
    """Return what to ask for `header`'s file in such a context, cut down to what a graph's size depends on."""
    flash = context.flash_attention
    if gpu and flash < 0:  # decided on the GPU, which the child does not see: take the larger graph
        flash = 0 if context.kv_v in (KV_TYPES["f32"], KV_TYPES["f16"], KV_TYPES["bf16"]) else 1
    plain = replace(
        context,
        context=max(context.ubatch, 256),
        batch=context.ubatch,
        threads=1,
        batch_threads=1,
        flash_attention=flash,
        rope_scaling=-1,
        rope_base=0.0,
        rope_scale=0.0,
        yarn_original_context=0,
    )
    return Question(
        path=os.fspath(header.path),
        architecture=header.architecture,
        experts=header.number("expert_count") or 0,
        wanted=wanted,
        context=plain,
    )


class Study:
    """One question under way, beside the loading of the weights. Leaving it ends the child.

    `alive` is called while it is waited for, which has a limit of its own: a slow machine must not look like a hang.
    """

    def __init__(self, asked: Question, log: EngineLog, alive: Callable[[], None] = lambda: None) -> None:
        self._asked = asked
        self._log = log
        self._alive = alive
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: list[bytes] = []
        self._reader: threading.Thread | None = None
        self._findings = _recall(asked)

    def __enter__(self) -> Study:
        if self._findings is None:
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            child.kill()
        child.wait()
        if self._reader is not None:
            self._reader.join()
        if child.stdout is not None:
            child.stdout.close()
        self._child = None

    def findings(self, stop: StopFlag) -> Findings:
        """Wait for the answer. Raises `Cancelled` when `stop` is set first."""
        if self._findings is None:
            self._findings = self._wait(stop)
        return self._findings

    def _start(self) -> None:
        environment = {**os.environ, **_NO_GPU, "GGML_NO_BACKTRACE": "1"}
        environment.pop("PULT_FAULT", None)
        try:
            self._child = subprocess.Popen(
                program_command("--worker", "engine", "--study", "experts"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                creationflags=hidden_window_flags(),
            )
        except OSError as error:
            self._findings = Findings(
                reason=f"the process that tries it out could not be started ({error.strerror})"
            )
            return
        stdin = self._child.stdin
        assert stdin is not None
        with contextlib.suppress(OSError), stdin:  # an early end shows in what it says, which is nothing
            stdin.write(json.dumps(asdict(self._asked)).encode())
        self._reader = threading.Thread(target=self._read, name="experts study", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        child = self._child
        assert child is not None and child.stdout is not None
        self._lines.extend(child.stdout)

    def _wait(self, stop: StopFlag) -> Findings:
        child, reader = self._child, self._reader
        assert child is not None and reader is not None
        waited = 0.0
        while reader.is_alive() and waited < _PATIENCE_SECONDS:
            if stop.is_set():
                raise Cancelled("Loading {name} was cancelled.", name=Path(self._asked.path).name)
            reader.join(0.02)
            waited += 0.02
            self._alive()
        if reader.is_alive():
            return Findings(reason=f"trying it out took over {_PATIENCE_SECONDS:.0f} seconds")
        status = child.wait()
        found = _read_answer(self._lines, self._asked, aborted=status != 0)
        _keep(self._asked, found)
        self._log("info", "worker", _in_words(found, self._asked))
        return found


def _read_answer(lines: list[bytes], asked: Question, *, aborted: bool) -> Findings:
    said = [json.loads(line) for line in lines if line.endswith(b"\n")]
    fits = [int(words["fits"]) for words in said if "fits" in words]
    place = next((words for words in said if "offsets" in words), None)
    if place is None:
        return Findings(reason="the process that tries it out ended without an answer")
    if not place["offsets"]:
        # Only one number was tried. Where it had no room, all that is known is that fewer have.
        limit = max(1, asked.wanted - 1) if aborted and not fits else None
        return Findings(limit=limit, reason=str(place["reason"]))
    if not fits:
        return Findings(reason="no graph could be made for this model without its weights")
    return Findings(Layout(int(place["struct_bytes"]), tuple(place["offsets"])), limit=max(fits))


def _in_words(found: Findings, asked: Question) -> str:
    if found.layout is None:
        return f"Experts per token change by loading again: {found.reason}."
    layers = len(found.layout.offsets)
    return f"Experts per token: 1 to {found.limit} of {asked.experts} have room in the graph; found in {layers} layers."


def _recall(asked: Question) -> Findings | None:
    key = asked.key()
    found = _known.get(key) or _from_disk().get(key)
    if found is not None:
        _known[key] = found
    return found


def _keep(asked: Question, found: Findings) -> None:
    """Keep what was found; what failed may go better the next time."""
    if found.layout is None:
        return
    key = asked.key()
    _known[key] = found
    kept = {**{name: one for name, one in _from_disk().items() if name != key}, key: found}
    newest = dict(list(kept.items())[-_KEPT_FILES:])
    with contextlib.suppress(StorageFailed):  # it is only asked again next time
        write_atomically(_file(), json.dumps({name: asdict(one) for name, one in newest.items()}, indent=1))


def _from_disk() -> dict[str, Findings]:
    """Read what was kept; a file that cannot be read or understood is as good as none."""
    try:
        kept = json.loads(_file().read_text("utf-8"))
        return {key: _from_json(words) for key, words in kept.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _from_json(words: dict[str, object]) -> Findings:
    layout = words["layout"]
    limit = words["limit"]
    return Findings(
        layout=Layout(int(layout["struct_bytes"]), tuple(int(offset) for offset in layout["offsets"]))
        if isinstance(layout, dict)
        else None,
        limit=int(limit) if isinstance(limit, int) else None,
        reason=str(words["reason"]),
    )


def _file() -> Path:
    return cache_dir() / "experts.json"
