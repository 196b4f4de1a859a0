"""Dead knobs are defects: every setting that a load takes is given to the real engine and met again in what llama.cpp gets.

The structs are read at the very call into llama.cpp. The settings of an answer are tried over HTTP in
tests/end_to_end/test_every_answer_knob.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from app.shared.engine import SettingValue
from app.shared.settings import Stage, settings
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine

# What is set, the file it is set on, the struct's field, and what llama.cpp gets there.
Arrival = tuple[dict[str, SettingValue], str, str, object]
ARRIVALS: dict[str, Arrival] = {
    "gpu_layers": ({"gpu_layers": 1}, "moe", "n_gpu_layers", 1),
    "moe_cpu_layers": (
        {"moe_cpu_layers": 1},
        "moe",
        "moved",
        [rb"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps"],
    ),
    "main_gpu": ({"main_gpu": 3}, "moe", "main_gpu", 3),
    "tensor_split": ({"tensor_split": "3,1"}, "moe", "split", [3.0, 1.0]),
    "mmap": ({"mmap": False}, "moe", "load_mode", llama_cpp.LLAMA_LOAD_MODE_NONE),
    "mlock": ({"mlock": True}, "moe", "load_mode", llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK),
    "experts": ({"experts": 5}, "moe", "overrides", {b"qwen3moe.expert_used_count": 5}),
    "threads": ({"threads": 2}, "moe", "n_threads", 2),
    "batch_threads": ({"batch_threads": 2}, "moe", "n_threads_batch", 2),
    "context": ({"context": 768}, "moe", "n_ctx", 768),
    "rope_scaling": ({"rope_scaling": "linear"}, "moe", "rope_scaling_type", 1),
    "yarn_factor": ({"rope_scaling": "yarn", "yarn_factor": 2.0}, "moe", "rope_freq_scale", 0.5),
    "yarn_original_context": (
        {"rope_scaling": "yarn", "yarn_original_context": 256},
        "moe",
        "yarn_orig_ctx",
        256,
    ),
    "rope_base": ({"rope_base": 50000.0}, "moe", "rope_freq_base", 50000.0),
    "rope_scale": ({"rope_scaling": "linear", "rope_scale": 0.25}, "moe", "rope_freq_scale", 0.25),
    "kv_k": ({"kv_k": "q8_0"}, "moe", "type_k", 8),
    "kv_v": ({"kv_v": "q4_0"}, "moe", "type_v", 2),
    "kv_offload": ({"kv_offload": False}, "moe", "offload_kqv", False),
    "flash_attention": ({"flash_attention": "off"}, "moe", "flash_attn_type", 0),
    "batch": ({"batch": 96}, "moe", "n_batch", 96),
    "ubatch": ({"ubatch": 48}, "moe", "n_ubatch", 48),
}
# Where llama.cpp says a value back, it is asked or its log is read.
SAID_BACK: dict[str, Callable[[Any, str], bool]] = {
    "context": lambda context, _log: llama_cpp.llama_n_ctx(context) == 768,
    "batch": lambda context, _log: llama_cpp.llama_n_batch(context) == 96,
    "ubatch": lambda context, _log: llama_cpp.llama_n_ubatch(context) == 48,
    "threads": lambda context, _log: llama_cpp.llama_n_threads(context) == 2,
    "batch_threads": lambda context, _log: llama_cpp.llama_n_threads_batch(context) == 2,
    "kv_k": lambda _context, log: "K (q8_0)" in log,
    "kv_v": lambda _context, log: "V (q4_0)" in log,
    "rope_base": lambda _context, log: "50000" in log,
    "experts": lambda _context, log: "expert_used_count" in log,
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What llama.cpp is called with: fields of the model's and the context's parameters, pointers followed."""
    found: dict[str, Any] = {}
    load, make = llama_cpp.llama_model_load_from_file, llama_cpp.llama_init_from_model

    def read(params: Any) -> None:
        for name, _kind in params._fields_:
            value = getattr(params, name)
            if isinstance(value, (int, float, bool)):
                found[name] = value

    def loading(path: bytes, params: Any) -> Any:
        read(params)
        found["split"] = [params.tensor_split[0], params.tensor_split[1]] if params.tensor_split else None
        found["overrides"] = {}
        at = 0
        while params.kv_overrides and params.kv_overrides[at].key:
            found["overrides"][params.kv_overrides[at].key] = params.kv_overrides[at].value.val_i64
            at += 1
        found["moved"] = _patterns(params.tensor_buft_overrides)
        return load(path, params)

    def making(model: Any, params: Any) -> Any:
        read(params)
        found["context"] = make(model, params)
        return found["context"]

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", loading)
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", making)
    return found


def _patterns(address: int | None) -> list[bytes]:
    """The names in a `llama_model_tensor_buft_override` array: pairs of pointers, ended by NULL."""
    found: list[bytes] = []
    while address:
        pattern = ctypes.cast(address, ctypes.POINTER(ctypes.c_char_p))[0]
        if pattern is None:
            break
        found.append(pattern)
        address += 2 * ctypes.sizeof(ctypes.c_void_p)
    return found


def test_no_setting_of_a_load_is_left_out() -> None:
    assert set(ARRIVALS) == {key for key, knob in settings().items() if knob.stage is not Stage.SAMPLE}


@pytest.mark.parametrize("key", ARRIVALS)
def test_it_arrives_in_llama_cpp(
    loaded: Loaded, files: dict[str, Path], given: dict[str, Any], key: str
) -> None:
    values, file, field, expected = ARRIVALS[key]
    loaded.load(files[file])
    before = given[field]
    loaded.engine.eject()
    loaded.log.clear()
    loaded.load(files[file], **values)
    assert given[field] == expected, key
    assert before != expected, f"{key} shows the same without being set"
    said = SAID_BACK.get(key)
    if said is not None:
        assert said(loaded.engine._context.pointer, "\n".join(loaded.log)), key  # type: ignore[union-attr]  # loaded
    assert loaded.answer("hello", max_tokens=2).timings.completion_tokens == 2
