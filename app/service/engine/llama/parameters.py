"""From a plan's settings to llama.cpp's parameter structures, checked so that llama.cpp never has to abort.

Every setting of stage LOAD lands in `ModelParameters`, every one of stage CONTEXT in `ContextParameters`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import llama_cpp
import psutil

from app.service.engine.llama import native
from app.service.engine.llama.gguf_file import ModelHeader
from app.shared.engine import SettingValue
from app.shared.errors import BadValue
from app.shared.settings import settings

KV_TYPES: dict[str, int] = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "q8_0": 8,
    "q5_1": 7,
    "q5_0": 6,
    "q4_1": 3,
    "q4_0": 2,
}
_BYTES_PER_VALUE = {
    0: 4.0,
    1: 2.0,
    30: 2.0,
    8: 34 / 32,
    7: 24 / 32,
    6: 22 / 32,
    3: 20 / 32,
    2: 18 / 32,
}
_QUANTISED_BLOCK = 32
_FLASH = {"auto": -1, "off": 0, "on": 1}
_ROPE = {"none": 0, "linear": 1, "yarn": 2}
_CONTEXT_STEP = 256  # llama.cpp pads the context up to this
# Under this size a layer is over before a second thread has come: alone it gains little, and beside other work the threads'
# waiting for each other cost most of the speed.
_SMALL_FILE_BYTES = 64_000_000
_MOST_CONTEXT = 2**31 - 1
_EXPERT_TENSORS = r"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps"  # as llama.cpp's own --n-cpu-moe


class _BufferOverride(ctypes.Structure):
    """`llama_model_tensor_buft_override`, which the bindings leave out."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buft", ctypes.c_void_p))


class Values:
    """The effective settings: what the plan says, else the table's default; None means as the file says."""

    def __init__(self, values: Mapping[str, SettingValue]) -> None:
        self._values = dict(values)
        self._table = settings()

    def __getitem__(self, key: str) -> SettingValue | None:
        if key in self._values:
            return self._values[key]
        knob = self._table.get(key)
        return knob.default if knob is not None else None

    def whole(self, key: str) -> int | None:
        """A whole number, or None."""
        value = self[key]
        if value is None or isinstance(value, bool):
            return None
        try:
            number = float(value)
        except ValueError:
            raise _bad(key, value, "It takes a whole number") from None
        if not number.is_integer():
            raise _bad(key, value, "It takes a whole number")
        return int(number) if isinstance(value, float) else int(value)

    def number(self, key: str) -> float | None:
        """A real number, or None."""
        value = self[key]
        if value is None:
            return None
        try:
            return float(value)
        except ValueError:
            raise _bad(key, value, "It takes a number") from None

    def switch(self, key: str, otherwise: bool) -> bool:
        """On or off."""
        value = self[key]
        return otherwise if value is None else value in (True, "on", "true", 1)

    def word(self, key: str) -> str | None:
        """A choice or text; None when absent or empty."""
        value = self[key]
        if isinstance(value, bool):
            return "on" if value else "off"
        return str(value).strip().lower() or None if value is not None else None


@dataclass
class ModelParameters:
    """`llama_model_params` and the arrays it points to, which must live until the model is loaded."""

    native: Any
    experts: int | None
    gpu_layers: int
    output_on_gpu: bool = False  # the last matrix too, so that the logits are made there
    keep: list[Any] = field(default_factory=list)


