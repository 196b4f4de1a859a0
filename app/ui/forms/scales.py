"""How far a knob's slider goes: the law is in the table, the slider shows the part of it that people use."""

from __future__ import annotations

import os
from dataclasses import dataclass

from app.shared.settings import ModelFacts, Setting

# Where a slider ends although the knob goes further; the number field takes the rest.
_USUAL_HIGH: dict[str, float] = {
    "context": 131_072,
    "yarn_factor": 8.0,
    "batch": 8_192,
    "ubatch": 4_096,
    "temperature": 2.0,
    "top_k": 100,
    "min_p": 0.5,
    "repeat_penalty": 1.5,
    "repeat_last": 1_024,
}
_USUAL_LOW: dict[str, float] = {"batch": 64, "ubatch": 32, "repeat_penalty": 0.8, "context": 1_024}
# Knobs with no natural scale: a number is typed.
_TYPED = frozenset(
    {"seed", "max_tokens", "thinking_budget", "main_gpu", "rope_base", "rope_scale", "yarn_original_context"}
)


@dataclass(frozen=True)
class Scale:
    """A slider's range, its steps, and where its tick stands."""

    low: float
    high: float
    step: float
    logarithmic: bool
    tick: float | None


def scale_of(knob: Setting, facts: ModelFacts | None) -> Scale | None:
    """Return the slider's scale for this model; None where a slider would say nothing."""
    if knob.kind not in ("int", "float") or knob.key in _TYPED:
        return None
    low = _USUAL_LOW.get(knob.key, knob.low if knob.low is not None else 0.0)
    if knob.high_fact in ("layers", "experts"):
        known = getattr(facts, knob.high_fact) if facts is not None else None
        if not known:
            return None
        high = float(known)
    elif knob.key in ("threads", "batch_threads"):
        high = float(max(os.cpu_count() or 1, 2))
    else:
        high = _USUAL_HIGH.get(knob.key, knob.high if knob.high is not None else low + 100)
    if knob.key == "context" and facts is not None and facts.trained_context:
        high = max(high, 4.0 * facts.trained_context)
    if high <= low:
        return None
    return Scale(
        low=low, high=high, step=knob.step or 1, logarithmic=knob.logarithmic, tick=tick_of(knob, facts)
    )


def tick_of(knob: Setting, facts: ModelFacts | None) -> float | None:
    """Return the value that the tick marks: the trained one where there is one, else the default."""
    if facts is not None:
        if knob.key == "experts" and facts.experts_trained:
            return float(facts.experts_trained)
        if knob.key == "context" and facts.trained_context:
            return float(facts.trained_context)
        if knob.key == "gpu_layers" and facts.layers:
            return float(facts.layers)
    if isinstance(knob.default, (int, float)) and not isinstance(knob.default, bool):
        return float(knob.default)
    return None


def resting_number(knob: Setting, facts: ModelFacts | None) -> float | None:
    """Return where the slider stands while the value is left to the file or the machine."""
    if knob.key == "threads" or knob.key == "batch_threads":
        return None
    return tick_of(knob, facts)


def decimals_of(knob: Setting) -> int:
    """Return how many decimals the field shows."""
    if knob.kind == "int":
        return 0
    step = knob.step or 1
    return 0 if step >= 1 and knob.key != "yarn_factor" else 2 if step >= 0.01 else 3
