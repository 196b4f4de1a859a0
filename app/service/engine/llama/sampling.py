"""Choosing the next token: llama.cpp's sampler chains, inside the graph ("backend") or on the CPU after it.

The chain's order is llama.cpp's: penalties, top-k, top-p, min-p, temperature, then the draw.
"""

from __future__ import annotations

import ctypes
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import llama_cpp
import numpy as np

from app.service.engine.llama.context import Context
from app.service.engine.llama.model import Model
from app.service.engine.llama.parameters import Values
from app.shared.engine import TokenLogprob
from app.shared.errors import BadRequest

_BACKEND_TOP_K = 1024  # sorting more in the graph than this gains nothing, and the probe graph has an end
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@dataclass(frozen=True)
class SamplerSettings:
    """One chain. `seed` is the one really used, never "random"."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last: int
    presence_penalty: float
    frequency_penalty: float
    seed: int

    @property
    def penalises(self) -> bool:
        """Whether what was said before matters."""
        off = self.repeat_penalty == 1.0 and self.presence_penalty == 0.0 and self.frequency_penalty == 0.0
        return self.repeat_last > 0 and not off

    @property
    def backend_order_is_cpu_order(self) -> bool:
        """Whether the graph lists the candidates in the CPU's order, so that one draw means one token.

        The graph's top-k does not sort; its top-p does.
        """
        return self.temperature <= 0 or self.top_k <= 0 or self.top_p < 1.0


def sampler_settings(values: Values) -> SamplerSettings:
    """Return the chain that `values` ask for, with a fresh seed where none is given."""
    seed = values.whole("seed")
    return SamplerSettings(
        temperature=_number(values, "temperature", 0.6),
        top_k=values.whole("top_k") or 0,
        top_p=_number(values, "top_p", 1.0),
        min_p=_number(values, "min_p", 0.0),
        repeat_penalty=_number(values, "repeat_penalty", 1.0),
        repeat_last=values.whole("repeat_last") or 0,
        presence_penalty=_number(values, "presence_penalty", 0.0),
        frequency_penalty=_number(values, "frequency_penalty", 0.0),
        seed=secrets.randbelow(2**32 - 1) if seed is None else seed,
    )


def _number(values: Values, key: str, otherwise: float) -> float:
    found = values.number(key)
    return otherwise if found is None else found


class Chain:
    """Owns a llama.cpp sampler chain built from settings."""

    def __init__(self, settings: SamplerSettings, vocabulary_size: int) -> None:
        self.settings = settings
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self.pointer: Any = llama_cpp.llama_sampler_chain_init(params)
        for sampler in _samplers(settings, vocabulary_size):
            llama_cpp.llama_sampler_chain_add(self.pointer, sampler)

    def close(self) -> None:
        """Free the chain; it must not be attached to a context any more."""
        if self.pointer is not None:
            llama_cpp.llama_sampler_free(self.pointer)
            self.pointer = None

    def accept(self, tokens: Sequence[int]) -> None:
        """Tell the penalties what was said."""
        if self.settings.penalises:
            for token in tokens[-self.settings.repeat_last :]:
                llama_cpp.llama_sampler_accept(self.pointer, token)

    def all_on_backend(self) -> bool:
        """After attaching: whether every sampler runs in the graph (llama.cpp marks their names with +)."""
        count = llama_cpp.llama_sampler_chain_n(self.pointer)
        names = (
            llama_cpp.llama_sampler_name(llama_cpp.llama_sampler_chain_get(self.pointer, index))
            for index in range(count)
        )
        return all(name.startswith(b"+") for name in names)


def _samplers(settings: SamplerSettings, vocabulary_size: int) -> list[Any]:
    chain: list[Any] = []
    if settings.penalises:
        chain.append(
            llama_cpp.llama_sampler_init_penalties(
                vocabulary_size,
                settings.repeat_last,
                settings.repeat_penalty,
                settings.frequency_penalty,
                settings.presence_penalty,
            )
        )
    if settings.temperature <= 0:
        return [*chain, llama_cpp.llama_sampler_init_greedy()]
    if 0 < settings.top_k < vocabulary_size:  # the graph asserts k ≤ vocabulary
        chain.append(llama_cpp.llama_sampler_init_top_k(settings.top_k))
    if settings.top_p < 1.0:
        chain.append(llama_cpp.llama_sampler_init_top_p(settings.top_p, 1))
    if settings.min_p > 0.0:
        chain.append(llama_cpp.llama_sampler_init_min_p(settings.min_p, 1))
    chain.append(llama_cpp.llama_sampler_init_temp(settings.temperature))
    chain.append(llama_cpp.llama_sampler_init_dist(settings.seed))
    return chain


def fits_backend(settings: SamplerSettings, vocabulary_size: int) -> bool:
    """Whether the graph may carry this chain.

    Without a small top-k the graph would sort and copy the whole vocabulary for every token, which is slower
    than the CPU's partial sort; and penalties longer than the vocabulary have no room there.
    """
    if settings.penalises and settings.repeat_last > vocabulary_size:
        return False
    return settings.temperature <= 0 or 0 < settings.top_k <= _BACKEND_TOP_K


class SamplerSeat:
    """The chain that is attached to a context, replaced as rarely as possible: a new one costs a new
    graph."""

    def __init__(self) -> None:
        self._chain: Chain | None = None
        self._context: Context | None = None
        self.on_backend = False

    def occupy(self, context: Context, chain: Chain) -> None:
        """Take over the chain that `context` was made with."""
        self._context, self._chain = context, chain
        self.on_backend = chain.all_on_backend()

    def chain_for(self, context: Context, settings: SamplerSettings, vocabulary_size: int) -> Chain | None:
        """Return the attached chain, set afresh for `settings`; None when they have to be sampled on the
        CPU."""
        if not self.on_backend or not fits_backend(settings, vocabulary_size):
            return None
        fresh = Chain(settings, vocabulary_size)
        held = self._chain
        if held is not None and replace(held.settings, seed=0) == replace(settings, seed=0):
            llama_cpp.llama_sampler_copy(fresh.pointer, held.pointer)  # its dice and memory, not its graph
            held.settings = settings
            fresh.close()
            return held
        if not llama_cpp.llama_set_sampler(context.pointer, 0, fresh.pointer) or not fresh.all_on_backend():
            self.detach()
            fresh.close()
            return None
        if held is not None:
            held.close()
        self._chain, self._context = fresh, context
        return fresh

    def detach(self) -> None:
        """Let the context compute plain logits again."""
        if self._context is not None and self._context.pointer is not None:
            llama_cpp.llama_set_sampler(self._context.pointer, 0, None)
        if self._chain is not None:
            self._chain.close()
            self._chain = None

    def vacate(self) -> None:
        """The context is gone: free the chain."""
        if self._chain is not None:
            self._chain.close()
        self._chain = self._context = None
        self.on_backend = False


class Sampler:
    """Draws one answer's tokens from `context`.

    With `chain` from a seat the graph draws; without it llama.cpp does on the CPU. A `grammar` (GBNF) or
    `logprobs` need every token's logit, hence the CPU. Raises `BadRequest` when the grammar cannot be read.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        settings: SamplerSettings,
        *,
        attached: Chain | None = None,
        logprobs: int | None = None,
    ) -> None:
        self._model = model
        self._context = context.pointer
        self._own = None if attached is not None else Chain(settings, model.vocabulary_size)
        self._chain = attached or self._own
        self._grammar: Any = None
        self._logprobs = logprobs
        self._candidates: Any = None
        self.last_logprob: TokenLogprob | None = None
        self.exhausted = False  # the grammar allows nothing more
        if logprobs is not None:
            self._take_candidates()

    def close(self) -> None:
        """Free what belongs to this answer alone."""
        if self._own is not None:
            self._own.close()
            self._own = None
        if self._grammar is not None:
            llama_cpp.llama_sampler_free(self._grammar)
            self._grammar = None

    def constrain(self, grammar: str) -> None:
        """Allow only what `grammar` allows from here on."""
        self._grammar = llama_cpp.llama_sampler_init_grammar(
            self._model.vocabulary, grammar.encode(), b"root"
        )
        if not self._grammar:
            self._grammar = None
            raise BadRequest(
                "llama.cpp cannot read the grammar made from this response format. Simplify the JSON schema."
            )
        self._take_candidates()

    def accept(self, tokens: Sequence[int]) -> None:
        """Take note of tokens that were not drawn: the prompt, a closed thought."""
        assert self._chain is not None
        self._chain.accept(tokens)

    def next(self) -> int:
        """Return the next token, from the logits of the last computed one."""
        chain = self._chain
        assert chain is not None
        if self._candidates is not None:
            return self._next_of_all(chain.pointer)
        if self._own is None:
            # Asked directly: llama_sampler_sample would log a line for every token that the graph has drawn.
            token = int(llama_cpp.llama_get_sampled_token_ith(self._context, -1))
            if token != llama_cpp.LLAMA_TOKEN_NULL:
                if chain.settings.penalises:
                    llama_cpp.llama_sampler_accept(chain.pointer, token)
                return token
        return int(llama_cpp.llama_sampler_sample(chain.pointer, self._context, -1))

    def _take_candidates(self) -> None:
        if self._candidates is None:
            self._candidates = np.zeros(self._model.vocabulary_size, _CANDIDATE)
            self._ids = np.arange(self._model.vocabulary_size, dtype=np.int32)
            self._array = llama_cpp.llama_token_data_array()
            self._one = np.zeros(1, _CANDIDATE)

    def _next_of_all(self, chain: Any) -> int:
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(self._model.vocabulary_size,))
        token = self._draw(chain, logits, grammar=False)
        # Most drawn tokens fit, so the grammar first looks at that one, and at all only if it is refused.
        if self._grammar is not None and not self._allowed(token):
            token = self._draw(chain, logits, grammar=True)
            if not self._allowed(token):
                self.exhausted = True
                return token
        if self._logprobs is not None:
            self.last_logprob = self._measure(logits, token)
        llama_cpp.llama_sampler_accept(chain, token)
        if self._grammar is not None:
            llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def _draw(self, chain: Any, logits: Any, *, grammar: bool) -> int:
        candidates = self._candidates
        candidates["id"], candidates["logit"], candidates["p"] = self._ids, logits, 0.0
        array = self._point(candidates)
        if grammar:
            llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(array))
        llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def _allowed(self, token: int) -> bool:
        self._one["id"], self._one["logit"] = token, 1.0
        array = self._point(self._one)
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return math.isfinite(float(self._one["logit"][0]))

    def _point(self, candidates: Any) -> Any:
        array = self._array
        array.data = ctypes.cast(candidates.ctypes.data, llama_cpp.llama_token_data_p)
        array.size = len(candidates)
        array.selected = -1
        array.sorted = False
        return array

    def _measure(self, logits: Any, token: int) -> TokenLogprob:
        """Log probabilities of the model itself, before the samplers."""
        values = logits.astype(np.float64)
        values -= values.max()
        values -= math.log(float(np.exp(values).sum()))
        count = min(self._logprobs or 0, len(values))
        best = np.argpartition(values, -count)[-count:] if count else np.zeros(0, np.int64)
        best = best[np.argsort(-values[best])]
        return TokenLogprob(
            token=self._text(token),
            logprob=float(values[token]),
            top=tuple((self._text(int(one)), float(values[one])) for one in best),
        )

    def _text(self, token: int) -> str:
        return self._model.piece(token).decode("utf-8", "replace")
