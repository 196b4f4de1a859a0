"""Loaded weights and their vocabulary: loading with progress and cancel, tokenizing, and what the file
says."""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Callable
from pathlib import Path

import llama_cpp

from app.service.engine import thought, tool_calls
from app.service.engine.base import StopFlag
from app.service.engine.chat_format import ChatTemplate
from app.service.engine.llama.gguf_file import ModelHeader
from app.service.engine.llama.parameters import ModelParameters
from app.shared.errors import Cancelled, EngineFailed, ModelUnreadable, OutOfMemory

_FILE_TYPES = {
    name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_"): value
    for name, value in vars(llama_cpp).items()
    if name.startswith("LLAMA_FTYPE_") and isinstance(value, int)
}
_WRITTEN = {mark.encode() for mark in (thought.OPEN, thought.CLOSE, tool_calls.OPEN, tool_calls.CLOSE)}


class Model:
    """A model in memory. Free it only after every context made from it (`close`); llama.cpp crashes
    otherwise."""

    def __init__(self, pointer: int, header: ModelHeader, parameters: ModelParameters) -> None:
        self.pointer: int | None = pointer
        self.header = header
        self.gpu_layers = parameters.gpu_layers
        self.output_on_gpu = parameters.output_on_gpu
        self.vocabulary: int = llama_cpp.llama_model_get_vocab(pointer)
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        self.experts = header.number("expert_count") or None
        self.experts_trained = header.number("expert_used_count") if self.experts else None
        self.experts_used = parameters.experts or self.experts_trained
        self.rolls_back = not (
            llama_cpp.llama_model_is_recurrent(pointer)
            or llama_cpp.llama_model_is_hybrid(pointer)
            or llama_cpp.llama_model_n_swa(pointer) > 0
        )
        self.recurrent = bool(
            llama_cpp.llama_model_is_recurrent(pointer) or llama_cpp.llama_model_is_hybrid(pointer)
        )
        self._adds_bos: bool = llama_cpp.llama_vocab_get_add_bos(self.vocabulary)
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        self._buffer = ctypes.create_string_buffer(512)
        source = header.values.get("tokenizer.chat_template")
        self.template = ChatTemplate(
            source if isinstance(source, str) and source else None,
            bos=self._special(llama_cpp.llama_vocab_bos),
            eos=self._special(llama_cpp.llama_vocab_eos),
        )

    def close(self) -> None:
        """Free the weights."""
        if self.pointer is not None:
            llama_cpp.llama_model_free(self.pointer)
            self.pointer = None

    @property
    def description(self) -> str:
        """llama.cpp's own line: `qwen3moe 30B.A3B Q4_K - Medium`."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def parameter_count(self) -> int:
        return int(llama_cpp.llama_model_n_params(self.pointer))

    @property
    def quantisation(self) -> str | None:
        """The short name of the file's type: `Q4_K_M`."""
        kind = self.header.values.get("general.file_type")
        return next((name for name, value in _FILE_TYPES.items() if value == kind), None)

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a rendered prompt, special ones recognised.

        A BOS token is added where the model wants one and the template did not write it.
        """
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 8
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), tokens, room, False, True)
        if count < 0:
            raise EngineFailed(
                "The tokenizer failed on a text of {length} characters. The log says more.", length=len(text)
            )
        found: list[int] = tokens[:count]
        if self._adds_bos:
            bos = llama_cpp.llama_vocab_bos(self.vocabulary)
            if bos != llama_cpp.LLAMA_TOKEN_NULL and (not found or found[0] != bos):
                found.insert(0, bos)
        return found

    def piece(self, token: int) -> bytes:
        """Return the bytes that `token` writes; control tokens write nothing, but the marks of thought
        and tools."""
        known = self._pieces.get(token)
        if known is None:
            known = self._read_piece(token, special=True)
            if self._is_control(token) and known not in _WRITTEN:
                known = b""
            self._pieces[token] = known
        return known

    def ends(self, token: int) -> bool:
        """Whether `token` ends an answer."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))
        return known

    def text(self, tokens: list[int]) -> str:
        """Return the text of `tokens`."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return "".join(decoder.decode(self.piece(token)) for token in tokens)

    def _is_control(self, token: int) -> bool:
        return bool(llama_cpp.llama_vocab_is_control(self.vocabulary, token))

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        length = llama_cpp.llama_token_to_piece(
            self.vocabulary, token, self._buffer, len(self._buffer), 0, special
        )
        if length < 0:
            self._buffer = ctypes.create_string_buffer(-length)
            return self._read_piece(token, special=special)
        return bytes(self._buffer.raw[:length])

    def _special(self, which: Callable[[int], int]) -> str:
        token = which(self.vocabulary)
        return "" if token < 0 else self._read_piece(token, special=True).decode("utf-8", "replace")


def load_model(
    header: ModelHeader,
    parameters: ModelParameters,
    *,
    progress: Callable[[float], None],
    stop: StopFlag,
    errors: Callable[[], str],
) -> Model:
    """Read the weights of `header`'s file; `progress` gets 0…1.

    `errors` returns what llama.cpp last logged as errors, for the sentence. Raises `Cancelled`,
    `OutOfMemory`, `ModelUnreadable`.
    """
    highest = 0.0

    @llama_cpp.llama_progress_callback  # type: ignore[untyped-decorator]  # ctypes function type
    def on_progress(fraction: float, _user_data: object) -> bool:
        nonlocal highest
        highest = max(highest, fraction)
        progress(highest)
        return not stop.is_set()

    parameters.native.progress_callback = on_progress
    pointer = llama_cpp.llama_model_load_from_file(str(header.path).encode(), parameters.native)
    parameters.native.progress_callback = llama_cpp.llama_progress_callback(0)
    if pointer:
        return Model(pointer, header, parameters)
    if stop.is_set():
        raise Cancelled("Loading {name} was cancelled.", name=header.path.name)
    raise load_failure(header, errors())


def load_failure(header: ModelHeader, log: str) -> OutOfMemory | ModelUnreadable:
    """Word what llama.cpp said when a load came to nothing."""
    words = log.lower()
    if any(
        mark in words for mark in ("out of memory", "failed to allocate", "unable to allocate", "cudamalloc")
    ):
        return OutOfMemory(
            "{name} ({size_file_size}) does not fit into memory with these settings. "
            "Put fewer layers on the GPU, or choose a smaller context or file.",
            name=header.path.name,
            size_file_size=header.file_bytes,
            details=log,
        )
    if "unknown model architecture" in words:
        return ModelUnreadable(
            "{name} has architecture {architecture}, which this llama.cpp does not know. Update Pult, or choose "
            "another file.",
            name=header.path.name,
            architecture=header.architecture,
            details=log,
        )
    reason = next((line for line in log.splitlines() if line.strip()), "it gave no reason").strip()
    return ModelUnreadable(
        "llama.cpp cannot load {name}: {reason}. The log says more.",
        name=header.path.name,
        reason=reason.rstrip("."),
        details=log,
    )


def file_stem(path: Path) -> str:
    """The model's name over HTTP: the file's stem without the part number of a split file."""
    stem = path.stem
    head, mark, tail = stem.rpartition("-of-")
    return head.rpartition("-")[0] if mark and tail.isdigit() and len(tail) == 5 else stem
