"""A process that finds out how far a model's experts per token can be changed, where an abort hurts nobody.

It reads no weights: llama.cpp lays models and contexts out without them (`no_alloc`). It says a line of JSON each time it
knows more, because its last try may be the one that llama.cpp ends it for:

1. `{"struct_bytes", "offsets", "reason"}`: where the number stands, from two models that differ in it alone, and tried
   on a small written model against real reloads; `offsets` is empty and `reason` a sentence's end when that failed.
2. `{"fits": k}` for every number of experts whose graph was made, rising.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

from app.service.engine.llama import native
from app.service.engine.llama.live_experts import Layout, NumberInModel, SwitchRefused, model_block
from app.service.engine.llama.parameters import ContextParameters

_WORD = 4
_ARCHITECTURE = "qwen3moe"
_EXPERTS, _USED, _VOCABULARY, _WIDTH = 4, 2, 64, 64
_PROMPT = (1, 2, 3, 5, 8)


def main() -> int:
    """Study the model that the JSON on stdin describes; see `experts_findings.Question`."""
    _leave_no_core_file()
    question = json.loads(sys.stdin.buffer.read())
    native.start(lambda level, source, text: None)
    path, architecture, experts = question["path"], question["architecture"], question["experts"]
    context = ContextParameters(**question["context"])

    def open_dry(count: int) -> int | None:
        return _open(path, architecture, count, dry=True)

    with contextlib.ExitStack() as held:
        try:
            layout, model = _find(open_dry, experts, held)
            _compare_with_reloads(layout)
        except SwitchRefused as refused:
            _say(struct_bytes=0, offsets=[], reason=str(refused))
            _try_one(open_dry, question["wanted"], context)
            return 0
        _say(struct_bytes=layout.struct_bytes, offsets=layout.offsets, reason="")
        number = NumberInModel(model, layout, experts)
        for count in range(1, experts + 1):
            number.write(count)
            if not _makes_context(model, context):
                return 1
            _say(fits=count)
    return 0


def _find(
    open_dry: Callable[[int], int | None], experts: int, held: contextlib.ExitStack
) -> tuple[Layout, int]:
    """Return the layout and a model laid out with all experts. Raises `SwitchRefused`."""
    if experts < 2:
        raise SwitchRefused("a model of one expert has nothing to switch")
    models = []
    for count in (experts - 1, experts):
        model = open_dry(count)
        if model is None:
            raise SwitchRefused("llama.cpp does not lay this model out without its weights")
        held.callback(llama_cpp.llama_model_free, model)
        models.append(model)
    fewer, all_of_them = (model_block(model) for model in models)
    if len(fewer) != len(all_of_them):
        raise SwitchRefused("two models that differ in nothing else have structures of two sizes")
    places = np.flatnonzero((fewer == experts - 1) & (all_of_them == experts))
    if not len(places) or not np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        raise SwitchRefused("the number's place in llama.cpp's model could not be told")
    offsets = tuple(int(place) * _WORD for place in places)
    return Layout(struct_bytes=len(fewer) * _WORD, offsets=offsets), models[1]


def _try_one(open_dry: Callable[[int], int | None], count: int, context: ContextParameters) -> None:
    """Without a switch, only the number that is to be loaded is tried: each needs a model of its own."""
    model = open_dry(count)
    if model is not None:
        if _makes_context(model, context):
            _say(fits=count)
        llama_cpp.llama_model_free(model)


def _makes_context(model: int, context: ContextParameters) -> bool:
    """Make the context with its largest graph. llama.cpp aborts when there is no room for it.

    Samplers in the graph are left out: llama.cpp gives them more room than they take.
    """
    pointer = llama_cpp.llama_init_from_model(model, context.native())
    if pointer:
        llama_cpp.llama_free(pointer)
    return bool(pointer)


def _compare_with_reloads(layout: Layout) -> None:
    """Switch a small real model to every number and compare its logits, bit by bit, with a model loaded so.

    The number stands at the same place in every model; only how many layers there are differs.
    """
    with tempfile.TemporaryDirectory(prefix="pult-experts-") as folder:
        path = str(_write_small_model(Path(folder) / "experts.gguf"))
        first = layout.offsets[0]
        small = Layout(
            struct_bytes=layout.struct_bytes, offsets=(first, first + _WORD)[: len(layout.offsets)]
        )
        expected = [_loaded_logits(path, count) for count in range(1, _EXPERTS + 1)]
        if any(np.array_equal(one, other) for one, other in pairwise(expected)):
            raise SwitchRefused("the number of experts changes nothing in the model it is tried on")
        with _small(path, _USED) as (model, context):
            number = NumberInModel(model, small, _USED)
            for count in (*range(_EXPERTS, 0, -1), _USED):
                number.write(count)
                llama_cpp.llama_set_adapter_cvec(context, None, 0, 0, 0, 0)
                if not np.array_equal(_logits(context), expected[count - 1]):
                    raise SwitchRefused("the switch and a reload gave different logits")


def _loaded_logits(path: str, count: int) -> Any:
    with _small(path, count) as (_model, context):
        return _logits(context)


@contextlib.contextmanager
def _small(path: str, count: int) -> Iterator[tuple[int, int]]:
    model = _open(path, _ARCHITECTURE, count, dry=False)
    if model is None:
        raise SwitchRefused("the small model it is tried on could not be loaded")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, params)
    try:
        if not context:
            raise SwitchRefused("the small model it is tried on got no context")
        yield model, context
    finally:
        if context:
            llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def _logits(context: int) -> Any:
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
    tokens = (llama_cpp.llama_token * len(_PROMPT))(*_PROMPT)
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(_PROMPT))):
        raise SwitchRefused("the small model it is tried on could not be computed")
    return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), shape=(_VOCABULARY,)).copy()


def _open(path: str, architecture: str, count: int, *, dry: bool) -> int | None:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    if dry:
        params.no_alloc = True
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    pairs = (llama_cpp.llama_model_kv_override * 2)()
    pairs[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
    pairs[0].key = f"{architecture}.expert_used_count".encode()
    pairs[0].value.val_i64 = count
    params.kv_overrides = pairs
    pointer = llama_cpp.llama_model_load_from_file(path.encode(), params)
    return int(pointer) if pointer else None


def _write_small_model(path: Path) -> Path:
    """Write a mixture of experts with two layers, random weights and no vocabulary: 300 kB."""
    random = np.random.default_rng(0)
    writer: Any = gguf.GGUFWriter(str(path), _ARCHITECTURE)
    writer.add_block_count(2)
    writer.add_context_length(256)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_expert_count(_EXPERTS)
    writer.add_expert_used_count(_USED)
    writer.add_expert_feed_forward_length(_WIDTH)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(_VOCABULARY)

    def matrix(name: str, *shape: int) -> None:
        weights = random.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)
        writer.add_tensor(f"{name}.weight", weights)

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))

    matrix("token_embd", _VOCABULARY, _WIDTH)
    matrix("output", _VOCABULARY, _WIDTH)
    ones("output_norm")
    for layer in range(2):
        at = f"blk.{layer}."
        for name in ("attn_norm", "attn_q_norm", "attn_k_norm", "ffn_norm"):
            ones(at + name)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(at + name, _WIDTH, _WIDTH)
        matrix(at + "ffn_gate_inp", _EXPERTS, _WIDTH)
        for name in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"):
            matrix(at + name, _EXPERTS, _WIDTH, _WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()
    return path


def _say(**words: int | str | Sequence[int]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _leave_no_core_file() -> None:
    """Its end by abort is part of the plan, and no reason to fill a disk."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
