"""What a KV cache costs by the header's numbers. Not a forecast: buffers are not in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.shared.engine import SettingValue
from app.shared.settings import settings

if TYPE_CHECKING:
    from app.models.card import ModelCard

# Bytes per value of ggml's types: a block's bytes over its values (ggml-common.h).
BYTES_PER_VALUE = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}


def cache_bytes(card: ModelCard, values: Mapping[str, SettingValue]) -> int | None:
    """Return attention layers × KV heads × (K size × K bytes + V size × V bytes) × context, padded to 256 tokens.

    None where the header lacks a number. The state of recurrent layers, which does not grow with the context, is left
    out. Source: llama.cpp src/llama-kv-cache.cpp.
    """
    table = settings()

    def value(key: str) -> SettingValue | None:
        return values.get(key, table[key].default)

    layers = card.attention_layers or card.layers
    if not layers or not card.kv_heads or not card.key_length or not card.value_length:
        return None
    context = value("context")
    k_type, v_type = BYTES_PER_VALUE.get(str(value("kv_k"))), BYTES_PER_VALUE.get(str(value("kv_v")))
    if not isinstance(context, int) or k_type is None or v_type is None:
        return None
    tokens = -(-context // 256) * 256
    return round(layers * card.kv_heads * (card.key_length * k_type + card.value_length * v_type) * tokens)
