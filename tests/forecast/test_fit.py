"""Fit: what it gives up, in which order, as little as possible; over arithmetic layouts of small models on pretended machines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.forecast.arithmetic import ModelWeights, arithmetic_layout, read_weights
from app.forecast.fit import LEAST_CONTEXT, fit
from app.forecast.layout import Gpu
from app.forecast.verdict import DeviceMemory, forecast_of
from app.shared.engine import SettingValue
from app.shared.forecast import FitAnswer, Forecast, Keep
from app.shared.settings import ModelFacts
from app.shared.units import MIB
from tests.models_for_tests import tiny_dense, tiny_moe

KIB = 1024
MOE = ModelFacts(architecture="qwen3moe", layers=8, experts=64, trained_context=40960)
DENSE = ModelFacts(architecture="qwen3", layers=8, experts=0, trained_context=40960)
ASKED: dict[str, SettingValue] = {"context": 32768, "ubatch": 32}
KEEPS: tuple[Keep, ...] = ("context", "speed", "kv_precision")


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> ModelWeights:
    return read_weights(tiny_moe(tmp_path_factory.mktemp("m") / "moe.gguf", layers=8, experts=64))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> ModelWeights:
    return read_weights(tiny_dense(tmp_path_factory.mktemp("m") / "dense.gguf", layers=8))


def on_machine(
    model: ModelWeights, *, gpu: int | None, ram: int = 10**12
) -> Callable[[dict[str, SettingValue]], Forecast]:
    """Return a measure that forecasts by arithmetic on a machine with this much free."""
    gpus = [] if gpu is None else [Gpu(name="CUDA0", free_bytes=gpu, capacity_bytes=gpu)]
    memory = {"RAM": DeviceMemory(free_bytes=ram, capacity_bytes=0)}
    if gpu is not None:
        memory["CUDA0"] = DeviceMemory(free_bytes=gpu, capacity_bytes=0)

    def measure(values: dict[str, SettingValue]) -> Forecast:
        return forecast_of(arithmetic_layout(model, values, gpus), memory, model_path="m", values=values)

    return measure


def total(model: ModelWeights, values: dict[str, SettingValue], gpu: bool = True) -> int:
    told = on_machine(model, gpu=10**12 if gpu else None)(values)
    return told.devices[0].total_bytes


def search(
    model: ModelWeights,
    facts: ModelFacts,
    keep: Keep,
    *,
    gpu: int | None,
    ram: int = 10**12,
    asked: dict[str, SettingValue] | None = None,
) -> FitAnswer:
    measure = on_machine(model, gpu=gpu, ram=ram)
    return fit(
        ASKED if asked is None else asked, facts, measure, keep=keep, margin_bytes=0, has_gpu=gpu is not None
    )


def test_what_fits_is_left_alone(moe: ModelWeights) -> None:
    answer = search(moe, MOE, "context", gpu=total(moe, ASKED))
    assert answer.found and answer.values == ASKED and answer.changed == {} and answer.tried == 1
    assert answer.gave_up[0].text == "Everything fits as it is; nothing was given up."


@pytest.mark.parametrize(
    ("keep", "first"),
    [("context", {"kv_k", "kv_v"}), ("speed", {"kv_k", "kv_v"}), ("kv_precision", {"moe_cpu_layers"})],
)
def test_the_first_thing_given_up_is_the_one_preferred(
    moe: ModelWeights, keep: Keep, first: set[str]
) -> None:
    answer = search(moe, MOE, keep, gpu=total(moe, ASKED) - 1)
    assert answer.found and set(answer.changed) == first


def test_each_order_keeps_what_it_promises(moe: ModelWeights) -> None:
    """A GPU for half of it: more than a q8_0 cache saves."""
    gpu = total(moe, ASKED) // 2
    context, speed, precise = (search(moe, MOE, keep, gpu=gpu) for keep in KEEPS)
    assert all(answer.found for answer in (context, speed, precise))
    assert "context" not in context.changed
    assert not {"moe_cpu_layers", "gpu_layers"} & set(speed.changed) and "context" in speed.changed
    assert not {"kv_k", "kv_v"} & set(precise.changed)


def test_experts_move_before_whole_layers_and_no_further_than_needed(moe: ModelWeights) -> None:
    gpu = total(moe, {**ASKED, "moe_cpu_layers": 5})
    answer = search(moe, MOE, "kv_precision", gpu=gpu)
    assert answer.changed == {"moe_cpu_layers": 5}
    assert answer.gave_up[0].text.startswith("The experts of 5 of 8 layers stay in RAM")
    less = search(moe, MOE, "kv_precision", gpu=gpu - 1)
    assert less.changed == {"moe_cpu_layers": 6}


def test_a_dense_model_leaves_whole_layers(dense: ModelWeights) -> None:
    gpu = total(dense, {**ASKED, "gpu_layers": 3})
    answer = search(dense, DENSE, "kv_precision", gpu=gpu)
    assert answer.changed == {"gpu_layers": 3}
    assert answer.gave_up[0].text == "6 of 9 layers are computed by the CPU, which slows every token."


def test_without_a_gpu_the_context_shrinks(dense: ModelWeights) -> None:
    ram = total(dense, {**ASKED, "context": 16384}, gpu=False)
    answer = search(dense, DENSE, "kv_precision", gpu=None, ram=ram)
    assert answer.changed == {"context": 16384}
    assert answer.gave_up[0].text == "The context is 16,384 tokens instead of 32,768."


def test_ram_that_is_scarce_too_is_counted(dense: ModelWeights) -> None:
    """Layers moved off the GPU must find room: with neither enough, the context gives way."""
    both = on_machine(dense, gpu=10**12)({**ASKED, "context": 8192})
    gpu, ram = (device.total_bytes for device in both.devices)
    answer = search(dense, DENSE, "kv_precision", gpu=gpu, ram=ram + 64 * KIB)
    assert answer.found and int(answer.values["context"]) < 32768
    assert answer.forecast.verdict != "does_not_fit"


def test_what_cannot_fit_is_said(dense: ModelWeights) -> None:
    answer = search(dense, DENSE, "context", gpu=None, ram=100 * KIB)
    assert not answer.found and answer.forecast.verdict == "does_not_fit"
    assert answer.gave_up[0].text.startswith("No settings make this model fit here")
    assert answer.values["context"] == LEAST_CONTEXT


def test_a_margin_is_left_where_one_is_wanted(moe: ModelWeights) -> None:
    measure = on_machine(moe, gpu=total(moe, ASKED))
    answer = fit(ASKED, MOE, measure, keep="context", margin_bytes=MIB)
    assert answer.found
    assert all(
        device.margin_bytes is not None and device.margin_bytes >= MIB for device in answer.forecast.devices
    )


def test_flash_attention_switched_off_forbids_smaller_caches(moe: ModelWeights) -> None:
    asked: dict[str, SettingValue] = {**ASKED, "flash_attention": "off"}
    answer = search(moe, MOE, "context", gpu=total(moe, asked) - 1, asked=asked)
    assert answer.found and not {"kv_k", "kv_v"} & set(answer.changed)


@settings(max_examples=60, deadline=None)
@given(
    share=st.floats(0.02, 1.1),
    ram=st.integers(64 * KIB, 64 * MIB),
    keep=st.sampled_from(KEEPS),
    context=st.integers(256, 60000),
    gpu=st.booleans(),
    kind=st.sampled_from(["f32", "f16", "q8_0", "q4_0"]),
)
def test_any_machine_gets_settings_that_fit_or_hears_that_none_do(
    moe: ModelWeights, share: float, ram: int, keep: Keep, context: int, gpu: bool, kind: str
) -> None:
    asked: dict[str, SettingValue] = {"context": context, "ubatch": 32, "kv_k": kind, "kv_v": kind}
    room = int(total(moe, asked) * share) if gpu else None
    answer = search(moe, MOE, keep, gpu=room, ram=ram, asked=asked)
    assert answer.found == (answer.forecast.verdict != "does_not_fit")
    assert answer.forecast.values == answer.values
    assert set(answer.changed) <= {"context", "kv_k", "kv_v", "moe_cpu_layers", "gpu_layers"}
    assert int(answer.values["context"]) <= context
    assert answer.tried < 60
