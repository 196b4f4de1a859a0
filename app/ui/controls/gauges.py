"""Painted numbers: sparkline, stack bar and its legend, progress line, context ring, readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF, QShowEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QSizePolicy, QWidget

from app.ui.controls.labels import ElidedLabel, Label
from app.ui.controls.painting import draw_box, draw_hatch
from app.ui.i18n import ntr, number, percent, tr
from app.ui.theme import theme


class Sparkline(QWidget):
    """A small line of the last values with a light fill and a dot at the newest; gaps (None) are gaps.

    The y axis runs from 0 to `top`, or to the highest value shown.
    """

    def __init__(
        self, label: str, parent: QWidget | None = None, *, width: int = 56, height: int = 28
    ) -> None:
        super().__init__(parent)
        self._values: tuple[float | None, ...] = ()
        self._top: float | None = None
        self._hint = QSize(width, height)
        self._label = label
        self.setMinimumSize(24, 16)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(label)

    def sizeHint(self) -> QSize:
        return self._hint

    def set_values(self, values: Sequence[float | None], *, top: float | None = None) -> None:
        """Show these values, oldest first."""
        self._values, self._top = tuple(values), top
        newest = next((v for v in reversed(self._values) if v is not None), None)
        self.setAccessibleName(
            self._label if newest is None else f"{self._label}: {number(round(newest, 1))}"
        )
        self.update()

    @property
    def values(self) -> tuple[float | None, ...]:
        return self._values

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme()
        area = QRectF(self.rect()).adjusted(0.5, 3, -3, -1)
        known = [v for v in self._values if v is not None]
        painter.setPen(QPen(look.color("line2"), 1))
        painter.drawLine(QPointF(area.left(), area.bottom()), QPointF(area.right(), area.bottom()))
        if len(self._values) < 2 or not known:
            return
        top = self._top if self._top else max(known)
        top = top if top > 0 else 1.0
        step = area.width() / (len(self._values) - 1)
        runs: list[list[QPointF]] = [[]]
        for index, value in enumerate(self._values):
            if value is None:
                runs.append([])
                continue
            share = min(max(value / top, 0.0), 1.0)
            runs[-1].append(QPointF(area.left() + index * step, area.bottom() - share * area.height()))
        fill = look.color("accent", alpha=0.13)
        for run in runs:
            if len(run) > 1:
                shape = QPolygonF(
                    [QPointF(run[0].x(), area.bottom()), *run, QPointF(run[-1].x(), area.bottom())]
                )
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(fill)
                painter.drawPolygon(shape)
                painter.setPen(QPen(look.color("accent"), 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawPolyline(QPolygonF(run))
        if runs[-1]:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent_hi"))
            painter.drawEllipse(runs[-1][-1], 2, 2)


@dataclass(frozen=True, kw_only=True)
class StackPart:
    """One part of a stack: its amount in the stack's unit, its colour token, and how its number is written."""

    label: str
    amount: float
    color: str  # d1…d5, or "other", which is hatched
    text: str


