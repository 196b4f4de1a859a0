"""The table itself: every knob by its key, in the order of the form."""

from __future__ import annotations

from types import MappingProxyType

from app.shared.settings import Group
from app.shared.settings_table_answers import ANSWER_SETTINGS
from app.shared.settings_table_load import LOAD_SETTINGS

_ORDER = list(Group)

TABLE = MappingProxyType(
    {
        knob.key: knob
        for knob in sorted((*LOAD_SETTINGS, *ANSWER_SETTINGS), key=lambda knob: _ORDER.index(knob.group))
    }
)
