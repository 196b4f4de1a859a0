"""What settings become, and that nothing a person can choose makes llama.cpp abort."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.service.engine.base import Engine, StopFlag
from app.service.engine.llama import ram
from app.service.engine.llama.gguf_file import read_header
from app.service.engine.llama.parameters import (
    KV_TYPES,
    Values,
    context_parameters,
    kv_cache_bytes,
    model_parameters,
)
from app.shared.engine import LoadPlan, SettingValue
from app.shared.errors import (
    BadValue,
    Cancelled,
    ModelFileMissing,
    ModelUnreadable,
    NoModelLoaded,
    OutOfMemory,
    PultError,
)
from app.shared.settings import Stage, settings
from tests.models_for_tests import tiny_moe
from tests.service.engine.llama.conftest import Loaded

pytestmark = pytest.mark.engine


def context_of(path: Path, **values: SettingValue) -> Any:
    return context_parameters(Values(values), read_header(path)).native()


def test_every_context_setting_arrives_in_the_struct(files: dict[str, Path]) -> None:
    path = files["moe"]
    arrives: dict[str, tuple[SettingValue, str, object]] = {
        "context": (1024, "n_ctx", 1024),
        "batch": (128, "n_batch", 128),
        "ubatch": (64, "n_ubatch", 64),
        "threads": (3, "n_threads", 3),
        "batch_threads": (5, "n_threads_batch", 5),
        "kv_k": ("q8_0", "type_k", 8),
        "kv_v": ("q4_0", "type_v", 2),
        "kv_offload": (False, "offload_kqv", False),
        "flash_attention": ("on", "flash_attn_type", 1),
        "rope_base": (50000.0, "rope_freq_base", 50000.0),
        "rope_scaling": ("linear", "rope_scaling_type", 1),
        "rope_scale": (0.5, "rope_freq_scale", 0.5),
    }
    for key, (value, field, expected) in arrives.items():
        assert getattr(context_of(path, **{key: value}), field) == expected, key
    yarn = context_of(path, rope_scaling="yarn", yarn_factor=4.0, yarn_original_context=1024)
    assert (yarn.rope_scaling_type, yarn.rope_freq_scale, yarn.yarn_orig_ctx) == (2, 0.25, 1024)
    assert (
        context_of(path, rope_scaling="yarn").yarn_orig_ctx == 512
    )  # the file's own length, said explicitly
    assert context_of(path, flash_attention="auto").flash_attn_type == -1
    assert context_of(path).rope_scaling_type == -1
    tried = {*arrives, "yarn_factor", "yarn_original_context"}
    assert tried == {key for key, knob in settings().items() if knob.stage is Stage.CONTEXT}


def test_every_load_setting_arrives_in_the_struct(files: dict[str, Path]) -> None:
    header = read_header(files["moe"])

    def made(**values: SettingValue) -> Any:
        return model_parameters(Values(values), header)

    assert made(gpu_layers=7).native.n_gpu_layers == 7
    assert made().native.n_gpu_layers == -1
    assert made(main_gpu=2).native.main_gpu == 2
    split = made(tensor_split="3, 1").native.tensor_split
    assert (split[0], split[1]) == (3.0, 1.0)
    modes = {(True, False): 1, (True, True): 3, (False, True): 2, (False, False): 0}
    for (mapped, locked), mode in modes.items():
        assert made(mmap=mapped, mlock=locked).native.load_mode == mode
    experts = made(experts=5).native.kv_overrides
    assert (experts[0].key, experts[0].tag, experts[0].value.val_i64) == (b"qwen3moe.expert_used_count", 0, 5)
    assert experts[1].key == b""
    kept = made(moe_cpu_layers=2)
    overrides = kept.keep[0]
    assert overrides[0].pattern == rb"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    assert overrides[1].buft and overrides[2].pattern is None
    assert ctypes.cast(overrides, ctypes.c_void_p).value == kept.native.tensor_buft_overrides
    tried = {"gpu_layers", "main_gpu", "tensor_split", "mmap", "mlock", "experts", "moe_cpu_layers"}
    assert tried == {key for key, knob in settings().items() if knob.stage is Stage.LOAD}


def test_a_loaded_model_tells_what_it_is(loaded: Loaded, files: dict[str, Path]) -> None:
    model = loaded.load(files["moe"])
    assert isinstance(loaded.engine, Engine)
    assert (model.id, model.name, model.architecture) == ("moe", "Tiny qwen3moe", "qwen3moe")
    assert (model.experts, model.experts_used, model.experts_trained) == (8, 2, 2)
    assert (model.layers, model.trained_context, model.context) == (2, 512, 512)
    assert model.quantisation == "F16"
    assert model.file_bytes == files["moe"].stat().st_size
    assert model.chat_template and model.can_think and model.tools and not model.recurrent
    assert model.devices == ("CPU",)
    assert loaded.engine.loaded == model
    loaded.engine.eject()
    assert loaded.engine.loaded is None
    with pytest.raises(NoModelLoaded):
        loaded.events("hello")


def test_experts_change_the_answer_and_moe_layers_on_the_cpu_do_not(
    loaded: Loaded, files: dict[str, Path]
) -> None:
    answers: dict[int, str] = {}
    for experts in (1, 2, 8):
        assert loaded.load(files["moe"], experts=experts).experts_used == experts
        answers[experts] = loaded.answer("hello", values={"temperature": 0}).text
    assert len(set(answers.values())) == 3
    loaded.load(files["moe"], moe_cpu_layers=2)
    assert loaded.answer("hello", values={"temperature": 0}).text == answers[2]


def test_a_changed_context_keeps_the_weights(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"])
    model = loaded.engine._model
    assert loaded.load(files["moe"], context=1024).context == 1024
    assert loaded.engine._model is model
    loaded.load(files["moe"], context=1024, experts=3)
    assert loaded.engine._model is not model


@pytest.mark.parametrize("kind", sorted(KV_TYPES))
def test_every_cache_type_answers(loaded: Loaded, files: dict[str, Path], kind: str) -> None:
    loaded.load(files["dense"], kv_k=kind, kv_v=kind)
    assert loaded.answer("hello").timings.completion_tokens == 24


def test_rope_settings_change_the_answer(loaded: Loaded, files: dict[str, Path]) -> None:
    greedy = {"values": {"temperature": 0}, "max_tokens": 60}
    texts = set()
    for values in (
        {},
        {"rope_base": 500.0},
        {"rope_scaling": "linear", "rope_scale": 0.25},
        {"rope_scaling": "yarn"},
    ):
        loaded.load(files["dense"], **values)  # type: ignore[arg-type]  # settings of several types
        texts.add(loaded.answer("a longer question, so that positions matter", **greedy).text)
    assert len(texts) == 4


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"experts": 0}, "experts", "0"),
        ({"experts": -1}, "experts", "-1"),
        ({"experts": 9}, "experts", "8"),
        ({"experts": 2**32 + 2}, "experts", "8"),
        ({"kv_k": "q3_z"}, "kv_k", "q3_z"),
        ({"kv_v": "999"}, "kv_v", "999"),
        ({"kv_v": "q8_0", "flash_attention": "off"}, "kv_v", "flash attention"),
        ({"context": 2**31}, "context", "2,147,483,647"),
        ({"context": 2**32}, "context", "2,147,483,647"),
        ({"context": -1}, "context", "-1"),
        ({"rope_scaling": "bogus"}, "rope_scaling", "bogus"),
        ({"tensor_split": "all"}, "tensor_split", "all"),
        ({"threads": 100_000}, "threads", "512"),
        ({"colour": "red"}, "colour", "colour"),
    ],
)
def test_bad_values_are_sentences(
    loaded: Loaded, files: dict[str, Path], values: dict[str, Any], key: str, words: str
) -> None:
    with pytest.raises(BadValue) as caught:
        loaded.load(files["moe"], **values)
    assert caught.value.key == key
    assert words in caught.value.sentence
    assert caught.value.sentence.endswith(".")
    assert loaded.engine.loaded is None


def test_experts_on_a_dense_model_are_refused(loaded: Loaded, files: dict[str, Path]) -> None:
    with pytest.raises(BadValue, match="no experts"):
        loaded.load(files["dense"], experts=2)


def test_a_batch_larger_than_the_context_does_not_abort(loaded: Loaded, files: dict[str, Path]) -> None:
    loaded.load(files["moe"], context=256, batch=65536, ubatch=65536)
    assert loaded.answer("hello").finish_reason == "length"


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.gguf"
    whole = tiny_moe(folder / "whole.gguf").read_bytes()
    content = {
        "empty": b"",
        "html": b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>",
        "magic": b"XXXX" + whole[4:],
        "cut_header": whole[:900],
        "cut_weights": whole[:-5000],
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "version": whole[:4] + b"\x63\0\0\0" + whole[8:],
        "counts": whole[:8] + b"\xff" * 16 + whole[24:],
        "noise": b"GGUF\x03\0\0\0" + bytes(range(256)) * 40,
        "architecture": whole.replace(b"qwen3moe", b"qwen9moe"),
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "There is no file"),
        ("empty", "0 bytes"),
        ("html", "web page"),
        ("magic", "not a GGUF"),
        ("cut_header", "cut off"),
        ("cut_weights", "cut off"),
        ("lfs", "Git LFS"),
        ("version", "version 99"),
        ("counts", "damaged"),
        ("noise", ""),
        ("folder", "a folder"),
        ("architecture", "qwen9moe"),
    ],
)
def test_bad_files_are_sentences(loaded: Loaded, tmp_path: Path, kind: str, words: str) -> None:
    with pytest.raises((ModelUnreadable, ModelFileMissing)) as caught:
        loaded.load(bad_file(tmp_path, kind))
    assert words in caught.value.sentence
    assert kind in caught.value.sentence or kind == "folder"


def test_a_file_cut_anywhere_is_a_sentence(tmp_path: Path) -> None:
    whole = tiny_moe(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(1, 2500, 37), *range(2500, len(whole), 9973), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelUnreadable):
            read_header(cut)


def test_a_split_model_needs_all_its_parts(loaded: Loaded, tmp_path: Path) -> None:
    first = tiny_moe(tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(ModelFileMissing, match="m-00002-of-00002"):
        loaded.load(first)


def test_a_failed_load_leaves_nothing_and_the_next_one_works(
    loaded: Loaded, files: dict[str, Path], tmp_path: Path
) -> None:
    loaded.load(files["moe"])
    with pytest.raises(PultError):
        loaded.load(bad_file(tmp_path, "architecture"))
    assert loaded.engine.loaded is None
    loaded.load(files["moe"])
    assert loaded.answer("hello").text


def test_a_cache_larger_than_the_free_ram_is_refused(
    loaded: Loaded, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_header(files["dense"])
    wanted = context_parameters(Values({"context": 1_000_000}), header)
    assert (
        kv_cache_bytes(wanted, header) == 1_000_192 * 2 * 2 * (64 + 64) * 2
    )  # tokens, layers, heads, k+v, f16
    monkeypatch.setattr(ram, "free_ram_bytes", lambda: 100_000_000)
    with pytest.raises(OutOfMemory) as caught:
        loaded.load(files["dense"], context=1_000_000)
    assert caught.value.values["asked_bytes"] == kv_cache_bytes(wanted, header)
    assert caught.value.values["free_bytes"] == 100_000_000
    with pytest.raises(OutOfMemory):
        loaded.load(files["dense"], context=2**31 - 1)


def test_the_free_ram_is_the_machines_or_less() -> None:
    import psutil

    assert 0 < ram.free_ram_bytes() <= psutil.virtual_memory().total


def test_cancel_while_loading(loaded: Loaded, files: dict[str, Path]) -> None:
    stop = StopFlag()
    seen: list[float] = []

    def progress(fraction: float) -> None:
        seen.append(fraction)
        stop.set()

    with pytest.raises(Cancelled, match=r"moe\.gguf"):
        loaded.engine.load(LoadPlan(model_path=str(files["moe"])), progress=progress, stop=stop)
    assert seen and loaded.engine.loaded is None


def test_progress_rises_to_one(new_engine: Callable[..., Loaded], files: dict[str, Path]) -> None:
    seen: list[float] = []
    engine = new_engine().engine
    engine.load(LoadPlan(model_path=str(files["moe"])), progress=seen.append, stop=StopFlag())
    assert seen == sorted(seen) and seen[-1] == 1.0 and seen[0] < 1.0