class StackBar(QWidget):
    """Parts of a whole side by side in the legend's order; what is left is the track. No part is under 2 px."""

    def __init__(self, label: str, parent: QWidget | None = None, *, small: bool = False) -> None:
        super().__init__(parent)
        self._parts: tuple[StackPart, ...] = ()
        self._total = 0.0
        self._label = label
        self.setFixedHeight(theme().metric("stack_bar_small" if small else "stack_bar"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(label)

    def sizeHint(self) -> QSize:
        return QSize(160, self.height())

    def set_parts(self, parts: Sequence[StackPart], total: float) -> None:
        """Show `parts` of `total`; parts that exceed the total fill the bar in proportion."""
        self._parts = tuple(part for part in parts if part.amount > 0)
        self._total = total
        words = ", ".join(f"{part.label} {part.text}" for part in self._parts)
        self.setAccessibleName(f"{self._label}: {words}" if words else self._label)
        self.update()

    def widths(self) -> list[float]:
        """Return the parts' widths in pixels, at least 2 each, together at most the bar's."""
        whole = max(self._total, sum(part.amount for part in self._parts))
        if whole <= 0:
            return []
        wide = [max(2.0, part.amount / whole * self.width()) for part in self._parts]
        excess = sum(wide) - self.width()
        if excess > 0:
            broad = sum(w for w in wide if w > 2.0)
            wide = [w - excess * w / broad if w > 2.0 else w for w in wide] if broad > excess else wide
        return wide

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.bar")
        clip = QPainterPath()
        clip.addRoundedRect(box, radius, radius)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipPath(clip)
        painter.fillRect(box, look.color("track"))
        left = 0.0
        for part, width in zip(self._parts, self.widths(), strict=True):
            area = QRectF(left, 0, max(width - 1, 1), box.height())
            painter.fillRect(area, look.color(part.color))
            if part.color == "other":
                draw_hatch(painter, area, look.color("track"), step=5)
            left += width


class _Swatch(QWidget):
    def __init__(self, color: str | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = color
        self.setFixedSize(10, 10)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        if self._color is None:
            draw_box(painter, box, radius=2, border=look.color("edge"))
            return
        draw_box(painter, box, radius=2, fill=look.color(self._color))
        if self._color == "other":
            draw_hatch(painter, box, look.color("track"), step=4, radius=2)


class Legend(QWidget):
    """A stack's parts with their numbers, one row each, shares optional, the free part last.

    Shade is never the only carrier: order and numbers say the same.
    """

    def __init__(self, parent: QWidget | None = None, *, shares: bool = False) -> None:
        super().__init__(parent)
        self._shares = shares
        self._labels: tuple[str, ...] = ()
        self._cells: list[tuple[Label, Label | None]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        if shares:
            self._grid.setColumnMinimumWidth(3, 48)

    def set_parts(
        self, parts: Sequence[StackPart], total: float | None = None, *, free: tuple[str, str] | None = None
    ) -> None:
        """Show a row per part; `free` is the words and the number of what is left."""
        rows = [(part.label, part.text, part.amount, part.color) for part in parts]
        if free is not None:
            left = max((total or 0.0) - sum(part.amount for part in parts), 0.0)
            rows.append((free[0], free[1], left, ""))
        labels = tuple(f"{label}\0{color}" for label, _text, _amount, color in rows)
        if labels != self._labels:
            self._build(rows)
            self._labels = labels
        for (value, share), (_label, text, amount, _color) in zip(self._cells, rows, strict=True):
            value.setText(text)
            if share is not None:
                share.setText(percent(amount / total, decimals=1) if total else "")

    def _build(self, rows: Sequence[tuple[str, str, float, str]]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._cells = []
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for index, (label, _text, _amount, color) in enumerate(rows):
            self._grid.addWidget(_Swatch(color or None), index, 0)
            self._grid.addWidget(ElidedLabel(label, "secondary", "text2"), index, 1)
            value = Label("", "control")
            value.setAlignment(right)
            self._grid.addWidget(value, index, 2)
            share: Label | None = None
            if self._shares:
                share = Label("", "caption", "text3")
                share.setAlignment(right)
                self._grid.addWidget(share, index, 3)
            self._cells.append((value, share))


class ProgressLine(QProgressBar):
    """A 4 px line. `set_share(None)` means that it is not known how much is left: a part of the line moves."""

    def __init__(self, label: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self.setRange(0, 1000)
        self.setFixedHeight(theme().metric("progress"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(label)
        self._unknown = False
        self._phase = 0.0
        self._clock = QTimer(self)
        self._clock.setInterval(33)
        self._clock.timeout.connect(self._advance)

    def set_share(self, share: float | None) -> None:
        """Show a share 0…1, or None."""
        self._unknown = share is None
        if share is not None:
            self.setValue(round(min(max(share, 0.0), 1.0) * 1000))
        self._run()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, self.height())

    def _run(self) -> None:
        if self._unknown and self.isVisible() and not theme().reduce_motion:
            self._clock.start()
        else:
            self._clock.stop()

    def _advance(self) -> None:
        self._phase = (self._phase + 0.02) % 1.0
        self.update()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._run()

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        super().hideEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = box.height() / 2
        draw_box(painter, box, radius=radius, fill=look.color("track"))
        if self._unknown:
            width = box.width() * 0.25
            x = self._phase * (box.width() + width) - width if not look.reduce_motion else box.width() * 0.375
            filled = QRectF(x, 0, width, box.height()).intersected(box)
        else:
            filled = QRectF(0, 0, box.width() * self.value() / 1000, box.height())
        if filled.width() > 0.5:
            draw_box(painter, filled, radius=radius, fill=look.color("accent"))


class ContextRing(QWidget):
    """A ring that fills with the context used, beside “9,560 of 32,768”; warn from 85%, err from 97%."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._used: int | None = None
        self._size: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(20, 0, 0, 0)
        self._words = Label("", "secondary", "text3")
        row.addWidget(self._words)
        self.setFixedHeight(24)
        self.set_tokens(None, None)

    def set_tokens(self, used: int | None, size: int | None) -> None:
        """Show tokens used of the context's size; None where it is not known. Hidden while nothing is known."""
        self._used, self._size = used, size
        if used is not None and size is not None:
            words = tr("{used} of {size}", used=used, size=size)
        elif used is not None:
            words = ntr("{n} token", "{n} tokens", used)
        else:
            words = ""
        self._words.setText(words)
        self._words.set_color({"accent": "text3"}.get(self.color(), self.color()))
        name = tr("Context used: {words}", words=words) if words else tr("Context")
        self.setAccessibleName(name)
        self.setToolTip(name if words else "")
        self.setVisible(bool(words))
        self.updateGeometry()
        self.update()

    def text(self) -> str:
        """Return the words beside the ring."""
        return self._words.text()

    def share(self) -> float:
        """Return how full the context is, 0…1."""
        return min((self._used or 0) / self._size, 1.0) if self._size else 0.0

    def color(self) -> str:
        """Return the colour token of the present share."""
        share = self.share()
        return "err" if share >= 0.97 else "warn" if share >= 0.85 else "accent"

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._size:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        look = theme()
        box = QRectF(1.5, (self.height() - 12) / 2, 12, 12)
        painter.setPen(QPen(look.color("bg4"), 2.5))
        painter.drawEllipse(box)
        pen = QPen(look.color(self.color()), 2.5)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.setPen(pen)
        painter.drawArc(box, 90 * 16, -round(self.share() * 360 * 16))


class Readout(QWidget):
    """A live number with its unit one step smaller, 4 px apart; the figures stand still."""

    def __init__(
        self,
        label: str,
        parent: QWidget | None = None,
        *,
        style: str = "readout",
        unit_style: str = "secondary",
    ) -> None:
        super().__init__(parent)
        self._label = label
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.value = Label("", style)
        self.unit = Label("", unit_style, "text3")
        row.addWidget(self.value, 0, Qt.AlignmentFlag.AlignBaseline)
        row.addWidget(self.unit, 0, Qt.AlignmentFlag.AlignBaseline)
        row.addStretch(1)
        self.setAccessibleName(label)

    def set_value(self, value: str, unit: str = "", *, color: str = "text") -> None:
        """Change number, unit and colour token; nothing is repainted if they are the same."""
        if value != self.value.text() or unit != self.unit.text():
            self.value.setText(value)
            self.unit.setText(unit)
            self.setAccessibleName(f"{self._label}: {value} {unit}".strip())
        self.value.set_color(color)