def model_parameters(values: Values, header: ModelHeader) -> ModelParameters:
    """Return the parameters that load `header`'s file as `values` say; raises `BadValue`."""
    params = llama_cpp.llama_model_default_params()
    layers = header.number("block_count") or 0
    result = ModelParameters(native=params, experts=_experts(values, header), gpu_layers=0)

    wanted = values.whole("gpu_layers")
    params.n_gpu_layers = -1 if wanted is None else wanted
    if native.can_offload():
        everything = wanted is None or wanted < 0 or wanted > layers
        result.gpu_layers = layers if everything else min(wanted or 0, layers)
        result.output_on_gpu = everything
    main_gpu = values.whole("main_gpu")
    if main_gpu is not None:
        params.main_gpu = main_gpu
    split = _tensor_split(values)
    if split is not None:
        params.tensor_split = ctypes.cast(split, ctypes.POINTER(ctypes.c_float))
        result.keep.append(split)
    params.load_mode = _load_mode(values)

    on_cpu = min(values.whole("moe_cpu_layers") or 0, layers)
    if on_cpu > 0 and header.number("expert_count"):
        overrides = _cpu_experts(on_cpu)
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        result.keep.append(overrides)
    if result.experts is not None:
        pairs = (llama_cpp.llama_model_kv_override * 2)()  # ended by an empty key
        pairs[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT  # any other type is silently ignored
        pairs[0].key = f"{header.architecture}.expert_used_count".encode()
        pairs[0].value.val_i64 = result.experts
        params.kv_overrides = pairs
        result.keep.append(pairs)
    return result


def _experts(values: Values, header: ModelHeader) -> int | None:
    """llama.cpp aborts on fewer than 1 or more than there are, and wraps modulo 2³²."""
    asked = values.whole("experts")
    if asked is None:
        return None
    count = header.number("expert_count")
    if not count:
        raise BadValue(
            "Experts per token is {value}, but {architecture} has no experts. Remove it from the preset.",
            key="experts",
            value=asked,
            architecture=header.architecture,
        )
    if not 1 <= asked <= count:
        raise BadValue(
            "Experts per token is {value}; this model has {count} experts, so it takes 1 to {count}.",
            key="experts",
            value=asked,
            count=count,
        )
    return asked


def _tensor_split(values: Values) -> Any:
    text = values.word("tensor_split")
    if text is None:
        return None
    places = llama_cpp.LLAMA_MAX_DEVICES
    try:
        shares = [float(part) for part in text.replace(";", ",").split(",") if part.strip()]
    except ValueError:
        raise _bad("tensor_split", text, "It takes numbers with commas, one per GPU, such as 3,1") from None
    if not shares or any(share < 0 for share in shares) or sum(shares) == 0:
        raise _bad("tensor_split", text, "It takes shares of 0 or more, at least one above 0, such as 3,1")
    if len(shares) > places:
        raise _bad("tensor_split", text, f"llama.cpp takes at most {places} shares")
    return (ctypes.c_float * places)(*shares)


def _load_mode(values: Values) -> int:
    mapped, locked = values.switch("mmap", True), values.switch("mlock", False)
    if locked:
        return int(llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK if mapped else llama_cpp.LLAMA_LOAD_MODE_MLOCK)
    return int(llama_cpp.LLAMA_LOAD_MODE_MMAP if mapped else llama_cpp.LLAMA_LOAD_MODE_NONE)


def _cpu_experts(layers: int) -> Any:
    overrides = (_BufferOverride * (layers + 1))()  # ended by NULLs
    for layer in range(layers):
        overrides[layer].pattern = _EXPERT_TENSORS.format(layer=layer).encode()
        overrides[layer].buft = native.cpu_buffer_type()
    return overrides


@dataclass(frozen=True)
class ContextParameters:
    """`llama_context_params` as plain values, comparable, so that an unchanged context is kept."""

    context: int
    batch: int
    ubatch: int
    threads: int
    batch_threads: int
    flash_attention: int
    kv_k: int
    kv_v: int
    kv_offload: bool
    rope_scaling: int
    rope_base: float
    rope_scale: float
    yarn_original_context: int

    def native(self) -> Any:
        """Return a fresh `llama_context_params`: one sequence, one output a batch, no performance
        counters."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.context
        params.n_batch = self.batch
        params.n_ubatch = self.ubatch
        params.n_seq_max = 1
        params.n_outputs_max = 1  # llama.cpp reserves logits for a whole batch otherwise: gigabytes
        params.n_outputs_max_per_seq = 1  # more than one keeps penalties off the backend
        params.n_threads = self.threads
        params.n_threads_batch = self.batch_threads
        params.flash_attn_type = self.flash_attention
        params.type_k = self.kv_k
        params.type_v = self.kv_v
        params.offload_kqv = self.kv_offload
        params.rope_scaling_type = self.rope_scaling
        params.rope_freq_base = self.rope_base
        params.rope_freq_scale = self.rope_scale
        params.yarn_orig_ctx = self.yarn_original_context
        params.no_perf = True
        return params


def context_parameters(values: Values, header: ModelHeader) -> ContextParameters:
    """Return the context that `values` ask for on this model; raises `BadValue`."""
    trained = header.number("context_length") or 4096
    context = values.whole("context") or trained
    if not 1 <= context <= _MOST_CONTEXT:
        raise BadValue(
            "Context is {value} tokens. It takes 1 to {limit}.",
            key="context",
            value=context,
            limit=_MOST_CONTEXT,
        )
    batch = values.whole("batch") or 2048
    ubatch = values.whole("ubatch") or 512
    for key, size in (("batch", batch), ("ubatch", ubatch)):
        if not 1 <= size <= _MOST_CONTEXT:
            raise _bad(key, size, f"It takes 1 to {_MOST_CONTEXT}")
    padded = -(-context // _CONTEXT_STEP) * _CONTEXT_STEP
    batch = min(batch, padded)  # a batch larger than the context aborts
    small = header.file_bytes < _SMALL_FILE_BYTES
    threads = _threads(values, "threads") or (1 if small else physical_cores())
    scaling, scale = _rope(values)
    flash = _choice(values, "flash_attention", _FLASH, "auto")
    kv_k, kv_v = _choice(values, "kv_k", KV_TYPES, "f16"), _choice(values, "kv_v", KV_TYPES, "f16")
    _check_kv_types(kv_k, kv_v, flash, values, header)
    return ContextParameters(
        context=context,
        batch=batch,
        ubatch=min(ubatch, batch),
        threads=threads,
        batch_threads=_threads(values, "batch_threads") or (1 if small else allowed_cores()),
        flash_attention=flash,
        kv_k=kv_k,
        kv_v=kv_v,
        kv_offload=values.switch("kv_offload", True),
        rope_scaling=scaling,
        rope_base=values.number("rope_base") or 0.0,
        rope_scale=scale,
        yarn_original_context=_yarn_original(values, header, trained) if scaling == _ROPE["yarn"] else 0,
    )


def _threads(values: Values, key: str) -> int:
    """llama.cpp spins on its threads: more than there are cores makes each token slower, but it is
    allowed."""
    asked = values.whole(key) or 0
    if not 0 <= asked <= 512:  # GGML_MAX_N_THREADS, an assert
        raise _bad(key, asked, "It takes 1 to 512")
    return asked


def allowed_cores() -> int:
    """The logical cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int:
    """The cores this process may use, hyper-threads not counted, as far as the system says."""
    allowed = allowed_cores()
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def _rope(values: Values) -> tuple[int, float]:
    """Return llama.cpp's scaling type and frequency scale; unset means as the file says."""
    word = values.word("rope_scaling")
    factor, scale = values.number("yarn_factor"), values.number("rope_scale")
    for key, value in (("yarn_factor", factor), ("rope_scale", scale)):
        if value is not None and value <= 0:
            raise _bad(key, value, "It takes a number above 0")
    if word in (None, "auto", "file", "trained"):
        return -1, scale or 0.0
    kind = _choice(values, "rope_scaling", _ROPE, "none")
    if kind == _ROPE["yarn"]:
        return kind, 1.0 / factor if factor else scale or 0.0
    return kind, scale or 0.0


def _yarn_original(values: Values, header: ModelHeader, trained: int) -> int:
    """Said explicitly, because a YaRN context rewrites the loaded model's own idea of its trained length."""
    given = values.whole("yarn_original_context")
    return given or header.number("rope.scaling.original_context_length") or trained


def _check_kv_types(kv_k: int, kv_v: int, flash: int, values: Values, header: ModelHeader) -> None:
    if flash == _FLASH["off"] and _quantised(kv_v):
        raise BadValue(
            "V cache type {value} needs flash attention, which is off. Turn it on, or use f16 for V.",
            key="kv_v",
            value=str(values.word("kv_v")),
        )
    if flash == _FLASH["off"]:
        return
    for key, kind, size_key in (("kv_k", kv_k, "key_length"), ("kv_v", kv_v, "value_length")):
        size = head_size(header, size_key)
        if _quantised(kind) and size and size % _QUANTISED_BLOCK:
            raise BadValue(
                "Cache type {value} packs {block} values at a time; this model's heads have {size}. Use f16.",
                key=key,
                value=str(values.word(key)),
                block=_QUANTISED_BLOCK,
                size=size,
            )


def head_size(header: ModelHeader, key: str) -> int | None:
    """The length of one head's keys (`key_length`) or values (`value_length`), in numbers."""
    given = header.number(f"attention.{key}")
    width, heads = header.number("embedding_length"), header.number("attention.head_count")
    return given or (width // heads if width and heads else None)


def kv_cache_bytes(context: ContextParameters, header: ModelHeader) -> int:
    """Return the exact size of the KV cache's attention part: n·heads·(k·bytes + v·bytes) for every such
    layer.

    Recurrent layers of hybrid models keep a small fixed state instead, which is left out.
    """
    layers = header.number("block_count") or 0
    interval = header.number("full_attention_interval") or 1
    heads = header.by_layer("attention.head_count_kv", layers)
    if not any(heads):
        heads = header.by_layer("attention.head_count", layers)
    key_size, value_size = head_size(header, "key_length") or 0, head_size(header, "value_length") or 0
    tokens = -(-context.context // _CONTEXT_STEP) * _CONTEXT_STEP
    per_head = key_size * _BYTES_PER_VALUE[context.kv_k] + value_size * _BYTES_PER_VALUE[context.kv_v]
    return int(sum(tokens * heads[at] * per_head for at in range(layers) if (at + 1) % interval == 0))


def _quantised(kind: int) -> bool:
    return kind not in (KV_TYPES["f32"], KV_TYPES["f16"], KV_TYPES["bf16"])


def _choice(values: Values, key: str, known: Mapping[str, int], otherwise: str) -> int:
    word = values.word(key) or otherwise
    if word not in known:
        raise _bad(key, word, "It takes one of " + ", ".join(known))
    return known[word]


def _bad(key: str, value: object, what: str) -> BadValue:
    knob = settings().get(key)
    label = knob.label if knob is not None else key
    return BadValue("{label} is {value}. " + what + ".", key=key, label=label, value=str(value)[:80])
