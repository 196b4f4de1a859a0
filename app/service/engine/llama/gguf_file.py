"""Looking at a model file before llama.cpp does, so that every bad file gets its own sentence and none an
abort.

Reads the header only, through a map of the file; weights are never touched. Format: ggml's docs/gguf.md.
"""

from __future__ import annotations

import mmap
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from app.shared.errors import ModelFileMissing, ModelUnreadable

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ARRAY = 1024  # longer arrays are vocabularies, which only llama.cpp needs
_MOST_KEYS = 1_000_000
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, kw_only=True)
class ModelHeader:
    """What a GGUF file says about itself. `values` holds its keys but long arrays; sizes in bytes."""

    path: Path
    values: dict[str, Any]
    file_bytes: int  # all parts of a split model together

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def number(self, key: str) -> int | None:
        """The whole number under `<architecture>.<key>`; the largest where it differs by layer; None if
        absent."""
        found = self.values.get(f"{self.architecture}.{key}")
        if isinstance(found, list):
            found = max(found, default=None)
        return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None

    def by_layer(self, key: str, layers: int) -> list[int]:
        """The number under `<architecture>.<key>` for each layer, whether the file gives one or many."""
        found = self.values.get(f"{self.architecture}.{key}", 0)
        if isinstance(found, list):
            return [int(value) for value in found[:layers]] + [0] * (layers - len(found))
        return [int(found)] * layers


def read_header(path: Path) -> ModelHeader:
    """Check that `path` is a whole GGUF file, with all its parts if it is split, and return its header.

    Raises `ModelFileMissing` or `ModelUnreadable` with the reason.
    """
    header = _read_one(path)
    total = header.file_bytes
    for part in split_parts(path)[1:]:
        total += _read_one(part).file_bytes
    return ModelHeader(path=path, values=header.values, file_bytes=total)


def split_parts(path: Path) -> list[Path]:
    """Return all files of a model that is split as `name-00001-of-00003.gguf`; just `path` when it is not."""
    match = _SPLIT.match(path.name)
    if match is None:
        return [path]
    stem, count = match[1], int(match[3])
    return [path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def _read_one(path: Path) -> ModelHeader:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileMissing("There is no file {path}. Choose another one.", path=str(path)) from None
    except (OSError, ValueError) as problem:
        raise ModelUnreadable(
            "{path} cannot be read: {reason}.", path=str(path)[:300], reason=_words(problem)
        ) from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
        raise ModelUnreadable("{path} is {kind}. Choose a GGUF file.", path=str(path), kind=kind)
    if status.st_size == 0:
        raise ModelUnreadable("{name} is empty (0 bytes). Download it again.", name=path.name)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data, status.st_size).header()
    except (OSError, ValueError) as problem:
        raise ModelUnreadable(
            "{path} cannot be read: {reason}.", path=str(path), reason=_words(problem)
        ) from None


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path = path
        self.data = data
        self.size = size
        self.at = 4

    def header(self) -> ModelHeader:
        self._magic(self.data[:64])
        version, tensors, keys = self._unpack("<IQQ")
        if not 2 <= version <= 3:
            raise ModelUnreadable(
                "{name} is GGUF version {version}; this llama.cpp reads versions 2 and 3. Use a newer file.",
                name=self.path.name,
                version=version,
            )
        if tensors > _MOST_KEYS or keys > _MOST_KEYS:
            raise self._damaged(f"it claims {max(tensors, keys)} entries")
        values = {key: value for key, value in (self._entry() for _ in range(keys)) if value is not None}
        self._check_tensors(tensors, int(values.get("general.alignment", 32)))
        if not values.get("general.architecture"):
            raise self._damaged("it does not name its architecture")
        return ModelHeader(path=self.path, values=values, file_bytes=self.size)

    def _magic(self, head: bytes) -> None:
        if head[:4] == b"GGUF":
            return
        text = head.lstrip().lower()
        if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
            what = "a web page, not a model: the download got a login or error page"
        elif head.startswith(b"version https://git-lfs"):
            what = "a Git LFS pointer, not the model itself: fetch the real file"
        elif head[:4] == b"PK\x03\x04":
            what = "a zip archive (perhaps PyTorch weights), not a GGUF file"
        elif head[:4] in (b"lmgg", b"tjgg", b"fmgg"):
            what = "in the old GGML format, which llama.cpp no longer reads"
        else:
            what = f"not a GGUF file: it begins with {head[:4]!r} instead of b'GGUF'"
        raise ModelUnreadable("{name} is {what}. Choose another file.", name=self.path.name, what=what)

    def _entry(self) -> tuple[str, Any]:
        key = self._string()
        (kind,) = self._unpack("<I")
        return key, self._value(kind)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._unpack("<IQ")
            return self._array(inner, count)
        code = _SCALARS.get(kind)
        if code is None:
            raise self._damaged(f"it uses value type {kind}, which GGUF does not have")
        return self._unpack(f"<{code}")[0]

    def _array(self, kind: int, count: int) -> list[Any] | None:
        if kind == _ARRAY:
            raise self._damaged("it nests arrays, which GGUF does not")
        if count <= _KEPT_ARRAY:
            return [self._value(kind) for _ in range(count)]
        if kind == _STRING:
            data, at, size = self.data, self.at, self.size
            for _ in range(count):
                at += 8 + int.from_bytes(data[at : at + 8], "little")
                if at > size:
                    raise self._cut(at)
            self.at = at
            return None
        width = struct.calcsize(f"<{_SCALARS.get(kind, 'Q')}")
        self._skip(width * count)
        return None

    def _check_tensors(self, count: int, alignment: int) -> None:
        end = 0
        for _ in range(count):
            name = self._string()
            (dimensions,) = self._unpack("<I")
            if dimensions > 8:
                raise self._damaged(f"tensor {name} claims {dimensions} dimensions")
            *shape, kind, offset = self._unpack(f"<{dimensions}QIQ")
            elements = 1
            for length in shape:
                elements *= length
            try:
                per_block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
            except (ValueError, KeyError):
                continue  # a type newer than this table; llama.cpp decides
            end = max(end, offset + elements // per_block * block_bytes)
        start = -(-self.at // max(alignment, 1)) * max(alignment, 1)
        if end and start + end > self.size:
            raise self._cut(start + end)

    def _string(self) -> str:
        (length,) = self._unpack("<Q")
        begin = self.at
        self._skip(length)
        return self.data[begin : self.at].decode("utf-8", "replace")

    def _unpack(self, form: str) -> tuple[Any, ...]:
        begin = self.at
        self._skip(struct.calcsize(form))
        return struct.unpack(form, self.data[begin : self.at])

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > self.size:
            raise self._cut(self.at)

    def _cut(self, needed: int) -> ModelUnreadable:
        if needed > 1 << 60:
            return self._damaged("a length in it is absurd")
        return ModelUnreadable(
            "{name} is cut off: it has {size} bytes and needs {needed}. Download it again.",
            name=self.path.name,
            size=self.size,
            needed=needed,
        )

    def _damaged(self, why: str) -> ModelUnreadable:
        return ModelUnreadable("{name} is damaged: {why}. Download it again.", name=self.path.name, why=why)


def _words(problem: Exception) -> str:
    return (getattr(problem, "strerror", None) or str(problem)).rstrip(".")
