"""Another number of experts per token without a reload: weights and KV cache stay.

llama.cpp has no call for it. It reads the number from the loaded model whenever it builds a graph, so writing it there
and asking for a new graph is enough. The place is found by comparing two models that differ in nothing else
(`experts_study`), it is private to one build of llama.cpp, and so nothing is written before three things agree: the
block's size, the number that stands there now, and a trial that goes there and back.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.service.engine.experts_range import check_experts
from app.service.engine.llama.context import Context
from app.service.engine.llama.model import Model
from app.shared.errors import BadValue

_LARGEST_BLOCK_BYTES = 1 << 20  # a model's structure has 37 kB; more is something else
_WORD = 4
_TRIAL_TEXT = "The panel shows memory and speed."
_TRIAL_TOKENS = 4  # several, so that at least one of them is torn between experts

Mode = Literal["live", "reload"]


@dataclass(frozen=True)
class Layout:
    """Where a model of this build keeps the number: one 32-bit word per layer, and the structure's size."""

    struct_bytes: int
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Findings:
    """What the study of a file brought. `limit` is the most experts whose graph llama.cpp has room for.

    `layout` None means that there is no live switch, `reason` says why. `limit` None means that it is not known.
    """

    layout: Layout | None = None
    limit: int | None = None
    reason: str = ""


UNSOUND = Findings(
    reason="the switch gave other numbers on this model, so that it was loaded once more without it"
)


class SwitchRefused(Exception):  # an outcome that the caller turns into a sentence and a mode
    """The number cannot be written safely; the text says why."""


