"""The guide run by the real llama.cpp, through llama_cpp's low-level calls: greedy answers, adapters, scores of given tokens.

Only the evaluation and the guide's own tests use it; Pult's engine is `app.service.engine.llama`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
import llama_cpp
import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes gives it no types
def _quiet(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """Swallow llama.cpp's log; the evaluation prints its own lines."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A greedy answer: its whole text, the part after the thought, tokens written and their seconds."""

    text: str
    answer: str
    tokens: int
    seconds: float


class GuideEngine:
    """One loaded guide.

    `experts` None takes the file's number; `adapters` are worn together at scale 1; `exact` keeps the KV cache in F32
    and flash attention off, to compare logits. One thread by default: llama.cpp's threads wait by spinning, and on a
    busy machine two are slower than one.
    """

    def __init__(
        self,
        model: Path,
        *,
        adapters: Sequence[Path] = (),
        experts: int | None = None,
        context: int = 2048,
        threads: int = 1,
        exact: bool = False,
    ) -> None:
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self._overrides: Any = None
        if experts is not None:
            self._overrides = (llama_cpp.llama_model_kv_override * 2)()
            self._overrides[0].key = b"qwen3moe.expert_used_count"
            self._overrides[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
            self._overrides[0].value.val_i64 = experts
            self._overrides[1].key = b""
            params.kv_overrides = self._overrides
        self.model = llama_cpp.llama_model_load_from_file(str(model).encode(), params)
        if not self.model:
            raise OSError(f"llama.cpp could not load {model}.")
        self.adapters = []
        for path in adapters:
            adapter = llama_cpp.llama_adapter_lora_init(self.model, str(path).encode())
            if not adapter:
                raise OSError(f"llama.cpp refused the adapter {path}.")
            self.adapters.append(adapter)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = context
        settings.n_threads = settings.n_threads_batch = threads
        if exact:
            settings.type_k = settings.type_v = llama_cpp.GGML_TYPE_F32
            settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        if not self.context:
            raise OSError(f"llama.cpp could not make a context of {context} tokens.")
        if self.adapters:
            count = len(self.adapters)
            stack = (llama_cpp.llama_adapter_lora_p_ctypes * count)(*self.adapters)
            llama_cpp.llama_set_adapters_lora(
                self.context, stack, count, (ctypes.c_float * count)(*[1.0] * count)
            )
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        template = llama_cpp.llama_model_chat_template(self.model, None)
        self.template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(
            template.decode()
        )

    def __enter__(self) -> GuideEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def prompt(self, *turns: tuple[str, str], thinking: bool) -> list[int]:
        """Return the ids of a conversation of (role, text), ready for the next answer."""
        messages = [{"role": role, "content": text} for role, text in turns]
        text = self.template.render(messages=messages, add_generation_prompt=True, enable_thinking=thinking)
        return self.ids(text)

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text; the special ones are recognised."""
        data = text.encode()
        room = len(data) + 8
        out = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), out, room, False, True)
        return list(out[:count])

    def scores(self, ids: Sequence[int]) -> Scores:
        """Return the logits after every token, [tokens, vocabulary]."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        try:
            for place, token in enumerate(ids):
                batch.token[place], batch.pos[place] = token, place
                batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
            batch.n_tokens = len(ids)
            if llama_cpp.llama_decode(self.context, batch):
                raise RuntimeError(f"llama.cpp could not decode {len(ids)} tokens.")
            raw = llama_cpp.llama_get_logits(self.context)
            return np.ctypeslib.as_array(raw, shape=(len(ids), self.size)).copy()
        finally:
            llama_cpp.llama_batch_free(batch)

    def say(self, *turns: tuple[str, str], thinking: bool, limit: int = 200) -> Said:
        """Answer greedily; the seconds are those of the decode alone."""
        ids = self.prompt(*turns, thinking=thinking)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        self._decode(ids)
        written: list[int] = []
        began = time.perf_counter()
        while len(written) < limit:
            raw = llama_cpp.llama_get_logits_ith(self.context, -1)
            best = int(np.ctypeslib.as_array(raw, shape=(self.size,)).argmax())
            if llama_cpp.llama_vocab_is_eog(self.vocabulary, best):
                break
            written.append(best)
            self._decode([best])
        seconds = time.perf_counter() - began
        text = self.text(written)
        return Said(
            text=text, answer=text.rpartition("</think>")[2].strip(), tokens=len(written), seconds=seconds
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""
        out = bytearray()
        room = ctypes.create_string_buffer(256)
        for token in ids:
            size = llama_cpp.llama_token_to_piece(self.vocabulary, token, room, 256, 0, True)
            out += room.raw[:size]
        return out.decode("utf-8", "replace")

    def _decode(self, ids: Sequence[int]) -> None:
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(tokens, len(ids))):
            raise RuntimeError(f"llama.cpp could not decode {len(ids)} tokens.")
