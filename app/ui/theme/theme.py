"""The theme in force: colours, fonts and metrics by token; the switch of dark, light and the system."""

from __future__ import annotations

from functools import cache
from typing import Literal, cast

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.theme.fonts import build_font, load_fonts
from app.ui.theme.tokens import ThemeName, tokens

ThemeChoice = Literal["dark", "light", "system"]


class Theme:
    """Colours, fonts and metrics of one theme. An unknown token raises KeyError: it is a typing mistake."""

    def __init__(self, name: ThemeName, *, strong_borders: bool = False, reduce_motion: bool = False) -> None:
        self.name = name
        self.strong_borders = strong_borders
        self.reduce_motion = reduce_motion
        self._tokens = tokens()
        self._hex = dict(self._tokens.colors[name])
        if strong_borders:
            self._hex["line2"] = self._hex["edge"]
        self._colors = {token: QColor(value) for token, value in self._hex.items()}
        self._fonts: dict[str, QFont] = {}

    @property
    def dark(self) -> bool:
        return self.name == "dark"

    def color(self, token: str, *, alpha: float = 1.0) -> QColor:
        """Return the colour of a token, optionally with an alpha 0…1."""
        color = QColor(self._colors[token])
        if alpha < 1.0:
            color.setAlphaF(alpha)
        return color

    def hex(self, token: str) -> str:
        """Return the colour of a token as `#RRGGBB`, for rich text and style sheets."""
        return self._hex[token]

    def role_color(self, index: int) -> QColor:
        """Return one of the eight identity colours, counted round."""
        colors = self._tokens.role_colors[self.name]
        return QColor(colors[index % len(colors)])

    def heat(self, share: float) -> QColor:
        """Return the heat map's colour for 0…1, mixed linearly between the stops."""
        stops, names = self._tokens.heat_stops, self._tokens.heat_tokens
        share = min(max(share, 0.0), 1.0)
        for low, high, first, second in zip(stops, stops[1:], names, names[1:], strict=False):
            if share <= high:
                return mix(self._colors[first], self._colors[second], (share - low) / (high - low))
        return QColor(self._colors[names[-1]])

    def font(self, style: str) -> QFont:
        """Return a copy of the font of a type step: `display`, `title`, `body`, `caption`, `code`…

        Figures are tabular in Inter; ligatures are off in the mono face.
        """
        font = self._fonts.get(style)
        if font is None:
            font = self._fonts[style] = build_font(self._tokens.types[style])
        return QFont(font)

    def line_height(self, style: str) -> int | None:
        """Return the line height in pixels of a type step, None where the font decides."""
        return self._tokens.types[style].line_height

    def metric(self, name: str) -> int:
        """Return one length in pixels: `radius.card`, `space.m`, `size.control`; bare names mean sizes."""
        value = self._tokens.metrics[name if "." in name else f"size.{name}"]
        if not isinstance(value, (int, float)):
            raise KeyError(f"{name} is not one length; use pair() or lengths()")
        return int(value)

    def pair(self, name: str) -> tuple[int, int]:
        """Return two lengths: `switch` and `rail_item` are width and height."""
        value = self._tokens.metrics[name if "." in name else f"size.{name}"]
        first, second = cast("tuple[float, float]", value)
        return int(first), int(second)

    def width(self, group: str, name: str, *, wide: bool) -> int:
        """Return a column's width: `width("list_width", "chat", wide=window >= 1500)`."""
        by_name = cast("dict[str, list[int]]", self._tokens.metrics[f"size.{group}"])
        return by_name[name][1 if wide else 0]

    def by_language(self, name: str, language: str) -> int:
        """Return a length that depends on the language: `form_label`, `form_stage`."""
        lengths = cast("dict[str, int]", self._tokens.metrics[f"size.{name}"])
        return lengths.get(language, max(lengths.values()))

    def duration(self, name: str) -> int:
        """Return a duration in milliseconds; motion is 0 under reduce motion, waiting times stay."""
        milliseconds = self._tokens.durations_ms[name]
        if self.reduce_motion and name not in ("toast_stay", "tooltip_delay", "chart_frame", "token_flush"):
            return 0
        return milliseconds

    def chart(self, name: str) -> object:
        """Return one value of the charts' group, as it stands in the tokens."""
        return self._tokens.chart[name]


