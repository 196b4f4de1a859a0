"""Words and numbers in the person's language: gettext catalogues for words, QLocale for numbers and dates.

Formatting of values lives here and nowhere else. Memory counts in MiB and GiB as NVML and llama.cpp do,
files in MB and GB as the file manager does.
"""

from __future__ import annotations

import datetime as dt
import gettext
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QDate, QDateTime, QLocale, QObject, Signal

from app.shared.paths import resources_dir
from app.shared.units import GIB, KIB, MIB, Value

if TYPE_CHECKING:
    from app.shared.errors import ErrorInfo  # pydantic would delay the first paint

Language = Literal["en", "ru"]
LANGUAGES: dict[Language, str] = {"en": "English", "ru": "Русский"}
_WORDED_VALUES = frozenset({"label", "doing", "hint", "kind", "what", "reason", "device"})
NARROW_SPACE = "\u202f"
NO_BREAK_SPACE = "\u00a0"


class _Tongue(QObject):
    """The language in force; `changed` is sent after a switch."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.language: Language = "en"
        self.catalogue: gettext.NullTranslations = gettext.NullTranslations()
        self.locale = QLocale(QLocale.Language.English, QLocale.Country.UnitedStates)


@cache
def tongue() -> _Tongue:
    """Return the holder of the language; its `changed` signal tells open windows to word themselves anew."""
    return _Tongue()


def set_language(language: Language) -> None:
    """Switch words and numbers to `en` or `ru`; a missing catalogue raises FileNotFoundError."""
    holder = tongue()
    if language == "en":
        holder.catalogue = gettext.NullTranslations()
        holder.locale = QLocale(QLocale.Language.English, QLocale.Country.UnitedStates)
    else:
        folder = resources_dir() / "translations"
        holder.catalogue = gettext.translation("pult", folder, languages=[language])
        holder.locale = QLocale(QLocale.Language.Russian, QLocale.Country.Russia)
    changed = holder.language != language
    holder.language = language
    if changed:
        holder.changed.emit()


def language() -> Language:
    """Return the language in force."""
    return tongue().language


def system_language() -> Language:
    """Return the language of the desktop if Pult speaks it, else English."""
    return "ru" if QLocale.system().language() == QLocale.Language.Russian else "en"


def mark(message: str) -> str:
    """Return the message unchanged, marked for translation where it is defined; `tr` words it later."""
    return message


def tr(message: str, **values: Value) -> str:
    """Return the message in the language in force with its `{values}` filled in.

    Numbers are formatted by language and by the ending of their name (`_bytes`, `_file_size`, `_seconds`).
    """
    worded = tongue().catalogue.gettext(message) if message else ""
    return _filled(worded, values)


def ntr(singular: str, plural: str, n: int, **values: Value) -> str:
    """Return the wording for `n` things, with `{n}` and the other values filled in."""
    worded = tongue().catalogue.ngettext(singular, plural, n)
    return _filled(worded, {"n": n, **values})


def _filled(worded: str, values: Mapping[str, Value]) -> str:
    if not values:
        return worded
    return worded.format_map({name: value_text(name, value) for name, value in values.items()})


def value_text(name: str, value: Value) -> str:
    """Word one value; the unit comes from the ending of its name, as in `app.shared.units.value_words`."""
    if value is None:
        return tr("unknown")
    if isinstance(value, str):
        return value
    if name.endswith("_bytes"):
        return memory(value)
    if name.endswith("_file_size"):
        return file_size(value)
    if name.endswith("_seconds"):
        return duration(value)
    return number(value)


def error_sentence(info: ErrorInfo) -> str:
    """Return an error's sentence in the language in force, its numbers formatted."""
    template = tongue().catalogue.gettext(info.template) if info.template else ""
    try:
        # Words of Pult's own among the values are phrases themselves: a setting's label, what an engine was doing.
        values = {
            name: tr(value) if name in _WORDED_VALUES and isinstance(value, str) else value
            for name, value in info.values.items()
        }
        return _filled(template, values) or info.sentence
    except (KeyError, ValueError, IndexError):
        # The template is another version's, or holds braces of its own: its English stands.
        return info.sentence


def number(value: float, *, decimals: int | None = None) -> str:
    """Return a number by language: `9,560` and `0.80`; in Russian `9560`, `32 768`, `0,80`.

    Without `decimals` whole numbers have none, and others at most four with trailing zeros dropped.
    """
    holder = tongue()
    whole = isinstance(value, int) or float(value).is_integer()
    if decimals is None:
        decimals = 0 if whole else _needed_decimals(value)
    locale = QLocale(holder.locale)
    if holder.language == "ru" and round(abs(value)) < 10_000:
        locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
    if decimals == 0 and isinstance(value, int):
        text = _grouped_integer(locale, value)
    else:
        text = locale.toString(float(value), "f", decimals)
    if holder.language == "ru":
        text = text.replace(locale.groupSeparator(), NARROW_SPACE)
    return text


def _grouped_integer(locale: QLocale, value: int) -> str:
    if -(2**63) <= value < 2**63:
        return locale.toString(value)
    separator = locale.groupSeparator()
    return f"{value:,}".replace(",", separator)


def _needed_decimals(value: float) -> int:
    text = f"{value:.4f}".rstrip("0")
    return len(text) - text.index(".") - 1


