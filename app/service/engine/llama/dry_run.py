"""Laying a model out without reading its weights: the process behind exact forecasts.

The file is opened with `no_alloc` once for each set of load settings; a context on it takes milliseconds and is thrown away
as soon as its layout has been read. Nothing is ever computed on it: decoding on a dry context ends the process. Answers
one request at a time over stdin and stdout, and ends with stdin.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp

from app.forecast.layout import (
    VOCABULARY_ENTRY_BYTES,
    DeviceLayout,
    Gpu,
    Layout,
    LayoutReply,
    LayoutRequest,
    gpus_first,
)
from app.service.engine.llama import breakdown, native
from app.service.engine.llama.gguf_file import ModelHeader, read_header
from app.service.engine.llama.model import load_failure
from app.service.engine.llama.parameters import (
    ContextParameters,
    ModelParameters,
    Values,
    context_parameters,
    model_parameters,
)
from app.service.engine.llama.sampling import Chain, fits_backend, sampler_settings
from app.service.engine.worker import take_stdio
from app.shared import messages
from app.shared.engine import SettingValue
from app.shared.errors import EngineFailed, ErrorInfo, PultError
from app.shared.forecast import Sentence, sentence
from app.shared.settings import ModelFacts, Stage, check_values, settings

MOST_OPEN = 3  # each open file keeps its vocabulary in memory, some tens of megabytes
_GPU_KINDS = (1, 2)  # ggml_backend_dev_type: GPU, integrated GPU
_LOGIT_BYTES = 4
_AUTO_FLASH = -1


@dataclass
class _DryModel:
    """A file laid out with one set of load settings, and the layouts of the contexts tried on it."""

    pointer: Any
    header: ModelHeader
    parameters: ModelParameters
    vocabulary_size: int
    layouts: dict[tuple[ContextParameters, bool], Layout]


class DryRun:
    """Lays models out. `log` gets llama.cpp's lines."""

    def __init__(self, log: native.EngineLog = lambda level, source, text: None) -> None:
        self._said: deque[tuple[native.Level, str]] = deque(maxlen=20)
        self._log = log
        native.start(self._on_log)
        self._open: OrderedDict[str, _DryModel] = OrderedDict()
        self._headers: OrderedDict[tuple[str, int, int], ModelHeader] = OrderedDict()

    def layout(self, path: Path, given: dict[str, SettingValue]) -> Layout:
        """Return what loading `path` with these settings would reserve, by device.

        Raises what loading would raise: `BadValue`, `ModelUnreadable`, `ModelFileMissing`, `OutOfMemory`, `EngineFailed`.
        """
        self._said.clear()
        header = self._header(path)
        checked = check_values(given, _facts(header))
        values = Values(checked)
        wanted = context_parameters(values, header)
        model = self._model(header, checked, values)
        chosen = sampler_settings(values)
        sampled = model.parameters.output_on_gpu and fits_backend(chosen, model.vocabulary_size)
        known = model.layouts.get((wanted, sampled))
        if known is None:
            chain = Chain(chosen, model.vocabulary_size) if sampled else None
            try:
                known = self._measure(model, wanted, chain, mapped=values.switch("mmap", True))
            finally:
                if chain is not None:
                    chain.close()
            model.layouts[wanted, sampled] = known
        return known

    def close(self) -> None:
        """Let go of every file."""
        while self._open:
            self._close_one()

    def _header(self, path: Path) -> ModelHeader:
        """Read the header once for each state of the file: walking a vocabulary takes longer than a layout."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return read_header(path)  # it words what is wrong
        key = (str(path), status.st_mtime_ns, status.st_size)
        if key not in self._headers:
            while len(self._headers) >= MOST_OPEN:
                self._headers.popitem(last=False)
            self._headers[key] = read_header(path)
        return self._headers[key]

    def _model(self, header: ModelHeader, given: dict[str, SettingValue], values: Values) -> _DryModel:
        key = _model_key(header, given)
        model = self._open.get(key)
        if model is not None:
            self._open.move_to_end(key)
            return model
        while len(self._open) >= MOST_OPEN:
            self._close_one()
        parameters = model_parameters(values, header)
        parameters.native.no_alloc = True
        parameters.native.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE  # a map and no_alloc end in an abort
        pointer = llama_cpp.llama_model_load_from_file(str(header.path).encode(), parameters.native)
        if not pointer:
            raise load_failure(header, "\n".join(self._complaints()))
        vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(pointer))
        model = self._open[key] = _DryModel(pointer, header, parameters, int(vocabulary), {})
        return model

    def _close_one(self) -> None:
        _, oldest = self._open.popitem(last=False)
        llama_cpp.llama_model_free(oldest.pointer)

    def _measure(
        self, model: _DryModel, wanted: ContextParameters, chain: Chain | None, *, mapped: bool
    ) -> Layout:
        params = wanted.native()
        if chain is not None:
            config = (llama_cpp.llama_sampler_seq_config * 1)()
            config[0].seq_id = 0
            config[0].sampler = ctypes.cast(chain.pointer, ctypes.c_void_p)
            params.samplers = config
            params.n_samplers = 1
        context = llama_cpp.llama_init_from_model(model.pointer, params)
        if not context:
            reason = next((line for line in self._complaints() if line.strip()), "it gave no reason")
            raise EngineFailed(
                "llama.cpp cannot make a context of {context} tokens for {name}: {reason}.",
                context=wanted.context,
                name=model.header.path.name,
                reason=reason.strip().rstrip("."),
                details="\n".join(text for _, text in self._said),
                remedies=("edit_preset", "log"),
            )
        try:
            size = int(llama_cpp.llama_n_ctx(context))
            buffers = breakdown.read(context)
        finally:
            llama_cpp.llama_free(context)
        return Layout(
            exact=True,
            devices=_devices(buffers, mapped=mapped, vocabulary=model.vocabulary_size),
            context=size,
            notes=self._notes(wanted),
        )

    def _notes(self, wanted: ContextParameters) -> tuple[Sentence, ...]:
        switched_off = any("flash" in line.lower() and "disabled" in line.lower() for _, line in self._said)
        if wanted.flash_attention == _AUTO_FLASH and switched_off:
            return (sentence("llama.cpp turns flash attention off for this model and these cache types."),)
        return ()

    def _complaints(self) -> list[str]:
        """What llama.cpp said since the question came: its errors, or its warnings when there was none."""
        errors = [text for level, text in self._said if level == "error"]
        return errors or [text for _, text in self._said]

    def _on_log(self, level: native.Level, source: str, text: str) -> None:
        if level in ("error", "warning"):
            self._said.append((level, text))
        self._log(level, source, text)


def _model_key(header: ModelHeader, given: dict[str, SettingValue]) -> str:
    """The file as it is now and every load setting; mapping and locking do not matter to a dry run."""
    status = header.path.stat()
    table = settings()
    load = {
        key: value
        for key, value in sorted(given.items())
        if table[key].stage is Stage.LOAD and key not in ("mmap", "mlock")
    }
    return json.dumps([str(header.path), status.st_mtime_ns, header.file_bytes, load])


def _facts(header: ModelHeader) -> ModelFacts:
    return ModelFacts(
        architecture=header.architecture,
        experts=header.number("expert_count") or 0,
        experts_trained=header.number("expert_used_count"),
        trained_context=header.number("context_length"),
    )


def _devices(
    buffers: tuple[breakdown.BufferBytes, ...], *, mapped: bool, vocabulary: int
) -> tuple[DeviceLayout, ...]:
    """Add the buffer types up by device: pinned, repacked and plain host buffers are all RAM."""
    names = {name: words for name, _, words in (told.partition(" ") for told in native.devices())}
    ram = DeviceLayout(
        name="RAM",
        kind="ram",
        output_bytes=vocabulary * _LOGIT_BYTES,
        vocabulary_bytes=vocabulary * VOCABULARY_ENTRY_BYTES,
    )
    sums = {"RAM": ram}
    for buffer in buffers:
        on_gpu = buffer.kind in _GPU_KINDS and not buffer.host
        name = buffer.device if on_gpu else "RAM"
        before = sums.get(name) or DeviceLayout(name=name, kind="gpu", description=names.get(name, ""))
        # Only what lies as in the file can be mapped: repacked weights are copies of their own.
        from_file = buffer.weights if mapped and not on_gpu and buffer.host else 0
        sums[name] = before.model_copy(
            update={
                "weights_bytes": before.weights_bytes + buffer.weights,
                "kv_bytes": before.kv_bytes + buffer.cache,
                "compute_bytes": before.compute_bytes + buffer.compute,
                "mapped_bytes": before.mapped_bytes + from_file,
            }
        )
    return gpus_first(list(sums.values()))


def _gpus() -> tuple[Gpu, ...]:
    return tuple(
        Gpu(name=name, description=words, free_bytes=free, capacity_bytes=total)
        for name, words, free, total in native.gpu_memory()
    )


def _answer(dry: DryRun, request: LayoutRequest) -> LayoutReply:
    try:
        return LayoutReply(id=request.id, layout=dry.layout(Path(request.model_path), dict(request.values)))
    except PultError as problem:
        return LayoutReply(id=request.id, error=problem.info())
    except LookupError as problem:
        sys.stderr.write(f"The memory breakdown cannot be read: {problem}\n")
        return LayoutReply(id=request.id, available=False)
    except Exception as problem:  # noqa: BLE001  # the process border: reported to who asked
        return LayoutReply(id=request.id, error=_unforeseen(problem))


def _unforeseen(problem: Exception) -> ErrorInfo:
    return EngineFailed(
        "The forecast failed in a way it did not foresee: {reason}. The log has the details.",
        reason=f"{type(problem).__name__}: {problem}"[:300],
    ).info()


def main() -> int:
    """Run as `--worker forecast`: greet, then answer layout requests until stdin ends."""
    requests, outgoing = take_stdio()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service decides when this process ends
    dry = DryRun(lambda level, source, text: _to_stderr(level, text))
    offload = native.can_offload()
    greeting = LayoutReply(
        id="", available=breakdown.available(), gpus=_gpus() if offload else (), gpu_offload=offload
    )
    try:
        messages.write_frame(outgoing, greeting)
        while (frame := messages.read_frame(requests)) is not None:
            messages.write_frame(outgoing, _answer(dry, LayoutRequest.model_validate_json(frame)))
    except BrokenPipeError:
        return 0  # nobody listens any more
    dry.close()
    return 0


def _to_stderr(level: native.Level, text: str) -> None:
    if level in ("error", "warning"):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
