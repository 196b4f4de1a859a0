"""The layout by arithmetic, where llama.cpp's own dry run is not to be had.

Weights and KV cache are exact to alignment; compute buffers are an estimate fitted to dry runs of Qwen shapes. Which layer
goes where follows llama.cpp's `load_tensors`: the output counts as one more layer, and the last layers go to the GPUs first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from app.forecast.layout import VOCABULARY_ENTRY_BYTES, DeviceLayout, Gpu, Layout, gpus_first
from app.models.anatomy import CACHE_TYPE_BYTES, PADDING_TOKENS
from app.models.card import tensor_bytes
from app.models.gguf_header import GgufHeader, read_header, split_parts
from app.shared.engine import SettingValue
from app.shared.settings import settings

RAM = "RAM"
_BLOCK = re.compile(r"^blk\.(\d+)\.(.*)$")
_EXPERTS = re.compile(r"^ffn_(up|down|gate|gate_up)_(ch|)exps")
_HYBRIDS = ("qwen3next", "qwen35", "qwen35moe")
_F32, _F16 = 4, 2
_GPU_MIXTURE = 1.23


@dataclass(frozen=True)
class ModelWeights:
    """What arithmetic needs of a file: its header and each tensor's name and bytes, all parts together."""

    header: GgufHeader
    tensors: tuple[tuple[str, int], ...]

    def number(self, key: str) -> int:
        """Return the header's number of this key; 0 where it has none."""
        return self.header.number(key) or 0


def read_weights(path: Path) -> ModelWeights:
    """Read the headers of all parts; raises `ModelFileMissing` or `ModelUnreadable`."""
    parts = split_parts(path)
    headers = [read_header(part) for part in parts]
    tensors = tuple(
        (tensor.name, tensor_bytes(tensor) or 0) for header in headers for tensor in header.tensors
    )
    return ModelWeights(headers[0], tensors)


def arithmetic_layout(
    model: ModelWeights, values: Mapping[str, SettingValue], gpus: Sequence[Gpu] = ()
) -> Layout:
    """Return the layout of `model` with checked `values` over these GPUs."""
    layers = model.number("block_count")
    homes = _homes(layers, values, gpus)
    weights: dict[str, int] = {}
    for name, size in model.tensors:
        home = _home_of(name, homes, values)
        weights[home] = weights.get(home, 0) + size
    tied = not any(name == "output.weight" for name, _ in model.tensors)
    if tied and homes[-1] != RAM:  # the embedding, which stays in RAM, is then also the output
        size = next((size for name, size in model.tensors if name == "token_embd.weight"), 0)
        weights[homes[-1]] = weights.get(homes[-1], 0) + size
    cache = _cache(model, values, homes)
    names = {RAM, *homes, *weights}
    gpu_words = {gpu.name: gpu.description for gpu in gpus}
    used_gpus = names - {RAM}
    scratch = _compute_bytes(model, values, gpu=bool(used_gpus))
    if (
        used_gpus
    ):  # long prompts are computed on the GPU also where the weights are in RAM: they are copied over in turn
        scratch += max(
            (
                size
                for name, size in model.tensors
                if _BLOCK.match(name) and _home_of(name, homes, values) == RAM
            ),
            default=0,
        )
    mapped = bool(_value(values, "mmap"))
    devices = [
        DeviceLayout(
            name=name,
            kind="ram" if name == RAM else "gpu",
            description=gpu_words.get(name, ""),
            weights_bytes=weights.get(name, 0),
            kv_bytes=cache.get(name, 0),
            compute_bytes=scratch if name != RAM or not used_gpus else _input_bytes(model, values),
            mapped_bytes=weights.get(name, 0) if name == RAM and mapped else 0,
            output_bytes=_vocabulary(model) * _F32 if name == RAM else 0,
            vocabulary_bytes=_vocabulary(model) * VOCABULARY_ENTRY_BYTES if name == RAM else 0,
        )
        for name in names
    ]
    return Layout(exact=False, devices=gpus_first(devices), context=_context(model, values))


def attention_layers(model: ModelWeights) -> list[bool]:
    """Return for each layer whether it keeps an attention cache; the others of a hybrid keep a recurrent state."""
    layers = model.number("block_count")
    by_layer = model.header.by_layer("attention.head_count_kv", layers) or [0] * layers
    given = model.header.values.get(f"{model.header.architecture}.attention.head_count_kv")
    if isinstance(given, list):
        return [heads > 0 for heads in by_layer]
    interval = model.header.number("full_attention_interval")
    if interval is None:
        interval = 4 if model.header.architecture in _HYBRIDS else 1
    return [(layer + 1) % max(1, interval) == 0 for layer in range(layers)]


def recurrent_state_bytes(model: ModelWeights) -> int:
    """Return one recurrent layer's state for one sequence: 4·[(conv−1)(inner + 2·groups·state) + state·inner]."""
    conv, inner = model.number("ssm.conv_kernel"), model.number("ssm.inner_size")
    groups, state = model.number("ssm.group_count"), model.number("ssm.state_size")
    return _F32 * (max(0, conv - 1) * (inner + 2 * groups * state) + state * inner)


def _value(values: Mapping[str, SettingValue], key: str) -> SettingValue | None:
    return values.get(key, settings()[key].default)