def model_block(pointer: int) -> Any:
    """Return the structure at `pointer` as an array of 32-bit words that reads and writes the memory itself.

    Its size comes from the allocator, and only pages that the system lists as readable and writable are touched.
    Raises `SwitchRefused` where either cannot be told.
    """
    measure = _allocator_measure()
    if measure is None:
        raise SwitchRefused("on this system the size of a block of memory cannot be told")
    ranges = _writable_ranges()
    before = 2 * ctypes.sizeof(ctypes.c_size_t)  # the allocator keeps the size just before the block
    if not pointer or pointer % _WORD or not _inside(ranges, pointer - before, before + _WORD):
        raise SwitchRefused("the model does not lie in writable memory")
    size = int(measure(pointer))
    if not _WORD <= size <= _LARGEST_BLOCK_BYTES or not _inside(ranges, pointer, size):
        raise SwitchRefused(f"the model's block is said to have {size} bytes")
    words = (ctypes.c_uint32 * (size // _WORD)).from_address(pointer)
    return np.ctypeslib.as_array(words)


class NumberInModel:
    """The number of experts per token inside one loaded model."""

    def __init__(self, pointer: int, layout: Layout, now: int) -> None:
        self._words = model_block(pointer)
        self._places = np.array(layout.offsets, np.intp) // _WORD
        size = len(self._words) * _WORD
        if not layout.offsets or size != layout.struct_bytes // _WORD * _WORD:
            raise SwitchRefused(f"the model's structure has {size} bytes instead of {layout.struct_bytes}")
        if min(layout.offsets) < 0 or max(layout.offsets) > size - _WORD:
            raise SwitchRefused("the number's place lies outside the model's structure")
        self._expect(now)
        self.value = now

    def write(self, value: int) -> None:
        """Set it for every layer. Takes effect when the next graph is built."""
        self._expect(self.value)
        self._words[self._places] = value
        self.value = value

    def _expect(self, value: int) -> None:
        found = {int(word) for word in self._words[self._places]}
        if found != {value}:
            raise SwitchRefused(f"where {value} should stand, the model holds {sorted(found)[:4]}")


class LiveExperts:
    """The switch of one loaded model. `mode` says how the number changes, `note` why, in a sentence."""

    def __init__(self, model: Model, findings: Findings) -> None:
        self._model = model
        self._number: NumberInModel | None = None
        self.limit = findings.limit
        self.reason = findings.reason
        if findings.layout is None or findings.limit is None:
            self.reason = self.reason or "llama.cpp's layout is not known here"
        elif findings.limit < 2:
            self.reason = "its graph has room for one expert only"
        else:
            assert model.pointer is not None and model.experts_used is not None
            try:
                self._number = NumberInModel(model.pointer, findings.layout, model.experts_used)
            except SwitchRefused as refused:
                self.reason = str(refused)

    @property
    def mode(self) -> Mode:
        """How the number of experts changes now."""
        return "live" if self._number is not None else "reload"

    @property
    def note(self) -> str:
        """The mode in a sentence."""
        if self._number is not None:
            return (
                "Experts per token change with the next answer, weights and KV cache stay: the switch gave the same "
                "numbers as a reload when it was tried. Text that was read before keeps what it was read with."
            )
        return f"Experts per token change by loading again: {self.reason}."

    def try_out(self, context: Context) -> bool:
        """Go to another number and back on the loaded model; False when the first logits do not come again: then the
        model must not be used any more.

        The switch is given up, too, when it changes nothing, or when the same tokens give other logits each time anyway.
        """
        number = self._number
        if number is None:
            return True
        assert self.limit is not None
        # The largest step: a sure router gives the last expert next to nothing.
        home, away = number.value, 1 if number.value > 1 else self.limit
        first = self._logits(context)
        if not np.array_equal(first, self._logits(context)):
            self._number, self.reason = (
                None,
                "the same text gives other logits each time, so it cannot be tried",
            )
            return True
        try:
            self.use(context, away)
            other = self._logits(context)
            self.use(context, home)
            again = self._logits(context)
        except BadValue:
            return False
        if not np.array_equal(first, again):
            self._number, self.reason = None, "going to another number and back gave other logits"
            return False
        if np.array_equal(first, other):
            self._number, self.reason = None, "another number changed nothing"
        return True

    def use(self, context: Context, count: int) -> None:
        """Let `count` experts work from the next computed token on. Raises `BadValue` where that cannot be."""
        if count == self._model.experts_used:
            return
        check_experts(count, self._model.experts, self.limit)
        if self._number is not None:
            try:
                self._number.write(count)
            except SwitchRefused as refused:
                self._number, self.reason = None, str(refused)
        if self._number is None:
            raise BadValue(
                "Experts per token acts only when the model is loaded: {reason}. Change it in the preset and reload.",
                key="experts",
                reason=self.reason,
                remedies=("edit_preset", "reload"),
            )
        context.rebuild_graph()
        self._model.experts_used = count

    def _logits(self, context: Context) -> Any:
        context.clear()
        tokens = self._model.tokenize(_TRIAL_TEXT)[:_TRIAL_TOKENS]
        for start in range(0, len(tokens), context.chunk):
            context.read(tokens[start : start + context.chunk], output=True)
        logits = context.logits(self._model.vocabulary_size)
        context.clear()
        return logits


@functools.cache
def _allocator_measure() -> Any:
    """`malloc_usable_size` of the allocator in use; None where that is not known to be the one that `new` uses."""
    if sys.platform != "linux":
        return None
    measure = getattr(ctypes.CDLL(None), "malloc_usable_size", None)
    if measure is not None:
        measure.restype, measure.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    return measure


def _writable_ranges() -> list[tuple[int, int]]:
    """Return the address ranges that are readable and writable, joined where they touch, in order."""
    ranges: list[tuple[int, int]] = []
    try:
        lines = Path("/proc/self/maps").read_text("ascii", "replace").splitlines()
    except OSError as error:
        raise SwitchRefused(f"the list of mapped memory cannot be read ({error.strerror})") from None
    for line in lines:
        span, rights, _ = line.split(maxsplit=2)
        if not rights.startswith("rw"):
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def _inside(ranges: list[tuple[int, int]], start: int, size: int) -> bool:
    return any(low <= start and start + size <= high for low, high in ranges)
