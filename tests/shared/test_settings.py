"""The table of settings: complete, consistent, and its checks worded for the form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.shared.errors import BadValue
from app.shared.presets import parse_preset
from app.shared.settings import ModelFacts, Stage, changed_stages, check_values, find, settings

# fmt: off
KEYS = [
    "context", "rope_scaling", "yarn_factor", "yarn_original_context", "rope_base", "rope_scale", "kv_k",
    "kv_v", "kv_offload", "flash_attention", "batch", "ubatch", "gpu_layers", "moe_cpu_layers", "main_gpu",
    "tensor_split", "threads", "batch_threads", "mmap", "mlock", "experts", "temperature", "top_k", "top_p",
    "min_p", "repeat_penalty", "repeat_last", "presence_penalty", "frequency_penalty", "seed", "max_tokens",
    "thinking", "thinking_budget", "system_prompt",
]
# fmt: on
MOE = ModelFacts(architecture="qwen3moe", layers=48, experts=128, experts_trained=8, trained_context=40960)
DENSE = ModelFacts(architecture="qwen3", layers=36)
ROOT = Path(__file__).resolve().parents[2]


def test_every_promised_key_is_there_and_no_name_means_two_knobs() -> None:
    assert sorted(settings()) == sorted(KEYS)
    names = [name for knob in settings().values() for name in (knob.key, *knob.formerly)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("key", KEYS)
def test_each_knob_is_whole(key: str) -> None:
    knob = settings()[key]
    assert knob.changes.endswith(".") and "!" not in knob.changes + knob.belief
    assert knob.lands
    assert (knob.default is None) == bool(knob.automatic), "an absent value needs words, a default none"
    if knob.default is not None:
        assert knob.check(knob.default) == knob.default
    if knob.kind in ("int", "float"):
        assert knob.low is not None and knob.high is not None and knob.step
    if knob.needs:
        other, _, value = knob.needs.partition("=")
        assert value in [choice.key for choice in settings()[other].choices]


@pytest.mark.parametrize(
    ("key", "given", "kept"),
    [
        ("context", "16_384", 16384),
        ("context", 4096.0, 4096),
        ("thinking", "off", False),
        ("flash_attention", True, "on"),
        ("temperature", 1, 1.0),
        ("kv_k", " Q8_0 ", "q8_0"),
        ("n_ctx", 512, 512),
    ],
)
def test_values_come_in_many_dresses(key: str, given: Any, kept: Any) -> None:
    knob = find(key)
    assert knob is not None
    value = check_values({key: given})[knob.key]
    assert value == kept and type(value) is type(kept)


@pytest.mark.parametrize(
    ("values", "facts", "words"),
    [
        ({"experts": 129}, MOE, "Experts per token is 129. It takes 1 to 128."),
        ({"experts": 0}, MOE, "Experts per token is 0. It takes 1 to 128."),
        ({"experts": -1}, None, "Experts per token is -1."),
        ({"experts": 4}, DENSE, "qwen3 has no experts"),
        ({"context": 2**31}, None, "Context length is 2147483648."),
        ({"context": 2**32}, None, "Context length is 4294967296."),
        ({"context": 1.5}, None, "whole number"),
        ({"context": True}, None, "takes a number"),
        ({"temperature": float("inf")}, None, "finite"),
        ({"kv_k": 999}, None, "It takes one of"),
        ({"temprature": 1}, None, "Did you mean temperature?"),
        ({"kv_v": "q8_0", "flash_attention": "off"}, None, "flash attention off"),
    ],
)
def test_what_may_not_be_is_refused_in_words(
    values: dict[str, Any], facts: ModelFacts | None, words: str
) -> None:
    with pytest.raises(BadValue) as refused:
        check_values(values, facts)
    assert words in refused.value.sentence


def test_a_layer_count_above_the_models_means_all() -> None:
    assert check_values({"gpu_layers": 99, "moe_cpu_layers": 999}, MOE) == {
        "gpu_layers": 99,
        "moe_cpu_layers": 999,
    }
    assert settings()["gpu_layers"].limit(MOE) == 49  # the output counts as one
    assert settings()["moe_cpu_layers"].limit(MOE) == 48


def test_changed_stages_compare_effective_values() -> None:
    assert changed_stages({}, {"temperature": 0.6, "context": 8192}) == {}
    assert changed_stages({"experts": 4}, {"context": 512, "seed": 1}) == {
        "context": Stage.CONTEXT,
        "experts": Stage.LOAD,
        "seed": Stage.SAMPLE,
    }


def test_the_reference_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/settings_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_preset_can_be_loaded_and_says_why_it_is_there(path: Path) -> None:
    preset = parse_preset(path.read_text(encoding="utf-8"), name=path.stem)
    assert preset.problem is None and preset.unknown == ()
    assert preset.description.endswith(".") and preset.values
    check_values(preset.values, MOE)
    if preset.kind != "moe":
        check_values(preset.values, DENSE)
