"""Every control of the visual design: painted subclasses of Qt's own, with names, keyboard and reasons.

They take colours, fonts and lengths from `app.ui.theme` and know nothing of Pult's pages or service.
"""

from app.ui.controls.buttons import Button, IconButton, Menu, MenuButton, Switch
from app.ui.controls.choices import Combo, FlatCombo, Segments, Tabs
from app.ui.controls.fields import SearchField, TextArea, TextField
from app.ui.controls.labels import (
    Badge,
    ElidedLabel,
    Hairline,
    KeyHint,
    Label,
    SectionHeading,
    StageBadge,
    StatusDot,
)
from app.ui.controls.number_field import NumberField
from app.ui.controls.slider import Slider

__all__ = [
    "Badge",
    "Button",
    "Combo",
    "ElidedLabel",
    "FlatCombo",
    "Hairline",
    "IconButton",
    "KeyHint",
    "Label",
    "Menu",
    "MenuButton",
    "NumberField",
    "SearchField",
    "SectionHeading",
    "Segments",
    "Slider",
    "StageBadge",
    "StatusDot",
    "Switch",
    "Tabs",
    "TextArea",
    "TextField",
]
