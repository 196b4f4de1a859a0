"""A model file as the engine needs it, checked before llama.cpp meets it: every bad file gets its own sentence, none an abort.

The reading itself is `app.models`', the same for the card on screen and for the load.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.models.card import read_whole
from app.models.gguf_header import GgufHeader


@dataclass(frozen=True, kw_only=True)
class ModelHeader:
    """What a GGUF file says about itself. Sizes in bytes."""

    path: Path
    gguf: GgufHeader  # of the first part
    file_bytes: int  # all parts of a split model together

    @property
    def values(self) -> dict[str, Any]:
        """The keys but long arrays."""
        return dict(self.gguf.values)

    @property
    def architecture(self) -> str:
        return self.gguf.architecture or ""

    def number(self, key: str) -> int | None:
        """Return the whole number under `<architecture>.<key>`; the largest where it differs by layer."""
        return self.gguf.number(key)

    def by_layer(self, key: str, layers: int) -> list[int]:
        """Return the number under `<architecture>.<key>` for each layer, whether the file gives one, many or none."""
        return self.gguf.by_layer(key, layers) or [0] * layers


def read_header(path: Path) -> ModelHeader:
    """Check that `path` is a whole GGUF file, with all its parts if it is split, and return its header.

    Raises `ModelFileMissing` or `ModelUnreadable` with the reason.
    """
    whole = read_whole(path)
    return ModelHeader(path=path, gguf=whole.first, file_bytes=whole.file_bytes)
