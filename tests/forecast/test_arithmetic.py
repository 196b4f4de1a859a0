"""Arithmetic: which layer lands where, and formulas against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.forecast.arithmetic import ModelWeights, arithmetic_layout, read_weights, recurrent_state_bytes
from app.forecast.layout import DeviceLayout, Gpu, Layout
from app.shared.engine import SettingValue
from app.shared.errors import ModelFileMissing
from tests.models_for_tests import tiny_dense, tiny_hybrid, tiny_moe

GPU = Gpu(name="CUDA0", description="NVIDIA H200", free_bytes=100, capacity_bytes=200)
OTHER = Gpu(name="CUDA1", description="NVIDIA H200", free_bytes=300, capacity_bytes=300)
KV_LAYER_F16 = 2 * 64 * (2 + 2)  # KV heads × head × bytes of K and V, a token


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> ModelWeights:
    return read_weights(tiny_moe(tmp_path_factory.mktemp("m") / "moe.gguf", layers=4))


def on(layout: Layout, name: str) -> DeviceLayout:
    return next(device for device in layout.devices if device.name == name)


def names(layout: Layout) -> list[str]:
    return [device.name for device in layout.devices]


def test_without_a_gpu_everything_is_in_ram_and_mapped(moe: ModelWeights) -> None:
    layout = arithmetic_layout(moe, {"context": 1000})
    ram = on(layout, "RAM")
    assert names(layout) == ["RAM"] and not layout.exact and layout.context == 1024
    assert ram.weights_bytes == sum(size for _, size in moe.tensors) == ram.mapped_bytes
    assert ram.kv_bytes == 4 * 1024 * KV_LAYER_F16
    assert arithmetic_layout(moe, {"mmap": False}).devices[0].mapped_bytes == 0


@pytest.mark.parametrize(
    ("kind", "share"), [("f32", 2.0), ("q8_0", 34 / 64), ("q5_1", 24 / 64), ("q4_0", 18 / 64)]
)
def test_cache_types_by_their_blocks(moe: ModelWeights, kind: str, share: float) -> None:
    layout = arithmetic_layout(moe, {"context": 2048, "kv_k": kind, "kv_v": kind})
    assert on(layout, "RAM").kv_bytes == 4 * 2048 * KV_LAYER_F16 * share


def test_all_layers_go_to_the_gpu_but_the_embedding(moe: ModelWeights) -> None:
    layout = arithmetic_layout(moe, {"context": 1024}, [GPU])
    embedding = dict(moe.tensors)["token_embd.weight"]
    assert names(layout) == ["CUDA0", "RAM"]
    assert on(layout, "RAM").weights_bytes == embedding and on(layout, "RAM").kv_bytes == 0
    assert on(layout, "CUDA0").kv_bytes == 4 * 1024 * KV_LAYER_F16
    assert on(layout, "CUDA0").description == "NVIDIA H200"


def test_the_last_layers_go_first_and_the_output_is_one_of_them(moe: ModelWeights) -> None:
    tensors = dict(moe.tensors)
    output = tensors["output.weight"] + tensors["output_norm.weight"]
    one = arithmetic_layout(moe, {"gpu_layers": 1}, [GPU])
    assert on(one, "CUDA0").weights_bytes == output and on(one, "CUDA0").kv_bytes == 0
    two = arithmetic_layout(moe, {"gpu_layers": 2, "context": 1024}, [GPU])
    last = sum(size for name, size in moe.tensors if name.startswith("blk.3."))
    assert on(two, "CUDA0").weights_bytes == output + last
    assert on(two, "CUDA0").kv_bytes == 1024 * KV_LAYER_F16
    assert names(arithmetic_layout(moe, {"gpu_layers": 0}, [GPU])) == ["RAM"]


def test_experts_on_the_cpu_leave_the_rest_of_their_layer(moe: ModelWeights) -> None:
    everything = on(arithmetic_layout(moe, {}, [GPU]), "CUDA0").weights_bytes
    layout = arithmetic_layout(moe, {"moe_cpu_layers": 3}, [GPU])
    experts = sum(size for name, size in moe.tensors if "_exps" in name and int(name.split(".")[1]) < 3)
    assert everything - on(layout, "CUDA0").weights_bytes == experts
    assert on(layout, "CUDA0").kv_bytes > 0


def test_a_cache_kept_off_the_gpu(moe: ModelWeights) -> None:
    layout = arithmetic_layout(moe, {"kv_offload": False, "context": 1024}, [GPU])
    assert on(layout, "CUDA0").kv_bytes == 0 and on(layout, "RAM").kv_bytes == 4 * 1024 * KV_LAYER_F16


@pytest.mark.parametrize(
    ("values", "first"), [({}, 2), ({"tensor_split": "3,2"}, 3), ({"tensor_split": "1,0"}, 5)]
)
def test_layers_are_split_by_free_memory_or_by_hand(
    moe: ModelWeights, values: dict[str, SettingValue], first: int
) -> None:
    """Five places (four layers and the output): a quarter of the memory takes the first two, as llama.cpp rounds up."""
    layout = arithmetic_layout(moe, {**values, "context": 1024}, [GPU, OTHER])
    assert on(layout, "CUDA0").kv_bytes == min(4, first) * 1024 * KV_LAYER_F16


def test_a_hybrid_keeps_a_cache_every_fourth_layer_and_a_state_elsewhere(tmp_path: Path) -> None:
    model = read_weights(tiny_hybrid(tmp_path / "h.gguf"))
    assert recurrent_state_bytes(model) == 4 * (3 * (64 + 2 * 1 * 32) + 32 * 64)
    ram = arithmetic_layout(model, {"context": 512}).devices[0]
    assert ram.kv_bytes == 512 * KV_LAYER_F16 + 3 * recurrent_state_bytes(model)


def test_flash_attention_off_writes_every_heads_scores(tmp_path: Path) -> None:
    model = read_weights(tiny_dense(tmp_path / "d.gguf"))
    on_bytes, off_bytes = (
        arithmetic_layout(model, {"context": 4096, "flash_attention": word}).devices[0].compute_bytes
        for word in ("on", "off")
    )
    assert off_bytes - on_bytes == 512 * 4096 * (4 * (1 + 4) - 2)


def test_a_missing_file_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing, match=r"gone\.gguf"):
        read_weights(tmp_path / "gone.gguf")
