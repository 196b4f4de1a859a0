"""Every control of the visual design: painted subclasses of Qt's own, with names, keyboard and reasons.

They take colours, fonts and lengths from `app.ui.theme` and know nothing of Pult's pages or service.
"""

from app.ui.controls.buttons import Button, IconButton, Menu, MenuButton, Switch
from app.ui.controls.choices import Combo, FlatCombo, Segments, Tabs
from app.ui.controls.fields import SearchField, TextArea, TextField
from app.ui.controls.gauges import ContextRing, Legend, ProgressLine, Readout, Sparkline, StackBar, StackPart
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
from app.ui.controls.notices import Banner, Dialog, Popover, Toast, ask
from app.ui.controls.number_field import NumberField
from app.ui.controls.rich_text import RichText
from app.ui.controls.slider import Slider
from app.ui.controls.surfaces import Card, EmptyState, FoldRow, Surface, ValueRow, Verdict

__all__ = [
    "Badge",
    "Banner",
    "Button",
    "Card",
    "Combo",
    "ContextRing",
    "Dialog",
    "ElidedLabel",
    "EmptyState",
    "FlatCombo",
    "FoldRow",
    "Hairline",
    "IconButton",
    "KeyHint",
    "Label",
    "Legend",
    "Menu",
    "MenuButton",
    "NumberField",
    "Popover",
    "ProgressLine",
    "Readout",
    "RichText",
    "SearchField",
    "SectionHeading",
    "Segments",
    "Slider",
    "Sparkline",
    "StackBar",
    "StackPart",
    "StageBadge",
    "StatusDot",
    "Surface",
    "Switch",
    "Tabs",
    "TextArea",
    "TextField",
    "Toast",
    "ValueRow",
    "Verdict",
    "ask",
]
