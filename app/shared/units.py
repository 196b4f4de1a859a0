"""Units and the plain-English wording of values inside error sentences.

The window formats numbers itself, by language; the wording here serves logs, the command line
and HTTP clients, which read English.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024**2
GIB = 1024**3

Value = int | float | str | None


def memory_words(size_bytes: float) -> str:
    """Return memory as llama.cpp and NVML count it: `17.3 GiB`, `524 MiB`, `12 KiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(size_bytes) >= unit:
            amount = size_bytes / unit
            return f"{amount:,.1f} {name}" if amount < 100 else f"{amount:,.0f} {name}"
    return f"{size_bytes:,.0f} bytes"


def file_size_words(size_bytes: float) -> str:
    """Return a file's size as file managers do, in powers of ten: `18.6 GB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if abs(size_bytes) >= unit:
            return f"{size_bytes / unit:,.1f} {name}"
    return f"{size_bytes:,.0f} bytes"


def value_words(name: str, value: Value) -> str:
    """Word one value of an error sentence in English; the unit comes from the value's name.

    `..._bytes` becomes memory, `..._file_size` a file's size, `..._seconds` seconds; other integers get
    thousands separators, and floats lose trailing zeros.
    """
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    if name.endswith("_bytes"):
        return memory_words(value)
    if name.endswith("_file_size"):
        return file_size_words(value)
    if name.endswith("_seconds"):
        return f"{value:,.1f} s"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")
