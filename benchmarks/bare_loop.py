"""The yardstick: nothing but llama_decode and a sampler, in a process of its own, as fast as Python can call
them.

Reads a JSON object a line from stdin, `{"prompt": text, "tokens": N, "seed": S}`, and answers each with
`{"tokens", "seconds", "decode_seconds"}`: seconds from the prompt's first token to the last one drawn. No
text is made, nothing is streamed, no template: that is the point.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
from time import perf_counter
from typing import Any

os.environ.setdefault("GGML_NO_BACKTRACE", "1")

import llama_cpp

TOP_K, TOP_P, TEMPERATURE = 20, 0.95, 0.6


@llama_cpp.llama_log_callback
def quiet(level: int, text: bytes, data: object) -> None:
    """Keep llama.cpp's log out of the measurement."""


def sampler_chain(seed: int) -> Any:
    """The chain that Pult builds from its default settings."""
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for sampler in (
        llama_cpp.llama_sampler_init_top_k(TOP_K),
        llama_cpp.llama_sampler_init_top_p(TOP_P, 1),
        llama_cpp.llama_sampler_init_temp(TEMPERATURE),
        llama_cpp.llama_sampler_init_dist(seed),
    ):
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    return chain


class BareLoop:
    """One model, one context, one batch."""

    def __init__(self, model: str, *, context: int, threads: int, gpu_layers: int, backend: bool) -> None:
        llama_cpp.llama_log_set(quiet, None)
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = gpu_layers
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), model_params)
        if not self.model:
            raise SystemExit(f"{model} cannot be loaded")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_outputs_max = params.n_outputs_max_per_seq = 1
        params.n_threads = params.n_threads_batch = threads
        self.backend = backend
        self.chain = sampler_chain(1)
        if backend:
            config = (llama_cpp.llama_sampler_seq_config * 1)()
            config[0].seq_id, config[0].sampler = 0, ctypes.cast(self.chain, ctypes.c_void_p)
            params.samplers, params.n_samplers = config, 1
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.token = (llama_cpp.llama_token * 1)()
        self.step = llama_cpp.llama_batch_get_one(self.token, 1)

    def run(self, prompt: str, tokens: int, seed: int) -> dict[str, float]:
        """Read `prompt`, draw `tokens`, and say how long it took."""
        text = prompt.encode()
        room = len(text) + 8
        read = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocabulary, text, len(text), read, room, False, True)
        llama_cpp.llama_memory_clear(self.memory, False)
        fresh = sampler_chain(seed)
        if self.backend:
            llama_cpp.llama_sampler_copy(fresh, self.chain)
            llama_cpp.llama_sampler_free(fresh)
            chain = self.chain
        else:
            chain = fresh
        context, decode, step = self.context, llama_cpp.llama_decode, self.step
        began = perf_counter()
        decode(context, llama_cpp.llama_batch_get_one(read, count))
        drawn = self._draw(chain)
        first = perf_counter()
        for _ in range(tokens - 1):
            self.token[0] = drawn
            decode(context, step)
            drawn = self._draw(chain)
        ended = perf_counter()
        if not self.backend:
            llama_cpp.llama_sampler_free(fresh)
        return {"tokens": tokens, "seconds": ended - began, "decode_seconds": ended - first}

    def _draw(self, chain: Any) -> int:
        if self.backend:
            return int(llama_cpp.llama_get_sampled_token_ith(self.context, -1))
        return int(llama_cpp.llama_sampler_sample(chain, self.context, -1))


def main() -> None:
    """Answer the lines on stdin until it ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--backend", action="store_true", help="draw inside the compute graph")
    options = parser.parse_args()
    loop = BareLoop(
        options.model,
        context=options.context,
        threads=options.threads,
        gpu_layers=options.gpu_layers,
        backend=options.backend,
    )
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(loop.run(asked["prompt"], asked["tokens"], asked["seed"])), flush=True)


if __name__ == "__main__":
    main()
