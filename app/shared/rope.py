"""How far a model's positions reach, and what YaRN does about it: the factor that follows from a wanted length.

YaRN: Peng et al. 2023, arXiv:2309.00071. What llama.cpp does with factor and original length stands in its
`llm_build_context` and ggml's `rope_yarn`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.shared.engine import SettingValue
from app.shared.forecast import Sentence, sentence
from app.shared.settings import ModelFacts, settings

FACTOR_STEP = 0.25
# Qwen3's files say 40,960 (a prompt of 8,192 beside 32,768 of answer); its documentation starts YaRN from 32,768.
_QWEN3 = ("qwen3", "qwen3moe")
_QWEN3_SAID, _QWEN3_ORIGIN = 40_960, 32_768


def yarn_origin(facts: ModelFacts) -> int | None:
    """Return the length in tokens that YaRN's factor starts from: the trained one, for Qwen3 the one Qwen documents."""
    if facts.architecture in _QWEN3 and facts.trained_context == _QWEN3_SAID:
        return _QWEN3_ORIGIN
    return facts.trained_context


def factor_for(wanted: int, origin: int) -> float:
    """Return the smallest multiple of 0.25 by which `origin` tokens reach `wanted`; 1.0 if they do already."""
    steps = -(-wanted * round(1 / FACTOR_STEP) // origin)
    return max(1.0, steps * FACTOR_STEP)


def effective_theta(theta: float, factor: float, dimensions: int) -> float:
    """Return the base at which the slowest turning pair would turn as it does under YaRN: theta · factor^(d / (d − 2)).

    YaRN keeps the fast pairs and slows the slowest by the whole factor, so this is an equivalent and not what is computed
    with; `dimensions` is the number of each head's dimensions that are turned.
    """
    if dimensions <= 2:
        return theta * factor
    return float(theta * math.pow(factor, dimensions / (dimensions - 2)))


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What the settings make of a model's positions; None where the model does not say. Lengths in tokens."""

    trained: int | None
    context: int
    scaling: str  # none, linear, yarn, or file: as the file says
    origin: int | None = None  # where the factor starts from
    factor: float = 1.0
    reach: int | None = None  # up to where answers may hold
    theta: float | None = None  # as computed with
    effective_theta: float | None = None  # what YaRN amounts to


def reach_of(values: Mapping[str, SettingValue], facts: ModelFacts) -> Reach:
    """Return how far this model reaches with these settings."""
    trained = facts.trained_context
    context = int(_number(values, "context") or trained or 4096)
    scaling = str(values.get("rope_scaling") or ("file" if facts.rope_scaled else "none"))
    theta = _number(values, "rope_base") or facts.rope_base
    factor, origin, amounts = 1.0, trained, theta
    if scaling == "yarn":
        factor = _number(values, "yarn_factor") or 1.0
        given = _number(values, "yarn_original_context")
        origin = int(given) if given else trained
        if theta is not None and facts.rope_dimensions is not None:
            amounts = effective_theta(theta, factor, facts.rope_dimensions)
    elif scaling == "linear":
        factor = 1.0 / (_number(values, "rope_scale") or 1.0)
    reach = None if origin is None or scaling == "file" else int(origin * factor)
    if reach is not None and trained is not None:
        reach = max(reach, trained)  # a factor that starts lower takes nothing from what was trained
    return Reach(
        trained=trained,
        context=context,
        scaling=scaling,
        origin=origin,
        factor=factor,
        reach=reach,
        theta=theta,
        effective_theta=amounts,
    )


def offer(values: Mapping[str, SettingValue], facts: ModelFacts | None) -> dict[str, SettingValue] | None:
    """Return the YaRN settings that fit the context; None when it needs none, has them, or the model says no length.

    The factor is the smallest step that covers the context. A context beyond the largest factor gets no offer.
    """
    if facts is None or facts.trained_context is None or facts.rope_scaled:
        return None
    context = int(_number(values, "context") or 0)
    origin = yarn_origin(facts)
    if origin is None or origin <= 0 or context <= facts.trained_context:
        return None
    factor = factor_for(context, origin)
    most = settings()["yarn_factor"].high
    if most is not None and factor > most:
        return None
    wanted: dict[str, SettingValue] = {
        "rope_scaling": "yarn",
        "yarn_factor": factor,
        "yarn_original_context": origin,
    }
    default = settings()["yarn_factor"].default
    present = {key: values.get(key, default if key == "yarn_factor" else None) for key in wanted}
    return None if present == wanted else wanted


def warnings(values: Mapping[str, SettingValue], facts: ModelFacts | None) -> tuple[Sentence, ...]:
    """Return in plain words what is wrong with context and scaling for this model; empty when nothing is."""
    if facts is None or facts.trained_context is None:
        return ()
    state = reach_of(values, facts)
    trained, context = facts.trained_context, state.context
    if state.scaling == "yarn" and context <= trained:
        return (
            sentence(
                "YaRN is on, and the context of {context} tokens fits the trained {trained} without it. Its scaling is "
                "static: answers to short texts get slightly worse. Set RoPE scaling back unless the texts are long.",
                context=context,
                trained=trained,
            ),
        )
    if state.reach is None or context <= state.reach:
        return ()
    if state.scaling in ("yarn", "linear") and state.factor > 1.0:
        return (
            sentence(
                "The context of {context} tokens is longer than the {reach} that ×{factor} reaches from {origin}. "
                "Beyond them answers fall apart.",
                context=context,
                reach=state.reach,
                factor=state.factor,
                origin=state.origin,
            ),
        )
    return (
        sentence(
            "The context of {context} tokens is longer than the {trained} the model was trained on, and nothing stretches "
            "its positions. Beyond them answers fall apart: use YaRN, or a shorter context.",
            context=context,
            trained=trained,
        ),
    )


def _number(values: Mapping[str, SettingValue], key: str) -> float | None:
    value = values.get(key, settings()[key].default)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