def plain_number(value: float, *, decimals: int | None = None) -> str:
    """Return a number for editing: by language, but without group separators."""
    locale = QLocale(tongue().locale)
    locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
    if isinstance(value, int) and not decimals:
        return str(value).replace("-", locale.negativeSign())
    return locale.toString(float(value), "f", _needed_decimals(value) if decimals is None else decimals)


def parse_number(text: str) -> float | int | None:
    """Return the number a person typed, None if it is none.

    Both `,` and `.` are taken as the decimal point where only one kind stands in the text; group separators
    of the language, spaces and underscores are dropped. `131,072` is 131072 in English, 131.072 in Russian.
    """
    cleaned = text.strip().replace("\u2212", "-")
    for space in (" ", NO_BREAK_SPACE, NARROW_SPACE, "\u2009", "_", "'"):
        cleaned = cleaned.replace(space, "")
    if "," in cleaned and "." in cleaned:
        point = max(cleaned.rfind(","), cleaned.rfind("."))
        head = cleaned[:point].replace(",", "").replace(".", "")
        cleaned = head + "." + cleaned[point + 1 :]
    elif "," in cleaned:
        head, *groups = cleaned.split(",")
        # "131,072" typed in English is a grouped whole number; "0,8" and "1,5" are decimals everywhere.
        grouped = language() == "en" and head.strip("-") not in ("", "0") and all(len(g) == 3 for g in groups)
        if grouped or len(groups) > 1:
            cleaned = head + "".join(groups)
        else:
            cleaned = cleaned.replace(",", ".")
    if not cleaned or cleaned.count(".") > 1 or cleaned.lower().strip("+-") in ("inf", "infinity", "nan"):
        return None
    try:
        return int(cleaned)
    except ValueError:
        pass
    try:
        return float(cleaned)
    except ValueError:
        return None


def percent(share: float, *, decimals: int = 0) -> str:
    """Return a share 0…1 as `70.8%`, in Russian `70,8 %`."""
    space = NO_BREAK_SPACE if language() == "ru" else ""
    return f"{number(share * 100, decimals=decimals)}{space}%"


def _united(value: float, unit: str, *, decimals: int) -> str:
    return f"{number(value, decimals=decimals)}{NO_BREAK_SPACE}{unit}"


def memory_parts(size_bytes: float) -> tuple[str, str]:
    """Return memory as number and unit apart, for readouts: `("17.3", "GiB")`."""
    for size, unit in ((GIB, tr("GiB")), (MIB, tr("MiB")), (KIB, tr("KiB"))):
        if abs(size_bytes) >= size:
            amount = size_bytes / size
            return number(amount, decimals=1 if abs(amount) < 100 and size != KIB else 0), unit
    return number(round(size_bytes)), tr("bytes")


def memory(size_bytes: float) -> str:
    """Return memory in powers of two: `17.3 GiB`."""
    return NO_BREAK_SPACE.join(memory_parts(size_bytes))


def file_size(size_bytes: float) -> str:
    """Return a file's size in powers of ten: `18.6 GB`."""
    for size, unit in ((10**9, tr("GB")), (10**6, tr("MB")), (10**3, tr("kB"))):
        if abs(size_bytes) >= size:
            return _united(size_bytes / size, unit, decimals=1)
    return f"{number(round(size_bytes))}{NO_BREAK_SPACE}{tr('bytes')}"


def duration(seconds: float) -> str:
    """Return a span: `240 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 0.9995:
        return _united(round(seconds * 1000), tr("ms"), decimals=0)
    if seconds < 59.95:
        return _united(seconds, tr("s"), decimals=1)
    whole = round(seconds)
    if whole < 3600:
        parts = ((whole // 60, tr("min")), (whole % 60, tr("s")))
    else:
        parts = ((whole // 3600, tr("h")), (whole % 3600 // 60, tr("min")))
    return " ".join(f"{number(amount)}{NO_BREAK_SPACE}{unit}" for amount, unit in parts if amount)


def moment(at: float, *, now: float | None = None) -> str:
    """Return when something was, short: `6 min ago`, `14:02`, `yesterday`, `Wed`, `12 Mar`, `12 Mar 2025`.

    `at` and `now` are Unix seconds; local time.
    """
    now = dt.datetime.now().timestamp() if now is None else now
    then, today = dt.datetime.fromtimestamp(at), dt.datetime.fromtimestamp(now)
    ago = now - at
    if 0 <= ago < 60:
        return tr("just now")
    if 0 <= ago < 3600:
        minutes = int(ago // 60)
        return ntr("{n} min ago", "{n} min ago", minutes)
    days = (today.date() - then.date()).days
    if days == 0:
        return clock(at)
    if days == 1:
        return tr("yesterday")
    locale = tongue().locale
    date = QDate(then.year, then.month, then.day)
    if 1 < days < 7:
        return locale.dayName(date.dayOfWeek(), QLocale.FormatType.ShortFormat)
    pattern = "d MMM" if then.year == today.year else "d MMM yyyy"
    return locale.toString(date, pattern)


def clock(at: float, *, seconds: bool = False) -> str:
    """Return the local time of day of Unix seconds: `14:02`, `14:02:09`."""
    return dt.datetime.fromtimestamp(at).strftime("%H:%M:%S" if seconds else "%H:%M")


def full_moment(at: float) -> str:
    """Return date and time in full by language, for tooltips."""
    return tongue().locale.toString(QDateTime.fromSecsSinceEpoch(int(at)), QLocale.FormatType.LongFormat)
