"""What a model's header lets one compute about memory: arithmetic, not a layout by llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping

from app.models.card import ModelCard
from app.shared.engine import SettingValue

# Bytes for one value: blocks of 32 values with their scales, as ggml stores them.
CACHE_TYPE_BYTES: Mapping[str, float] = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
PADDING_TOKENS = 256


def kv_cache_bytes(card: ModelCard, values: Mapping[str, SettingValue]) -> int | None:
    """Return the size of the KV cache: tokens × layers × KV heads × (K head × bytes of K + V head × bytes of V).

    Tokens are padded to 256 as llama.cpp does. Only layers with attention count; the small fixed state of a hybrid model's
    other layers is left out. None when the header does not say enough.
    """
    layers, heads = card.attention_layers, card.kv_heads
    if layers is None or heads is None or card.key_length is None or card.value_length is None:
        return None
    context = values.get("context", 8192)
    k_bytes = CACHE_TYPE_BYTES.get(str(values.get("kv_k", "f16")))
    v_bytes = CACHE_TYPE_BYTES.get(str(values.get("kv_v", "f16")))
    if (
        not isinstance(context, (int, float))
        or isinstance(context, bool)
        or k_bytes is None
        or v_bytes is None
    ):
        return None
    tokens = -(-int(context) // PADDING_TOKENS) * PADDING_TOKENS
    return int(tokens * layers * heads * (card.key_length * k_bytes + card.value_length * v_bytes))