def mix(first: QColor, second: QColor, share: float) -> QColor:
    """Return the colour `share` (0…1) of the way from `first` to `second`, in sRGB."""
    rest = 1.0 - share
    return QColor.fromRgbF(
        first.redF() * rest + second.redF() * share,
        first.greenF() * rest + second.greenF() * share,
        first.blueF() * rest + second.blueF() * share,
        first.alphaF() * rest + second.alphaF() * share,
    )


class Themes(QObject):
    """Holds the theme in force; `changed` is sent after colours, borders or motion changed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._choice: ThemeChoice = "dark"
        self._current = Theme("dark")
        self._listening = False

    @property
    def choice(self) -> ThemeChoice:
        """What the person chose, which may be `system`."""
        return self._choice

    @property
    def current(self) -> Theme:
        return self._current

    def apply(
        self,
        app: QApplication,
        choice: ThemeChoice,
        *,
        strong_borders: bool | None = None,
        reduce_motion: bool | None = None,
    ) -> None:
        """Put a theme in force for the whole program; options that are None stay as they are."""
        load_fonts()
        self._choice = choice
        strong = self._current.strong_borders if strong_borders is None else strong_borders
        still = self._current.reduce_motion if reduce_motion is None else reduce_motion
        self._current = Theme(_resolve(choice), strong_borders=strong, reduce_motion=still)
        if not self._listening:
            self._listening = True
            QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)
        _dress(app, self._current)
        self.changed.emit()

    def _system_changed(self) -> None:
        app = QApplication.instance()
        if (
            self._choice == "system"
            and isinstance(app, QApplication)
            and _resolve("system") != self._current.name
        ):
            self.apply(app, "system")


def _resolve(choice: ThemeChoice) -> ThemeName:
    if choice != "system":
        return choice
    # Unknown (bare X servers, offscreen) falls to dark, the theme the design was drawn for.
    light = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Light
    return "light" if light else "dark"


def _dress(app: QApplication, current: Theme) -> None:
    from app.ui.theme.qss import style_sheet

    if app.style().objectName() != "fusion":
        app.setStyle("Fusion")
    app.setFont(current.font("body"))
    app.setPalette(palette_of(current))
    sheet = style_sheet(current)
    if app.styleSheet() != sheet:
        app.setStyleSheet(sheet)
    for window in app.topLevelWidgets():
        _repaint(window)


def _repaint(window: QWidget) -> None:
    window.update()
    for child in window.findChildren(QWidget):
        child.update()


def palette_of(current: Theme) -> QPalette:
    """Return the palette Fusion and plain widgets take their colours from."""
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: "bg1",
        QPalette.ColorRole.WindowText: "text",
        QPalette.ColorRole.Base: "bg2",
        QPalette.ColorRole.AlternateBase: "bg1",
        QPalette.ColorRole.Text: "text",
        QPalette.ColorRole.PlaceholderText: "text3",
        QPalette.ColorRole.Button: "bg3",
        QPalette.ColorRole.ButtonText: "text",
        QPalette.ColorRole.BrightText: "err",
        QPalette.ColorRole.Highlight: "accent",
        QPalette.ColorRole.HighlightedText: "on_accent",
        QPalette.ColorRole.Link: "accent",
        QPalette.ColorRole.LinkVisited: "accent",
        QPalette.ColorRole.ToolTipBase: "bg4",
        QPalette.ColorRole.ToolTipText: "text",
        QPalette.ColorRole.Light: "bg4",
        QPalette.ColorRole.Midlight: "bg3",
        QPalette.ColorRole.Mid: "line2",
        QPalette.ColorRole.Dark: "line",
        QPalette.ColorRole.Shadow: "bg0",
        QPalette.ColorRole.Accent: "accent",
    }
    for role, token in roles.items():
        palette.setColor(role, current.color(token))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, current.color("text3"))
    palette.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Highlight, current.color("bg4"))
    return palette


@cache
def themes() -> Themes:
    """Return the one holder of the theme in force."""
    return Themes()


def theme() -> Theme:
    """Return the theme in force; before `apply_theme` it is the dark one."""
    return themes().current


def apply_theme(
    app: QApplication,
    choice: ThemeChoice,
    *,
    strong_borders: bool | None = None,
    reduce_motion: bool | None = None,
) -> None:
    """Put `dark`, `light` or the `system` theme in force: fonts, palette, style sheet, then `changed`."""
    themes().apply(app, choice, strong_borders=strong_borders, reduce_motion=reduce_motion)