def _whole(values: Mapping[str, SettingValue], key: str) -> int | None:
    found = _value(values, key)
    return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def _context(model: ModelWeights, values: Mapping[str, SettingValue]) -> int:
    asked = _whole(values, "context") or model.number("context_length") or 4096
    return -(-asked // PADDING_TOKENS) * PADDING_TOKENS


def _homes(layers: int, values: Mapping[str, SettingValue], gpus: Sequence[Gpu]) -> list[str]:
    """Return each layer's device and, last, the output's."""
    asked = _whole(values, "gpu_layers")
    total = layers + 1
    on_gpu = total if asked is None or asked < 0 else min(asked, total)
    if not gpus or on_gpu == 0:
        return [RAM] * total
    first = total - on_gpu
    marks = list(accumulate(_shares(values, gpus)))
    homes = [RAM] * first
    for layer in range(first, total):
        at = bisect_right(marks, (layer - first) / on_gpu * marks[-1])
        homes.append(gpus[min(at, len(gpus) - 1)].name)
    return homes


def _shares(values: Mapping[str, SettingValue], gpus: Sequence[Gpu]) -> list[float]:
    """The split by hand, else by free memory, as llama.cpp does when nothing is said."""
    text = str(_value(values, "tensor_split") or "")
    given = [float(part) for part in text.replace(";", ",").split(",") if part.strip()]
    shares = (
        (given + [0.0] * len(gpus))[: len(gpus)] if given else [float(gpu.free_bytes or 1) for gpu in gpus]
    )
    return shares if sum(shares) > 0 else [1.0] * len(gpus)


def _home_of(tensor: str, homes: Sequence[str], values: Mapping[str, SettingValue]) -> str:
    block = _BLOCK.match(tensor)
    if block is None:
        return RAM if tensor.startswith("token_embd") else homes[-1]
    layer = int(block[1])
    if layer < (_whole(values, "moe_cpu_layers") or 0) and _EXPERTS.match(block[2]):
        return RAM
    return homes[layer] if layer < len(homes) - 1 else homes[-1]


def _cache(model: ModelWeights, values: Mapping[str, SettingValue], homes: Sequence[str]) -> dict[str, int]:
    layers = model.number("block_count")
    heads = (
        model.header.by_layer("attention.head_count_kv", layers)
        or [model.number("attention.head_count")] * layers
    )
    width = model.number("embedding_length") // max(1, model.number("attention.head_count"))
    key, value = (model.number(f"attention.{name}") or width for name in ("key_length", "value_length"))
    k_bytes, v_bytes = (CACHE_TYPE_BYTES[str(_value(values, name))] for name in ("kv_k", "kv_v"))
    tokens, state = _context(model, values), recurrent_state_bytes(model)
    offloaded = bool(_value(values, "kv_offload"))
    found: dict[str, int] = {}
    for layer, attends in enumerate(attention_layers(model)):
        size = int(tokens * heads[layer] * (key * k_bytes + value * v_bytes)) if attends else state
        home = homes[layer] if offloaded else RAM
        found[home] = found.get(home, 0) + size
    return found


def _compute_bytes(model: ModelWeights, values: Mapping[str, SettingValue], *, gpu: bool) -> int:
    """Estimate the scratch of the largest step: the attention mask over the whole context, and a layer's widest moment.

    Without flash attention the scores of every head are written out too. CUDA unpacks a quantised cache to f16 for a layer
    at a time, and its mixtures take about a quarter more than the CPU's (fitted to dry runs on an H200).
    """
    context = _context(model, values)
    step = min(_whole(values, "ubatch") or 512, _whole(values, "batch") or 2048, context)
    flash = _value(values, "flash_attention") != "off"
    heads, embedding = model.number("attention.head_count"), model.number("embedding_length")
    head = model.number("attention.key_length") or embedding // max(1, heads)
    keys = (model.number("attention.head_count_kv") or heads) * head
    attention = embedding + 2 * heads * head + 2 * keys
    used = _whole(values, "experts") or model.number("expert_used_count")
    width = model.number("expert_feed_forward_length")
    dense = 2 * embedding + 2 * model.number("feed_forward_length")
    mixture = 3 * embedding + used * (embedding + 2 * width) if model.number("expert_count") else 0
    mixture = int(mixture * _GPU_MIXTURE) if gpu else mixture
    # A mixture's file gives a dense width too, which its layers do not use.
    widest = max(attention, mixture or dense)
    scores = context * (_F16 if flash else _F32 * (1 + heads))
    quantised = any(CACHE_TYPE_BYTES[str(_value(values, key))] < _F16 for key in ("kv_k", "kv_v"))
    unpacked = context * keys * 2 * _F16 if gpu and quantised else 0
    return step * (_F32 * widest + scores) + unpacked


def _input_bytes(model: ModelWeights, values: Mapping[str, SettingValue]) -> int:
    """RAM's share when a GPU computes: embeddings and mask on their way there."""
    context = _context(model, values)
    step = min(_whole(values, "ubatch") or 512, context)
    return step * (2 * _F32 * model.number("embedding_length") + _F16 * context)


def _vocabulary(model: ModelWeights) -> int:
    return model.header.lengths.get("tokenizer.ggml.tokens", 0) or model.number("vocab_size")
