"""The factor that follows from two lengths, what it amounts to, and the warnings; arithmetic by hand beside it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.shared.rope import FACTOR_STEP, effective_theta, factor_for, offer, reach_of, warnings, yarn_origin
from app.shared.settings import ModelFacts, check_values

QWEN3 = ModelFacts(architecture="qwen3moe", trained_context=40960, rope_base=1e6, rope_dimensions=128)
LONG = ModelFacts(architecture="qwen3moe", trained_context=262144, rope_base=1e7, rope_dimensions=128)
SHORT = ModelFacts(architecture="qwen3", trained_context=2048, rope_base=10000.0, rope_dimensions=64)


@pytest.mark.parametrize(
    ("wanted", "origin", "factor"),
    [
        (131072, 32768, 4.0),
        (92160, 32768, 3.0),
        (32768, 32768, 1.0),
        (32769, 32768, 1.25),
        (65536, 32768, 2.0),
        (256, 32768, 1.0),
        (1_000_000, 262_144, 4.0),
    ],
)
def test_the_factor_that_follows(wanted: int, origin: int, factor: float) -> None:
    assert factor_for(wanted, origin) == factor


@given(st.integers(1, 2**31), st.integers(1, 2**31))
def test_it_is_the_smallest_step_that_reaches(wanted: int, origin: int) -> None:
    factor = factor_for(wanted, origin)
    assert factor >= 1 and (factor / FACTOR_STEP).is_integer()
    assert factor * origin >= wanted
    assert factor == 1 or (factor - FACTOR_STEP) * origin < wanted


def test_qwen3_starts_from_what_qwen_documents() -> None:
    assert yarn_origin(QWEN3) == 32768
    assert yarn_origin(LONG) == 262144
    assert yarn_origin(SHORT) == 2048
    assert yarn_origin(ModelFacts(architecture="qwen3")) is None


def test_the_offer_is_qwens_own_setting() -> None:
    wanted = offer({"context": 131072}, QWEN3)
    assert wanted == {"rope_scaling": "yarn", "yarn_factor": 4.0, "yarn_original_context": 32768}
    assert offer({"context": 131072, **wanted}, QWEN3) is None
    assert offer({"context": 131072, **wanted, "yarn_factor": 8.0}, QWEN3) == wanted
    without_default = {key: value for key, value in wanted.items() if key != "yarn_factor"}
    assert offer({"context": 131072, **without_default}, QWEN3) is None  # 4 is the table's default


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        ({"context": 40960}, QWEN3),
        ({}, QWEN3),
        ({"context": 131072}, None),
        ({"context": 131072}, ModelFacts(architecture="qwen3")),
        ({"context": 131072}, ModelFacts(architecture="qwen3", trained_context=32768, rope_scaled=True)),
        ({"context": 2048 * 65}, SHORT),
    ],
)
def test_nothing_is_offered_where_nothing_helps(values: dict[str, int], facts: ModelFacts | None) -> None:
    assert offer(values, facts) is None


@given(st.integers(256, 2**27), st.integers(256, 2**24))
def test_whatever_is_offered_is_allowed_and_quiets_the_warning(context: int, trained: int) -> None:
    facts = ModelFacts(architecture="qwen35", trained_context=trained)
    wanted = offer({"context": context}, facts)
    if wanted is None:
        assert context <= trained or context > 64 * trained
        return
    values = check_values({"context": context, **wanted})
    assert warnings({"context": context}, facts)
    assert not warnings(values, facts)
    assert (reach_of(values, facts).reach or 0) >= context


def test_theta_turns_the_slowest_pair_as_slowly_as_yarn_does() -> None:
    theta, factor, dimensions = 1e6, 4.0, 128
    slowest = theta ** (-(dimensions - 2) / dimensions)
    amounts = effective_theta(theta, factor, dimensions)
    assert math.isclose(amounts ** (-(dimensions - 2) / dimensions), slowest / factor, rel_tol=1e-12)
    assert effective_theta(theta, 1.0, dimensions) == theta
    state = reach_of({"context": 131072, "rope_scaling": "yarn", "yarn_original_context": 32768}, QWEN3)
    assert (state.factor, state.origin, state.reach, state.theta) == (4.0, 32768, 131072, 1e6)
    assert state.effective_theta == amounts
    assert reach_of({"rope_base": 5e5}, QWEN3).theta == 5e5


def said(values: dict[str, object], facts: ModelFacts | None = QWEN3) -> str:
    return " ".join(each.text for each in warnings(values, facts))  # type: ignore[arg-type]  # checked values


def test_warnings_in_plain_words() -> None:
    assert said({"context": 32768}) == "" and said({"context": 40960}) == ""
    above = said({"context": 65536})
    assert "65,536" in above and "40,960" in above and "YaRN" in above
    yarn = {"rope_scaling": "yarn", "yarn_factor": 2.0, "yarn_original_context": 32768}
    assert said({"context": 65536, **yarn}) == ""
    far = said({"context": 65792, **yarn})
    assert "65,536" in far and "×2" in far and "32,768" in far
    short = said({"context": 16384, **yarn})
    assert "short texts get slightly worse" in short and "16,384" in short
    assert said({"context": 65536, "rope_scaling": "linear", "rope_scale": 0.5}) == ""
    assert "×2" in said({"context": 90112, "rope_scaling": "linear", "rope_scale": 0.5})
    assert "nothing stretches" in said({"context": 65536, "rope_scaling": "linear"})
    assert said({"context": 10**6}, None) == ""


def test_a_file_with_scaling_of_its_own_is_believed() -> None:
    facts = ModelFacts(architecture="qwen2", trained_context=32768, rope_scaled=True)
    assert said({"context": 131072}, facts) == ""
    assert "nothing stretches" in said({"context": 131072, "rope_scaling": "none"}, facts)
