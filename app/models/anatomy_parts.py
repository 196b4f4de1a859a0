"""Which part of a transformer each tensor belongs to, by llama.cpp's names (`src/llama-arch.cpp`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from app.models.gguf_header import TensorInfo


class Part(StrEnum):
    """Parts of a model, in the order in which a token meets them."""

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    RECURRENT = "recurrent"  # the gated delta nets and state spaces of hybrid models
    DENSE = "dense"  # a layer's only feed-forward network
    ROUTER = "router"
    EXPERTS = "experts"
    SHARED_EXPERT = "shared_expert"
    NORMS = "norms"
    PREDICTION = "prediction"  # heads that guess further tokens; they take no part in ordinary decoding
    OUTPUT = "output"
    OTHER = "other"


_BLOCK = re.compile(r"^blk\.(\d+)\.(.+)$")
_ENDING = re.compile(r"\.(weight|bias|scale)$")
_EXPERTS = re.compile(r"^ffn_(up|down|gate|gate_up)_(ch)?exps$")
_DENSE = re.compile(r"^ffn_(up|down|gate|gate_up)$")


def layer_of(name: str) -> int | None:
    """Return the layer that the tensor stands in; None for those outside the layers."""
    block = _BLOCK.match(name)
    return None if block is None else int(block[1])


def recurrent_layers(tensors: Iterable[TensorInfo]) -> frozenset[int]:
    """Return the layers that keep a recurrent state instead of a KV cache, told by their `ssm_` tensors."""
    blocks = (_BLOCK.match(tensor.name) for tensor in tensors)
    return frozenset(int(block[1]) for block in blocks if block is not None and block[2].startswith("ssm_"))


def part_of(name: str, *, recurrent: frozenset[int] = frozenset(), layers: int | None = None) -> Part:
    """Return the part of the tensor called `name`.

    `recurrent` are the layers without attention, where `attn_qkv` and `attn_gate` belong to the delta net. Layers from
    `layers` on are prediction heads, which files count among their blocks.
    """
    block = _BLOCK.match(name)
    word = _ENDING.sub("", name if block is None else block[2])
    if block is not None and (word.startswith("nextn.") or (layers is not None and int(block[1]) >= layers)):
        return Part.PREDICTION
    if "norm" in word:
        return Part.NORMS
    if block is None:
        return {"token_embd": Part.EMBEDDING, "token_types": Part.EMBEDDING, "output": Part.OUTPUT}.get(
            word, Part.OTHER
        )
    if word.endswith("_shexp"):
        return Part.SHARED_EXPERT
    if word in ("ffn_gate_inp", "exp_probs_b"):
        return Part.ROUTER
    if _EXPERTS.match(word):
        return Part.EXPERTS
    if _DENSE.match(word):
        return Part.DENSE
    if word.startswith("ssm_") or (word.startswith("attn_") and int(block[1]) in recurrent):
        return Part.RECURRENT
    return Part.ATTENTION if word.startswith("attn_") else Part.OTHER
