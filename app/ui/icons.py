"""The program's icons: SVG strokes in one colour, rendered once per name, colour, size and screen ratio."""

from __future__ import annotations

from functools import cache
from typing import Any

from PySide6.QtCore import QByteArray, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPixmap

from app.shared.paths import resources_dir
from app.ui.theme import theme

STROKE_PX = 1.5
_BOX = 24
_CACHE_LIMIT = 1_000
_rendered: dict[tuple[str, str, int, float], QPixmap] = {}


def icon_names() -> tuple[str, ...]:
    """Return the names of all icons."""
    return tuple(sorted(path.stem for path in (resources_dir() / "icons").glob("*.svg")))


@cache
def _source(name: str) -> str:
    return (resources_dir() / "icons" / f"{name}.svg").read_text(encoding="utf-8")


@cache
def _svg_renderer() -> Any:
    from PySide6.QtSvg import QSvgRenderer  # loaded with the first icon, not with the module

    return QSvgRenderer


def pixmap(
    name: str, color: str | QColor = "text2", size: int = 16, *, ratio: float | None = None
) -> QPixmap:
    """Return an icon as a pixmap of `size` logical pixels; `color` is a token or a colour.

    Raises FileNotFoundError for an unknown name.
    """
    shade = theme().color(color) if isinstance(color, str) else color
    if ratio is None:
        ratio = QGuiApplication.primaryScreen().devicePixelRatio() if QGuiApplication.instance() else 1.0
    accent = theme().hex("accent") if name == "logo" else ""
    key = (name, shade.name(QColor.NameFormat.HexArgb) + accent, size, ratio)
    found = _rendered.get(key)
    if found is not None:
        return found
    stroke = STROKE_PX * _BOX / max(size, 1)
    svg = (
        _source(name)
        .replace("currentColor", shade.name())
        .replace('stroke="accent"', f'stroke="{accent}"')
        .replace('stroke-width="2"', f'stroke-width="{stroke:.3f}"')
    )
    side = max(1, round(size * ratio))
    drawn = QPixmap(side, side)
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setOpacity(shade.alphaF())
    _svg_renderer()(QByteArray(svg.encode())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    drawn.setDevicePixelRatio(side / size)
    if len(_rendered) >= _CACHE_LIMIT:
        _rendered.clear()
    _rendered[key] = drawn
    return drawn


def icon(name: str, color: str | QColor = "text2", size: int = 16) -> QIcon:
    """Return an icon for menus, sharp at scale 1, 2 and the screen's own; made for the present theme."""
    made = QIcon()
    ratios = {1.0, 2.0}
    if QGuiApplication.instance():
        ratios.add(QGuiApplication.primaryScreen().devicePixelRatio())
    for ratio in sorted(ratios):
        made.addPixmap(pixmap(name, color, size, ratio=ratio))
        made.addPixmap(pixmap(name, "text3", size, ratio=ratio), QIcon.Mode.Disabled)
    return made


def paint_icon(painter: QPainter, name: str, rect: QRectF, color: str | QColor = "text2") -> None:
    """Draw an icon centred in `rect`, as large as its shorter side, at the painter's screen ratio."""
    size = int(min(rect.width(), rect.height()))
    ratio = painter.device().devicePixelRatioF()
    corner = QPointF(rect.center().x() - size / 2, rect.center().y() - size / 2)
    painter.drawPixmap(corner, pixmap(name, color, size, ratio=ratio))
