"""Reading `llama_get_memory_breakdown`: bytes of weights, cache and scratch by buffer type, as llama.cpp accounts for them.

The function is C++ and returns a `std::map<buffer type, {model, context, compute}>` by value, so its memory is read as
libstdc++ lays it out: the header's root at byte 16 and its count at byte 40; every node is eight words: colour, parent,
left, right, buffer type, model, context, compute. libc++ and MSVC lay it out otherwise; there it is not available.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as bindings

from app.service.engine.llama import native

_SYMBOL = "_Z26llama_get_memory_breakdownPK13llama_context"
_MAP_BYTES, _ROOT_AT, _COUNT_AT, _NODE_WORDS = 48, 16, 40, 8
_MOST_NODES = 256  # a model uses a handful of buffer types: more means that this is no map


@dataclass(frozen=True)
class BufferBytes:
    """What one buffer type holds. `device` is the name of its device, `kind` ggml's number for it (0 CPU, 1 GPU, 2 iGPU)."""

    buffer: str
    device: str
    kind: int
    host: bool  # readable by the CPU as it stands: what a mapped file can serve
    weights: int
    cache: int
    compute: int


def available() -> bool:
    """Whether this build exports the function and uses libstdc++."""
    return sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8 and _symbol() is not None


def read(context: int) -> tuple[BufferBytes, ...]:
    """Return the breakdown of a living context. Raises `LookupError` when what came back cannot be the map.

    The map's nodes are not given back: a few hundred bytes a call, in a process that is short-lived.
    """
    function = _symbol()
    if function is None:
        raise LookupError("this llama.cpp does not export its memory breakdown")
    function.restype = None  # a C++ object is returned through a hidden first argument
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    raw = ctypes.create_string_buffer(_MAP_BYTES)
    function(raw, context)
    root, count = _word(raw.raw, _ROOT_AT), _word(raw.raw, _COUNT_AT)
    if not 0 < count <= _MOST_NODES or root == 0:
        raise LookupError(f"the memory breakdown has {count} entries")
    nodes = list(_nodes(root, [count]))
    if len(nodes) != count:
        raise LookupError(f"the memory breakdown lists {len(nodes)} of {count} entries")
    return tuple(_buffer(*node) for node in nodes)


def _symbol() -> Any:
    return getattr(bindings._lib, _SYMBOL, None)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], sys.byteorder)


def _nodes(address: int, left: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Walk the tree in order; `left` holds how many nodes may still come, so that a wrong layout ends."""
    if not address or left[0] <= 0:
        return
    left[0] -= 1
    words = (ctypes.c_size_t * _NODE_WORDS).from_address(address)
    yield from _nodes(words[2], left)
    yield (words[4], words[5], words[6], words[7])
    yield from _nodes(words[3], left)


def _buffer(kind: int, weights: int, cache: int, compute: int) -> BufferBytes:
    pointer = ctypes.c_void_p
    name = native.function("ggml_backend_buft_name", ctypes.c_char_p, pointer)(kind)
    host = bool(native.function("ggml_backend_buft_is_host", ctypes.c_bool, pointer)(kind))
    device = native.function("ggml_backend_buft_get_device", pointer, pointer)(kind)
    if not device:
        return BufferBytes((name or b"").decode(), "CPU", 0, host, weights, cache, compute)
    return BufferBytes(
        (name or b"").decode(),
        native.function("ggml_backend_dev_name", ctypes.c_char_p, pointer)(device).decode(),
        int(native.function("ggml_backend_dev_type", ctypes.c_int, pointer)(device)),
        host,
        weights,
        cache,
        compute,
    )
