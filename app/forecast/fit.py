"""The best settings that fit with a margin: give up one thing after another in the order a person prefers, each as little as possible.

Every step is tried at its end first; if that is enough, its smallest sufficient value is found by bisection. What was given up
and turns out not to be needed is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app.forecast.verdict import tight_margin_bytes
from app.models.anatomy import CACHE_TYPE_BYTES, PADDING_TOKENS
from app.shared.engine import SettingValue
from app.shared.forecast import FitAnswer, Forecast, Keep, Sentence, sentence
from app.shared.settings import ModelFacts, settings

LEAST_CONTEXT = 4096  # less holds no conversation worth the name
_STEP_TOKENS = 1024
_PRECISE = ("q8_0", "q8_0")  # measured hardly worse than f16
_COARSE = (("q5_1", "q5_1"), ("q4_0", "q4_0"))

Values = dict[str, SettingValue]
Measure = Callable[[Values], Forecast]


@dataclass(frozen=True)
class _Step:
    """One thing to give up: the settings at 0 (nothing given up) … `most` (all of it)."""

    name: str
    most: int
    at: Callable[[Values, int], Values]
    fills_ram: bool = False


def fit(
    asked: Mapping[str, SettingValue],
    facts: ModelFacts,
    measure: Measure,
    *,
    keep: Keep = "context",
    margin_bytes: int | None = None,
    has_gpu: bool = True,
) -> FitAnswer:
    """Return the settings nearest to `asked` that fit with `margin_bytes` left on every device.

    Without `margin_bytes` what is left is enough to count as "fits" and not as "tight". `measure` forecasts settings; what
    it raises goes through. `keep` names what is given up last.
    """
    search = _Search(measure, margin_bytes)
    values = dict(asked)
    done: list[tuple[_Step, int]] = []
    found = search.fits(values)
    for step in _steps(values, facts, keep, has_gpu=has_gpu) if not found else ():
        at_end = step.at(values, step.most)
        if at_end == values:
            continue
        # Moving layers fills the RAM as it empties the GPUs: go only as far as these need, then ask for all.
        count = search.least(partial(step.at, values), step.most, gpus_only=step.fills_ram)
        enough = step.at(values, count)
        if search.fits(enough):
            done.append((step, count))
            values, found = enough, True
            break
        if search.helps(values, enough):
            done.append((step, count))
            values = enough
    if found:
        values = _taken_back(search, dict(asked), done, values)
    return FitAnswer(
        found=found,
        keep=keep,
        values=values,
        changed=_changed(asked, values),
        gave_up=_explained(asked, values, facts, found=found),
        forecast=search.forecast(values),
        tried=search.tried,
    )


class _Search:
    """Forecasts settings, each only once."""

    def __init__(self, measure: Measure, margin_bytes: int | None) -> None:
        self._measure, self._margin = measure, margin_bytes
        self._known: dict[tuple[tuple[str, SettingValue], ...], Forecast] = {}

    @property
    def tried(self) -> int:
        return len(self._known)

    def forecast(self, values: Values) -> Forecast:
        key = tuple(sorted(values.items()))
        if key not in self._known:
            self._known[key] = self._measure(values)
        return self._known[key]

    def fits(self, values: Values, *, gpus_only: bool = False) -> bool:
        """Whether every device keeps its margin; devices of which nothing is known do not count against it."""
        for device in self.forecast(values).devices:
            if device.margin_bytes is None or (gpus_only and device.kind != "gpu"):
                continue
            wanted = self._margin
            if wanted is None:
                wanted = tight_margin_bytes(device.kind, device.capacity_bytes)
            if device.margin_bytes < wanted:
                return False
        return True

    def helps(self, before: Values, after: Values) -> bool:
        """Whether less is missing after than before, over all devices together."""
        return self._missing(after) < self._missing(before)

    def _missing(self, values: Values) -> int:
        return sum(
            max(0, tight_margin_bytes(device.kind, device.capacity_bytes) - device.margin_bytes)
            for device in self.forecast(values).devices
            if device.margin_bytes is not None
        )

    def least(self, at: Callable[[int], Values], most: int, *, gpus_only: bool = False) -> int:
        """Return the smallest n for which `at(n)` fits; `most` if none below it does."""
        low, high = -1, most
        while high - low > 1:
            middle = (low + high) // 2
            if self.fits(at(middle), gpus_only=gpus_only):
                high = middle
            else:
                low = middle
        return high


def _steps(values: Values, facts: ModelFacts, keep: Keep, *, has_gpu: bool) -> Sequence[_Step]:
    speed = _speed_steps(values, facts) if has_gpu else []
    precise = [_cache_step("precise", values, (_PRECISE,))]
    coarse = [_cache_step("coarse", values, (_PRECISE, *_COARSE))]
    context = [_context_step(values, facts)]
    match keep:
        case "context":
            return [*precise, *speed, *coarse, *context]
        case "speed":
            return [*precise, *context, *coarse, *speed]
        case "kv_precision":
            return [*speed, *context, *coarse]


def _speed_steps(values: Values, facts: ModelFacts) -> list[_Step]:
    layers = facts.layers or 0
    if layers == 0:
        return []
    steps = []
    if facts.experts:
        start = min(_whole(values, "moe_cpu_layers", 0), layers)
        steps.append(
            _Step("experts", layers - start, lambda held, n: {**held, "moe_cpu_layers": start + n}, True)
        )
    top = min(_whole(values, "gpu_layers", layers + 1), layers + 1)
    steps.append(_Step("layers", top, lambda held, n: {**held, "gpu_layers": top - n}, True))
    return [step for step in steps if step.most > 0]


def _context_step(values: Values, facts: ModelFacts) -> _Step:
    start = _whole(values, "context", facts.trained_context or LEAST_CONTEXT)
    most = max(0, -(-(start - LEAST_CONTEXT) // _STEP_TOKENS))

    def at(held: Values, n: int) -> Values:
        if n == 0:
            return held
        shorter = max(LEAST_CONTEXT, start - n * _STEP_TOKENS)
        return {**held, "context": -(-shorter // PADDING_TOKENS) * PADDING_TOKENS}

    return _Step("context", most, at)


def _cache_step(name: str, values: Values, types: Sequence[tuple[str, str]]) -> _Step:
    """Smaller and smaller cache types, never a larger one than was asked for. Flash attention must not be off for it."""
    if values.get("flash_attention") == "off":
        types = ()

    def smaller(kind: SettingValue, other: str) -> SettingValue:
        return other if CACHE_TYPE_BYTES[other] < CACHE_TYPE_BYTES.get(str(kind), 0) else kind

    def at(held: Values, n: int) -> Values:
        if n == 0:
            return held
        k, v = types[n - 1]
        table = settings()
        before_k, before_v = (held.get(key, table[key].default) or "f16" for key in ("kv_k", "kv_v"))
        after = {"kv_k": smaller(before_k, k), "kv_v": smaller(before_v, v)}
        return {
            **held,
            **{key: value for key, value in after.items() if value != held.get(key, table[key].default)},
        }

    return _Step(name, len(types), at)


def _taken_back(search: _Search, asked: Values, done: Sequence[tuple[_Step, int]], values: Values) -> Values:
    """Take back what the later steps made needless, the first given up first."""
    counts = [count for _, count in done]

    def built(place: int, n: int) -> Values:
        candidate = asked
        for at, (step, _) in enumerate(done):
            candidate = step.at(candidate, n if at == place else counts[at])
        return candidate

    for place in range(len(done) - 1):
        fewer = search.least(partial(built, place), counts[place])
        if search.fits(built(place, fewer)):
            counts[place], values = fewer, built(place, fewer)
    return values


def _changed(asked: Mapping[str, SettingValue], values: Values) -> Values:
    return {key: value for key, value in values.items() if asked.get(key) != value}


def _explained(
    asked: Mapping[str, SettingValue], values: Values, facts: ModelFacts, *, found: bool
) -> tuple[Sentence, ...]:
    """Say what was given up and what it costs, in the order of the form."""
    changed, layers = _changed(asked, values), facts.layers or 0
    told: list[Sentence] = []
    if not found:
        told.append(
            sentence("No settings make this model fit here. Close other programs, or choose a smaller file.")
        )
    if "gpu_layers" in changed:
        told.append(
            sentence(
                "{count} of {layers} layers are computed by the CPU, which slows every token.",
                count=max(0, layers + 1 - int(changed["gpu_layers"])),
                layers=layers + 1,
            )
        )
    if "moe_cpu_layers" in changed:
        told.append(
            sentence(
                "The experts of {count} of {layers} layers stay in RAM: answers come slower, the context and its precision stay.",
                count=int(changed["moe_cpu_layers"]),
                layers=layers,
            )
        )
    if "context" in changed:
        told.append(
            sentence(
                "The context is {after} tokens instead of {before}.",
                after=int(changed["context"]),
                before=_whole(asked, "context", facts.trained_context or 0),
            )
        )
    for key in ("kv_k", "kv_v"):
        if key in changed:
            knob = settings()[key]
            told.append(
                sentence(
                    "{label} is {after} instead of {before}.",
                    label=knob.label,
                    after=str(changed[key]),
                    before=str(asked.get(key, knob.default)),
                )
            )
    if found and not changed:
        told.append(sentence("Everything fits as it is; nothing was given up."))
    return tuple(told)


def _whole(values: Mapping[str, SettingValue], key: str, otherwise: int) -> int:
    found = values.get(key, settings()[key].default)
    return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else otherwise
