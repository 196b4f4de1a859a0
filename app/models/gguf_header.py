"""What a GGUF file says about itself, read without touching the weights.

Only the header is read, in steps, and skipped arrays are walked, never built: the header of a 30B file takes a few
megabytes and tens of milliseconds. Every count in the file is held against limits and against the file's size, so that
a damaged file gives a sentence and not gigabytes. Format: ggml's docs/gguf.md.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.shared.errors import ModelFileMissing, ModelUnreadable

Value = bool | int | float | str | list[bool | int | float | str]

_NUMBERS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_TEXT, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_STEP_BYTES = 1 << 20
_KEPT_ITEMS = 4096  # longer arrays are vocabularies: counted, not kept
MOST_HEADER_BYTES = 512 << 20
MOST_KEYS = 100_000
MOST_TENSORS = 1_000_000
MOST_DIMENSIONS = 4
_SPLIT = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: its shape in ggml's order (fastest first), ggml type number and offset in the data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """The header of one file. `lengths` gives the length of every array, kept in `values` or not."""

    path: Path
    version: int
    values: dict[str, Value]
    lengths: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    data_start: int  # bytes from the file's beginning to the first weight
    file_bytes: int

    @property
    def architecture(self) -> str | None:
        return self.text("general.architecture")

    def text(self, key: str) -> str | None:
        """Return the text under `key`; None if it is absent or no text."""
        found = self.values.get(key)
        return found if isinstance(found, str) else None

    def number(self, key: str) -> int | None:
        """Return the whole number under `<architecture>.<key>`; the largest where it is given by layer."""
        found = self.values.get(f"{self.architecture}.{key}")
        if isinstance(found, list):
            whole = [item for item in found if isinstance(item, int)]
            return max(whole, default=None)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def by_layer(self, key: str, layers: int) -> list[int] | None:
        """Return the whole number under `<architecture>.<key>` of each layer; None if it is absent."""
        found = self.values.get(f"{self.architecture}.{key}")
        if isinstance(found, list):
            whole = [int(item) for item in found if isinstance(item, (int, float))]
            return (whole + [0] * layers)[:layers]
        return [found] * layers if isinstance(found, int) and not isinstance(found, bool) else None


def split_parts(path: Path) -> tuple[Path, ...]:
    """Return all files of a model split as `name-00001-of-00003.gguf`, or just `path`."""
    found = _SPLIT.match(path.name)
    if found is None or not 1 <= int(found["count"]) <= 10_000:
        return (path,)
    count = int(found["count"])
    return tuple(path.with_name(f"{found['stem']}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1))


def is_later_part(path: Path) -> bool:
    """Whether this is the second or a later file of a split model."""
    found = _SPLIT.match(path.name)
    return found is not None and int(found["number"]) > 1


def read_header(path: Path) -> GgufHeader:
    """Return the header of one GGUF file; raises `ModelFileMissing` or `ModelUnreadable` with the reason."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "no ordinary file"
            raise ModelUnreadable("{name} is {kind}. Choose a GGUF file.", name=path.name, kind=kind)
        with path.open("rb") as file:
            return _Reader(path, file, size).header()
    except FileNotFoundError:
        raise ModelFileMissing("There is no file {path}. Choose another one.", path=str(path)) from None
    except (OSError, ValueError) as error:
        raise ModelUnreadable(
            "{path} cannot be read: {reason}. Choose another file.",
            path=str(path)[:300],
            reason=str(getattr(error, "strerror", None) or error),
        ) from None


