"""The one table of settings: every knob, once. Form, validation, TOML, engine parameters and reference page derive from it.

The knobs themselves stand in `settings_table.py`; this module says what a knob is and checks values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from app.shared.engine import SettingValue
from app.shared.errors import BadValue


class Stage(StrEnum):
    """When a changed value acts."""

    LOAD = "reload"  # the weights are loaded again
    CONTEXT = "new_context"  # the KV cache is built anew, the weights stay
    SAMPLE = "next_answer"


class Group(StrEnum):
    """Tabs of the preset form, in order."""

    MODEL = "model"
    CONTEXT = "context"
    EXPERTS = "experts"
    SAMPLING = "sampling"
    THINKING = "thinking"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One allowed value of a choice: key in files, label on screen, detail such as bytes per value."""

    key: str
    label: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the table needs to know of a model to say whether a knob applies and how far it goes. None: unknown."""

    architecture: str
    layers: int | None = None
    experts: int | None = None
    experts_trained: int | None = None
    trained_context: int | None = None
    rope_scaled: bool = False
    rope_base: float | None = None
    rope_dimensions: int | None = None  # of each head, turned by the position


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One knob: what it means, what it may be, where it lands in llama.cpp.

    `default` None means "as the file or llama.cpp says", worded by `automatic`; such a knob is simply absent from a
    preset. `low_key`/`high_fact` name a bound that depends on the model ("layers", "experts", "trained_context").
    """

    key: str
    label: str
    group: Group
    kind: Literal["int", "float", "bool", "choice", "text"]
    stage: Stage
    default: SettingValue | None
    automatic: str = ""  # what stands in the field while the value is absent: "as trained", "all cores"
    low: float | None = None
    high: float | None = None
    high_fact: Literal["layers", "experts", "trained_context", ""] = ""
    step: float | None = None
    logarithmic: bool = False  # the slider moves in ratios (context)
    choices: tuple[Choice, ...] = ()
    unit: str = ""
    lands: str  # the llama.cpp field or call it ends in: "llama_context_params.n_ctx"
    moe_only: bool = False
    needs: str = ""  # another knob's key and value it depends on: "rope_scaling=yarn"
    formerly: tuple[str, ...] = ()  # old keys still read from preset files
    changes: str  # What it changes: one or two sentences with the cost
    belief: str = ""  # What people wrongly believe, and what is true
    advanced: bool = False
    also: tuple[str, ...] = field(default=())  # OpenAI field names that mean the same over HTTP

    def applies(self, facts: ModelFacts | None) -> bool:
        """Whether the knob reaches anything in this model; unknown models get every knob."""
        return facts is None or not self.moe_only or bool(facts.experts)

    def limit(self, facts: ModelFacts | None) -> float | None:
        """The highest value that means something for this model. `trained_context` is a mark, not a limit.

        llama.cpp counts the output as one more GPU layer.
        """
        if facts is not None and self.high_fact in ("layers", "experts"):
            known = getattr(facts, self.high_fact)
            if known is not None:
                return float(known + 1 if self.key == "gpu_layers" else known)
        return self.high

    def check(self, value: object, facts: ModelFacts | None = None) -> SettingValue:
        """Return `value` in this knob's type; raise `BadValue` in words fit for the form.

        Integers may come as integral floats or as text (command line, TOML); bools as true/false, on/off, yes/no, 1/0.
        """
        if not self.applies(facts) and facts is not None:
            raise BadValue(
                "{label} does not apply: {architecture} has no experts. Remove it from the preset.",
                key=self.key,
                label=self.label,
                architecture=facts.architecture,
            )
        match self.kind:
            case "bool":
                return self._bool(value)
            case "choice":
                return self._choice(value)
            case "text":
                if not isinstance(value, str):
                    raise self._bad(value, "It takes text")
                return value
            case _:
                return self._number(value, facts)

    def _bad(self, value: object, what: str) -> BadValue:
        shown = value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else repr(value)
        return BadValue(
            "{label} is {value}. " + what + ".", key=self.key, label=self.label, value=str(shown)[:80]
        )

    def _bool(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in ("true", "on", "yes", "1"):
            return True
        if word in ("false", "off", "no", "0"):
            return False
        raise self._bad(value, "It takes on or off")

    def _choice(self, value: object) -> str:
        keys = [choice.key for choice in self.choices]
        if isinstance(value, bool):
            value = "on" if value else "off"
        word = str(value).strip().lower()
        if word in keys:
            return word
        raise self._bad(value, "It takes one of " + ", ".join(keys))

    def _number(self, value: object, facts: ModelFacts | None) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self._bad(value, "It takes a number")
        number: int | float
        try:
            if isinstance(value, str):
                text = value.strip().replace("_", "")
                number = int(text) if self.kind == "int" else float(text)
            else:
                number = value
        except ValueError:
            raise self._bad(
                value, "It takes a whole number" if self.kind == "int" else "It takes a number"
            ) from None
        if isinstance(number, float) and not math.isfinite(number):
            raise self._bad(value, "It takes a finite number")
        if self.kind == "int":
            if isinstance(number, float) and not number.is_integer():
                raise self._bad(value, "It takes a whole number")
            number = int(number)
        else:
            number = float(number)
        # More layers than the model has means all of them, so that a preset fits models of any depth.
        low, high = self.low, self.high if self.high_fact == "layers" else self.limit(facts)
        if (low is not None and number < low) or (high is not None and number > high):
            raise self._range(value, low, high)
        return number

    def _range(self, value: object, low: float | None, high: float | None) -> BadValue:
        def plain(bound: float) -> int | float:
            return int(bound) if float(bound).is_integer() else bound

        shown = str(value)[:80]
        if low is not None and high is not None:
            return BadValue(
                "{label} is {value}. It takes {low} to {high}.",
                key=self.key,
                label=self.label,
                value=shown,
                low=plain(low),
                high=plain(high),
            )
        if low is not None:
            return BadValue(
                "{label} is {value}. It takes {low} or more.",
                key=self.key,
                label=self.label,
                value=shown,
                low=plain(low),
            )
        return BadValue(
            "{label} is {value}. It takes {high} or less.",
            key=self.key,
            label=self.label,
            value=shown,
            high=None if high is None else plain(high),
        )


def settings() -> Mapping[str, Setting]:
    """Return every knob by its key, in the order of the form."""
    from app.shared.settings_table import TABLE  # the table needs the classes above

    return TABLE


def find(key: str) -> Setting | None:
    """Return the knob of this key or of this former key."""
    table = settings()
    if key in table:
        return table[key]
    return next((knob for knob in table.values() if key in knob.formerly), None)


def check_values(values: Mapping[str, object], facts: ModelFacts | None = None) -> dict[str, SettingValue]:
    """Return every value in its knob's type under its present key; raise `BadValue` for the first that may not be.

    Unknown keys are refused by name with the nearest known one.
    """
    import difflib

    checked: dict[str, SettingValue] = {}
    for key, value in values.items():
        knob = find(key)
        if knob is None:
            near = difflib.get_close_matches(key, settings().keys(), n=1)
            hint = f"Did you mean {near[0]}?" if near else "pult presets show lists the known ones."
            raise BadValue("There is no setting named {name}. {hint}", key=key, name=key, hint=hint)
        if value is None:
            continue
        checked[knob.key] = knob.check(value, facts)
    _check_together(checked)
    return checked


def _check_together(values: Mapping[str, SettingValue]) -> None:
    """Refuse values that llama.cpp refuses only in each other's company."""
    v_type = values.get("kv_v")
    if values.get("flash_attention") == "off" and v_type not in (None, "f32", "f16", "bf16"):
        raise BadValue(
            "V cache type is {value} with flash attention off. Set flash attention to auto or on, or V to f16.",
            key="kv_v",
            value=str(v_type),
        )


def changed_stages(before: Mapping[str, SettingValue], after: Mapping[str, SettingValue]) -> dict[str, Stage]:
    """Return the keys whose effective values differ, each with the stage at which the change acts."""
    stages: dict[str, Stage] = {}
    for key, knob in settings().items():
        if before.get(key, knob.default) != after.get(key, knob.default):
            stages[key] = knob.stage
    return stages
