"""A context: the KV cache, what is in it, and running tokens through the model. One sequence, number 0.

Keeps the tokens that the cache holds, so that the next prompt is read only from where it differs. Models that
cannot roll back partly (hybrid, recurrent, sliding window) get checkpoints of that part of their state to
return to.
"""

from __future__ import annotations

import ctypes
from array import array
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np

from app.service.engine.base import StopFlag
from app.service.engine.llama.model import Model
from app.service.engine.llama.parameters import ContextParameters
from app.shared.errors import EngineFailed

_PARTIAL = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
_CHECKPOINT_BUDGET_BYTES = 512 * 1024 * 1024
_MOST_CHECKPOINTS = 8


class Aborted(Exception):  # a stop that was asked for, not an error
    """The computation was stopped by the abort switch."""


@dataclass
class Pulse:
    """Signs of life that the worker's heartbeat reports: steps taken, and what is being done."""

    steps: int = 0
    busy: str | None = None


@dataclass(frozen=True)
class _Checkpoint:
    position: int  # how many tokens the state has seen
    state: Any  # ctypes bytes


class Context:
    """Owns a `llama_context`. Close it before its model.

    `samplers` is a sampler chain to run inside the graph, or None. Raises `MemoryError` when llama.cpp
    refuses to make the context; the log says why.
    """

    def __init__(
        self, model: Model, parameters: ContextParameters, *, pulse: Pulse, chain: Any = None
    ) -> None:
        params = parameters.native()
        if chain is not None:
            config = (llama_cpp.llama_sampler_seq_config * 1)()
            config[0].seq_id = 0
            config[0].sampler = ctypes.cast(chain, ctypes.c_void_p)
            params.samplers = config
            params.n_samplers = 1
        pointer = llama_cpp.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise MemoryError("llama_init_from_model returned nothing")
        self.pointer: int | None = pointer
        self.parameters = parameters
        self.size: int = llama_cpp.llama_n_ctx(pointer)
        self.tokens: array[int] = array("i")  # what the cache holds
        self._memory: int = llama_cpp.llama_get_memory(pointer)
        self._rolls_back = model.rolls_back
        self._chunk = parameters.batch if model.gpu_layers else parameters.ubatch
        self._checkpoints: list[_Checkpoint] = []
        self._abort = _AbortSwitch(pulse)

        self._room = max(self._chunk, 1)
        self._input = (llama_cpp.llama_token * self._room)()
        self._silent = (ctypes.c_int8 * self._room)()
        self._batch = llama_cpp.llama_batch_get_one(self._input, 1)
        self._quiet_batch = llama_cpp.llama_batch_get_one(self._input, 1)
        self._quiet_batch.logits = ctypes.cast(self._silent, ctypes.POINTER(ctypes.c_int8))

    def close(self) -> None:
        """Free the cache."""
        if self.pointer is not None:
            llama_cpp.llama_free(self.pointer)
            self.pointer = None
            self._checkpoints.clear()

    @property
    def chunk(self) -> int:
        """How many tokens of a prompt are read at a time: one stop check and one progress step each."""
        return self._chunk

    def reuse(self, prompt: list[int]) -> int:
        """Keep what the cache shares with `prompt`, drop the rest, and return how many tokens that is.

        At least the last token of the prompt is left to compute, since its logits are needed.
        """
        shared = min(_common_length(self.tokens, prompt), len(prompt) - 1)
        if shared == len(self.tokens):
            return shared
        if not self._rolls_back:
            return self._return_to_checkpoint(shared)
        if shared == 0 or not llama_cpp.llama_memory_seq_rm(self._memory, 0, shared, -1):
            self.clear()
            return 0
        del self.tokens[shared:]
        return shared

    def clear(self) -> None:
        """Forget everything."""
        llama_cpp.llama_memory_clear(self._memory, False)
        del self.tokens[:]
        self._checkpoints.clear()

    def checkpoint(self) -> None:
        """Remember this point, if the model could not roll back to it by itself."""
        if self._rolls_back or not self.tokens:
            return
        position = len(self.tokens)
        if any(known.position == position for known in self._checkpoints):
            return
        size = llama_cpp.llama_state_seq_get_size_ext(self.pointer, 0, _PARTIAL)
        if size == 0 or size > _CHECKPOINT_BUDGET_BYTES:
            return
        keep = max(1, min(_MOST_CHECKPOINTS, _CHECKPOINT_BUDGET_BYTES // size))
        while len(self._checkpoints) >= keep:  # the first one often ends the system prompt: worth keeping
            del self._checkpoints[1 if len(self._checkpoints) > 2 else 0]
        state = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data_ext(self.pointer, state, size, 0, _PARTIAL) == size:
            self._checkpoints.append(_Checkpoint(position, state))

    def read(self, tokens: list[int], *, output: bool, stop: StopFlag | None = None) -> None:
        """Run `tokens` (at most `chunk`) through the model; with `output` the last one's logits are computed.

        Raises `Aborted` when `stop` was set within the computation, which works on the CPU.
        """
        assert self.pointer is not None
        count = len(tokens)
        self._input[:count] = tokens
        batch = self._batch if output else self._quiet_batch
        batch.n_tokens = count
        if stop is not None:
            self._abort.attach(self.pointer, stop)
        try:
            result = llama_cpp.llama_decode(self.pointer, batch)
            if not result and not output:
                llama_cpp.llama_synchronize(self.pointer)
        finally:
            if stop is not None:
                self._abort.detach(self.pointer)
        if result == 0:
            self.tokens.extend(tokens)
            return
        self._recover()
        if result == 2:
            raise Aborted
        raise EngineFailed(
            "llama.cpp could not compute the next {count} tokens after {before} (result {result}). "
            "Load the model again; the log says more.",
            count=count,
            before=len(self.tokens),
            result=result,
        )

    def step(self, token: int) -> None:
        """Run one token and compute its logits: the decode loop's only call."""
        self._input[0] = token
        self._batch.n_tokens = 1
        result = llama_cpp.llama_decode(self.pointer, self._batch)
        if result:
            self._recover()
            raise EngineFailed(
                "llama.cpp could not compute token {number} of the context (result {result}). "
                "Load the model again; the log says more.",
                number=len(self.tokens) + 1,
                result=result,
            )
        self.tokens.append(token)

    def logits(self, count: int) -> Any:
        """Return a copy of the last computed token's `count` logits."""
        pointer = llama_cpp.llama_get_logits_ith(self.pointer, -1)
        return np.ctypeslib.as_array(pointer, shape=(count,)).copy()

    def rebuild_graph(self) -> None:
        """Have the next computation build its graph anew: what is in the cache stays.

        llama.cpp has no call for this alone; taking away a control vector that is not there does it.
        """
        llama_cpp.llama_set_adapter_cvec(self.pointer, None, 0, 0, 0, 0)

    def _recover(self) -> None:
        """After a failed or aborted run part of it may have stayed in the memory: keep what is certain."""
        if not self._rolls_back:
            self._return_to_checkpoint(len(self.tokens))
            return
        kept = len(self.tokens)
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, kept, -1):
            self.clear()

    def _return_to_checkpoint(self, at_most: int) -> int:
        self._checkpoints = [known for known in self._checkpoints if known.position <= at_most]
        if not self._checkpoints:
            self.clear()
            return 0
        last = max(self._checkpoints, key=lambda known: known.position)
        size = len(last.state)
        restored = llama_cpp.llama_state_seq_set_data_ext(self.pointer, last.state, size, 0, _PARTIAL) == size
        if not restored or not llama_cpp.llama_memory_seq_rm(self._memory, 0, last.position, -1):
            self.clear()
            return 0
        del self.tokens[last.position :]
        return last.position


class _AbortSwitch:
    """Lets llama.cpp's CPU part stop within one computation, by way of its abort callback.

    It is attached only while a prompt is read: during decoding, a call into Python per graph node would cost
    speed, and stopping between tokens is soon enough.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._stop: StopFlag | None = None

        @llama_cpp.ggml_abort_callback  # type: ignore[untyped-decorator]  # ctypes function type
        def on_abort(_user_data: object) -> bool:
            pulse.steps += 1
            return self._stop is not None and self._stop.is_set()

        self._callback: Any = on_abort
        self._none: Any = llama_cpp.ggml_abort_callback(0)

    def attach(self, context: int, stop: StopFlag) -> None:
        self._stop = stop
        llama_cpp.llama_set_abort_callback(context, self._callback, None)

    def detach(self, context: int) -> None:
        llama_cpp.llama_set_abort_callback(context, self._none, None)
        self._stop = None


def _common_length(held: array[int], prompt: list[int]) -> int:
    """Return how many tokens both begin with, by halving: comparing slices runs in C."""
    low, high = 0, min(len(held), len(prompt))
    wanted = array("i", prompt[:high])
    if held[:high] == wanted:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if held[low:middle] == wanted[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