class _Reader:
    """Reads forward through the header, holding only what has been read of it."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._size = path, file, size
        self._data = b""
        self._at = 0
        self._lengths: dict[str, int] = {}

    def header(self) -> GgufHeader:
        if self._size == 0:
            raise ModelUnreadable("{name} is empty (0 bytes). Download it again.", name=self._path.name)
        self._magic()
        version = self._number(_U32)
        if version not in (2, 3):
            swapped = version & 0xFFFF == 0
            raise ModelUnreadable(
                "{name} is {what}. Use a file of GGUF version 2 or 3.",
                name=self._path.name,
                what="written for big-endian machines" if swapped else f"of GGUF version {version}",
            )
        tensor_count, key_count = self._number(_U64), self._number(_U64)
        if key_count > MOST_KEYS or tensor_count > MOST_TENSORS:
            raise self._damaged(f"it claims {key_count:,} keys and {tensor_count:,} tensors")
        values: dict[str, Value] = {}
        for _ in range(key_count):
            key = self._text()
            value = self._value(key, self._number(_U32))
            if value is not None:
                values[key] = value
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._damaged(f"its alignment is {alignment}")
        return GgufHeader(
            path=self._path,
            version=version,
            values=values,
            lengths=self._lengths,
            tensors=tensors,
            data_start=-(-self._at // alignment) * alignment,
            file_bytes=self._size,
        )

    def _magic(self) -> None:
        self._need(min(64, self._size))
        head = self._data[:64].lstrip().lower()
        if self._data[:4] == b"GGUF":
            self._at = 4
            return
        if head.startswith((b"<!doctype", b"<html", b"<?xml")):
            what = "a web page: the download saved a login or error page"
        elif head.startswith(b"version https://git-lfs"):
            what = "a Git LFS pointer, not the model itself: fetch the real file"
        elif head.startswith(b"pk\x03\x04"):
            what = "a zip archive (perhaps PyTorch weights), not a GGUF file"
        elif head[:4] in (b"lmgg", b"tjgg", b"fmgg"):
            what = "in the old GGML format, which llama.cpp no longer reads"
        else:
            what = f"not a GGUF file (it begins with {self._data[:4]!r})"
        raise ModelUnreadable("{name} is {what}. Choose another file.", name=self._path.name, what=what)

    def _tensor(self) -> TensorInfo:
        name, dimensions = self._text(), self._number(_U32)
        if dimensions > MOST_DIMENSIONS:
            raise self._damaged(f"tensor {name[:60]} claims {dimensions:,} dimensions")
        shape = tuple(self._number(_U64) for _ in range(dimensions))
        return TensorInfo(name, shape, self._number(_U32), self._number(_U64))

    def _value(self, key: str, kind: int) -> Value | None:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            return self._array(key)
        return self._scalar(kind)

    def _scalar(self, kind: int) -> bool | int | float:
        form = _NUMBERS.get(kind)
        if form is None:
            raise self._damaged(f"a value is of type {kind}, which GGUF does not have")
        self._need(form.size)
        value: bool | int | float = form.unpack_from(self._data, self._at)[0]
        self._at += form.size
        return value

    def _array(self, key: str) -> list[bool | int | float | str] | None:
        kind, count = self._number(_U32), self._number(_U64)
        self._lengths[key] = count
        width = 8 if kind == _TEXT else _NUMBERS[kind].size if kind in _NUMBERS else None
        if width is None:
            raise self._damaged(f"{key} is an array of type {kind}")
        if count * width > self._size - self._at:
            raise self._cut(self._at + count * width)
        if count <= _KEPT_ITEMS:
            return [self._text() if kind == _TEXT else self._scalar(kind) for _ in range(count)]
        if kind == _TEXT:
            self._skip_texts(count)
        else:
            self._need(count * width)
            self._at += count * width
        return None

    def _skip_texts(self, count: int) -> None:
        unpack, done = _U64.unpack_from, 0
        while done < count:
            data, at = self._data, self._at
            last = len(data) - 8
            while done < count and at <= last:
                after = at + 8 + unpack(data, at)[0]
                if after > len(data):
                    break
                at = after
                done += 1
            self._at = at
            if done < count:
                self._need(8)
                self._need(8 + unpack(self._data, at)[0])

    def _text(self) -> str:
        length = self._number(_U64)
        self._need(length)
        text = self._data[self._at : self._at + length].decode("utf-8", "replace")
        self._at += length
        return text

    def _number(self, form: struct.Struct) -> int:
        self._need(form.size)
        number: int = form.unpack_from(self._data, self._at)[0]
        self._at += form.size
        return number

    def _need(self, count: int) -> None:
        """Have `count` bytes from here in memory, or say that the file ends before them."""
        end = self._at + count
        if end <= len(self._data):
            return
        if end > self._size:
            raise self._cut(end)
        if end > MOST_HEADER_BYTES:
            raise self._damaged(f"its header claims more than {MOST_HEADER_BYTES >> 20} MiB")
        more = max(end, min(2 * len(self._data), self._size), min(_STEP_BYTES, self._size)) - len(self._data)
        self._data += self._file.read(more)
        if end > len(self._data):
            raise self._cut(end)

    def _cut(self, needed: int) -> ModelUnreadable:
        if needed > 1 << 50:
            return self._damaged("a length in its header is absurd")
        return ModelUnreadable(
            "{name} is cut off: it has {size} bytes and its header alone needs {needed}. Download it again.",
            name=self._path.name,
            size=self._size,
            needed=needed,
        )

    def _damaged(self, why: str) -> ModelUnreadable:
        return ModelUnreadable("{name} is damaged: {why}. Download it again.", name=self._path.name, why=why)
