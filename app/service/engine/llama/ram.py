"""Refusing what would not fit into RAM, because Linux grants it first and kills the worker later."""

from __future__ import annotations

from app.service.engine.llama.gguf_file import ModelHeader
from app.service.engine.llama.parameters import ContextParameters, kv_cache_bytes
from app.service.free_ram import free_ram_bytes
from app.shared.errors import OutOfMemory


def check_ram(
    header: ModelHeader, context: ContextParameters, *, gpu_layers: int, mapped: bool, resident: int = 0
) -> None:
    """Raise `OutOfMemory` when the KV cache, or weights that are not mapped, exceed the free RAM.

    `resident` bytes will be freed first: the cache that this one replaces. Layers on a GPU keep their share
    there; whether that fits is for the GPU's driver to say.
    """
    layers = header.number("block_count") or 1
    share = 1.0 if not context.kv_offload else 1.0 - min(gpu_layers, layers) / layers
    cache = int(kv_cache_bytes(context, header) * share)
    weights = 0 if mapped else int(header.file_bytes * (1.0 - min(gpu_layers, layers) / layers))
    free = free_ram_bytes() + resident
    if cache > free:
        raise OutOfMemory(
            "A context of {context} tokens needs {asked_bytes} of RAM for its KV cache, and {free_bytes} is "
            "free. Choose a smaller context or a smaller cache type.",
            context=context.context,
            asked_bytes=cache,
            free_bytes=free,
        )
    if cache + weights > free:
        raise OutOfMemory(
            "Loading {name} without mmap needs {asked_bytes} of RAM, and {free_bytes} is free. "
            "Turn mmap on, or choose a smaller file.",
            name=header.path.name,
            asked_bytes=cache + weights,
            free_bytes=free,
        )
