"""Arithmetic against what NVML measured for the engine's process on an H200: Qwen3-30B-A3B's shapes in Q4_K_M, 18.56 GB."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.forecast.arithmetic import ModelWeights, arithmetic_layout
from app.forecast.layout import Gpu
from app.models.gguf_header import GgufHeader
from app.service.forecast.record import USUAL_GPU_BYTES
from app.shared.engine import SettingValue
from app.shared.units import MIB

LAYERS, WIDTH, EXPERTS, EXPERT_WIDTH, VOCABULARY = 48, 2048, 128, 768, 151_936
Q8: dict[str, SettingValue] = {"kv_k": "q8_0", "kv_v": "q8_0"}

# Settings → the dry run's weights, cache and scratch on the GPU, and NVML's reading after the load; MiB.
MEASURED: list[tuple[dict[str, SettingValue], tuple[int, int, int], int]] = [
    ({"context": 8192}, (17524, 768, 92), 18978),
    ({"context": 8192, "moe_cpu_layers": 12}, (13339, 768, 226), 14924),
    ({"context": 8192, "moe_cpu_layers": 24}, (9154, 768, 226), 10740),
    ({"context": 8192, "moe_cpu_layers": 48}, (784, 768, 226), 2370),
    ({"context": 8192, "gpu_layers": 24}, (8549, 368, 246), 9752),
    ({"context": 32768, **Q8}, (17524, 1632, 156), 19906),
    ({"context": 131072, **Q8}, (17524, 6528, 444), 25090),
    ({"context": 8192, "experts": 16}, (17524, 768, 160), 19046),
    ({"context": 8192, "experts": 2}, (17524, 768, 40), 18926),
    ({"context": 90112}, (17524, 8448, 172), 26738),
]


@pytest.fixture(scope="module")
def shape() -> ModelWeights:
    """The model's header as `make_shape_gguf.py qwen3-30b-a3b` writes it."""
    numbers = {
        "block_count": LAYERS,
        "embedding_length": WIDTH,
        "feed_forward_length": 6144,
        "expert_count": EXPERTS,
        "expert_used_count": 8,
        "expert_feed_forward_length": EXPERT_WIDTH,
        "context_length": 40960,
        "attention.head_count": 32,
        "attention.head_count_kv": 4,
        "attention.key_length": 128,
        "attention.value_length": 128,
    }
    header = GgufHeader(
        path=Path("shape.gguf"),
        version=3,
        values={
            "general.architecture": "qwen3moe",
            **{f"qwen3moe.{key}": value for key, value in numbers.items()},
        },
        lengths={"tokenizer.ggml.tokens": VOCABULARY},
        tensors=(),
        data_start=0,
        file_bytes=0,
    )

    def packed(elements: int, kind: str) -> int:
        return elements // 256 * {"Q4_K": 144, "Q6_K": 210}[kind]

    tensors = [
        ("token_embd.weight", packed(VOCABULARY * WIDTH, "Q4_K")),
        ("output.weight", packed(VOCABULARY * WIDTH, "Q6_K")),
        ("output_norm.weight", WIDTH * 4),
    ]
    for layer in range(LAYERS):
        at, more = f"blk.{layer}.", "Q6_K" if layer % 2 else "Q4_K"
        experts = EXPERTS * EXPERT_WIDTH * WIDTH
        tensors += [
            (f"{at}attn_q.weight", packed(4096 * WIDTH, "Q4_K")),
            (f"{at}attn_k.weight", packed(512 * WIDTH, "Q4_K")),
            (f"{at}attn_v.weight", packed(512 * WIDTH, more)),
            (f"{at}attn_output.weight", packed(4096 * WIDTH, "Q4_K")),
            (f"{at}ffn_gate_inp.weight", EXPERTS * WIDTH * 4),
            (f"{at}ffn_gate_exps.weight", packed(experts, "Q4_K")),
            (f"{at}ffn_up_exps.weight", packed(experts, "Q4_K")),
            (f"{at}ffn_down_exps.weight", packed(experts, more)),
        ]
    return ModelWeights(header, tuple(tensors))


@pytest.mark.parametrize(("values", "parts", "nvml"), MEASURED, ids=[str(row[0]) for row in MEASURED])
def test_arithmetic_is_within_two_percent_of_nvml(
    shape: ModelWeights, values: dict[str, SettingValue], parts: tuple[int, int, int], nvml: int
) -> None:
    gpu = arithmetic_layout(shape, values, [Gpu(name="CUDA0")]).devices[0]
    weights, cache, scratch = parts
    assert gpu.weights_bytes / MIB == pytest.approx(weights, abs=1)
    assert gpu.kv_bytes == cache * MIB
    assert gpu.compute_bytes / MIB == pytest.approx(scratch, abs=25)
    total = gpu.weights_bytes + gpu.kv_bytes + gpu.compute_bytes + USUAL_GPU_BYTES
    assert total / MIB == pytest.approx(nvml, rel=0.02)
