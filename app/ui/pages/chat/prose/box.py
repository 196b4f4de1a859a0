"""One block on screen: what the view asks of every kind, and running text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QTextCharFormat, QTextLayout, QTextLine, QTextOption

from app.ui.pages.chat.markdown.blocks import Align, Block, Paragraph, Rule, Run
from app.ui.pages.chat.prose.units import cut, units
from app.ui.theme import theme

INDENT_PX = 22
QUOTE_PX = 16
_ALIGN = {
    "left": Qt.AlignmentFlag.AlignLeft,
    "center": Qt.AlignmentFlag.AlignHCenter,
    "right": Qt.AlignmentFlag.AlignRight,
}


@dataclass(frozen=True)
class ProseStyle:
    """Which step of the type scale running text takes, and its colour."""

    step: str = "prose"
    color: str = "text"
    line_px: int = 22
    gap_px: int = 10


@dataclass(frozen=True)
class Shade:
    """A stretch drawn in other colours, in UTF-16 units of the box's text."""

    start: int
    end: int
    kind: Literal["selection", "found", "found_now"]


class Box:
    """A block laid out at a width. Positions are UTF-16 units in `text`; points are relative to the box's corner."""

    block: Block
    text: str = ""
    top: float = 0.0
    height: float = 0.0
    gap_above: float = 10.0

    def layout(self, width: float) -> float:
        """Lay out for a width and return the height in pixels."""
        raise NotImplementedError

    def paint(self, painter: QPainter, origin: QPointF, clip: QRectF, shades: Sequence[Shade]) -> None:
        """Draw at `origin`; nothing outside `clip` needs drawing."""
        raise NotImplementedError

    def position_at(self, point: QPointF) -> int:
        """Return the text position nearest to a point."""
        return 0

    def rect_at(self, position: int) -> QRectF:
        """Return the caret's place at a text position."""
        return QRectF(0, 0, 1, self.height)

    def link_at(self, point: QPointF) -> str | None:
        """Return the link under a point."""
        return None

    def is_text_at(self, point: QPointF) -> bool:
        """Whether the pointer is over text that can be selected."""
        return 0 <= point.y() < self.height

    def copied(self, start: int, end: int) -> str:
        """Return what copying this stretch gives."""
        return cut(self.text, start, end).replace("\u2028", "\n")

    @property
    def length(self) -> int:
        return units(self.text)


def place_left(block: Block) -> float:
    """Where a block starts, for its indent and quote depth."""
    return block.indent * INDENT_PX + block.quote * QUOTE_PX


def paint_quote_bars(painter: QPainter, block: Block, origin: QPointF, top: float, bottom: float) -> None:
    """Draw the bars left of quoted text."""
    for depth in range(block.quote):
        painter.fillRect(QRectF(origin.x() + depth * QUOTE_PX, top, 3, bottom - top), theme().color("line2"))


def shade_ranges(
    shades: Sequence[Shade], *, offset: int = 0, length: int = 1 << 30
) -> list[QTextLayout.FormatRange]:
    """Return Qt's ranges of the shades that touch the text part of `length` units from `offset`."""
    ranges = []
    for shade in shades:
        start, end = max(shade.start - offset, 0), min(shade.end - offset, length)
        if start >= end:
            continue
        colors = {
            "selection": ("accent_mid", "text"),
            "found": ("warn_lo", "warn"),
            "found_now": ("accent", "on_accent"),
        }
        if not theme().dark:
            colors["selection"] = ("accent_lo", "text")
        back, front = colors[shade.kind]
        made = QTextLayout.FormatRange()
        made.start, made.length = start, end - start
        style = QTextCharFormat()
        style.setBackground(theme().color(back))
        style.setForeground(theme().color(front))
        made.format = style
        ranges.append(made)
    return ranges


def caret_x(line: QTextLine, position: int) -> float:
    """Return the caret's x in a line; PySide hands the C++ in-out argument back beside it."""
    told = line.cursorToX(position)
    return float(told[0]) if isinstance(told, tuple) else float(cast("float", told))


class TextLines:
    """Runs of styled text wrapped into lines of a fixed height; shared by paragraphs and table cells."""

    def __init__(
        self, runs: Sequence[Run], font: QFont, color: str, line_px: int, align: Align = "left"
    ) -> None:
        self.runs = runs
        self.text = "".join(run.text for run in runs)
        self.line_px = line_px
        self._font = font
        self._align = align
        self._layout = QTextLayout(self.text, font)
        self._layout.setCacheEnabled(True)
        self._layout.setFormats(self._formats(color))
        metrics = QFontMetricsF(font)
        self._baseline = (line_px - metrics.height()) / 2 + metrics.ascent()
        self.height = 0.0
        self.natural_width = 0.0

    def _formats(self, color: str) -> list[QTextLayout.FormatRange]:
        ranges = []
        at = 0
        for run in self.runs:
            length = units(run.text)
            style = QTextCharFormat()
            style.setForeground(theme().color("accent" if run.link else color))
            if run.code:
                mono = theme().font("code")
                mono.setPixelSize(max(11, self._font.pixelSize() - 1))
                style.setFont(mono)
                style.setBackground(theme().color("bg3"))
            elif run.bold or run.italic or run.strike or run.maths:
                font = QFont(self._font)
                if run.bold:
                    font.setWeight(QFont.Weight.DemiBold)
                font.setItalic(run.italic or run.maths)
                font.setStrikeOut(run.strike)
                style.setFont(font)
            made = QTextLayout.FormatRange()
            made.start, made.length, made.format = at, length, style
            ranges.append(made)
            at += length
        return ranges

    def wrap(self, width: float) -> float:
        """Break into lines of at most `width` and return the height."""
        option = QTextOption(_ALIGN[self._align])
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self._layout.setTextOption(option)
        self._layout.beginLayout()
        top = widest = 0.0
        while (line := self._layout.createLine()).isValid():
            line.setLineWidth(max(width, 1.0))
            height = max(float(self.line_px), line.height())
            line.setPosition(QPointF(0, top + self._baseline - line.ascent()))
            widest = max(widest, line.naturalTextWidth())
            top += height
        self._layout.endLayout()
        self.height = max(top, float(self.line_px))
        self.natural_width = widest
        return self.height

    def draw(
        self, painter: QPainter, origin: QPointF, clip: QRectF, shades: list[QTextLayout.FormatRange]
    ) -> None:
        self._layout.draw(painter, origin, shades, clip)

    def position_at(self, point: QPointF) -> int:
        count = self._layout.lineCount()
        for index in range(count):
            line = self._layout.lineAt(index)
            if index == count - 1 or point.y() < self._layout.lineAt(index + 1).y():
                return int(line.xToCursor(point.x()))
        return 0

    def rect_at(self, position: int) -> QRectF:
        line = self._layout.lineForTextPosition(position)
        if not line.isValid():
            return QRectF(0, 0, 1, self.line_px)
        return QRectF(caret_x(line, position), line.y(), 1, self.line_px)

    def over_text(self, point: QPointF) -> bool:
        for index in range(self._layout.lineCount()):
            if self._layout.lineAt(index).naturalTextRect().adjusted(-2, -2, 2, 2).contains(point):
                return True
        return False

    def link_at(self, point: QPointF) -> str | None:
        if not any(run.link for run in self.runs) or not self.over_text(point):
            return None
        position, at = self.position_at(point), 0
        for run in self.runs:
            at += units(run.text)
            if position < at:
                return run.link
        return None


_HEADINGS = {1: ("title", 26), 2: ("readout", 24)}


class ParagraphBox(Box):
    """Running text, a heading, a list item's paragraph or a displayed formula."""

    def __init__(self, block: Paragraph, style: ProseStyle) -> None:
        self.block = block
        self.gap_above = 4.0 if block.tight else float(style.gap_px)
        self._style = style
        font, line_px = theme().font(style.step), style.line_px
        runs = block.runs
        if block.level:
            step, line_px = _HEADINGS.get(block.level, (style.step, style.line_px))
            font = theme().font(step)
            font.setWeight(QFont.Weight.DemiBold)
            self.gap_above = style.gap_px + 6.0
        self._lines = TextLines(runs, font, style.color, line_px, "center" if block.display_maths else "left")
        self._font = font
        self.text = self._lines.text
        self._left = place_left(block)

    def layout(self, width: float) -> float:
        self.height = self._lines.wrap(width - self._left)
        return self.height

    def paint(self, painter: QPainter, origin: QPointF, clip: QRectF, shades: Sequence[Shade]) -> None:
        paint_quote_bars(painter, self.block, origin, origin.y(), origin.y() + self.height)
        assert isinstance(self.block, Paragraph)
        if self.block.marker is not None:
            painter.setFont(self._font)
            painter.setPen(theme().color("text3"))
            marker = QRectF(
                origin.x() + self._left - INDENT_PX - 24, origin.y(), INDENT_PX + 18, self._lines.line_px
            )
            painter.drawText(
                marker, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self.block.marker
            )
        self._lines.draw(painter, origin + QPointF(self._left, 0), clip, shade_ranges(shades))

    def position_at(self, point: QPointF) -> int:
        return self._lines.position_at(point - QPointF(self._left, 0))

    def rect_at(self, position: int) -> QRectF:
        return self._lines.rect_at(position).translated(self._left, 0)

    def link_at(self, point: QPointF) -> str | None:
        return self._lines.link_at(point - QPointF(self._left, 0))

    def is_text_at(self, point: QPointF) -> bool:
        return self._lines.over_text(point - QPointF(self._left, 0))

    def copied(self, start: int, end: int) -> str:
        assert isinstance(self.block, Paragraph)
        text = super().copied(start, end)
        if start == 0 and self.block.marker is not None:
            return "  " * max(self.block.indent - 1, 0) + self.block.marker + " " + text
        return text

    @property
    def natural_width(self) -> float:
        """The widest line after wrapping: what a bubble around this text needs."""
        return self._left + self._lines.natural_width


class RuleBox(Box):
    """A horizontal rule."""

    gap_above = 14.0

    def __init__(self, block: Rule) -> None:
        self.block = block
        self._width = 0.0

    def layout(self, width: float) -> float:
        self._width = width
        self.height = 5.0
        return self.height

    def paint(self, painter: QPainter, origin: QPointF, clip: QRectF, shades: Sequence[Shade]) -> None:
        left = place_left(self.block)
        painter.fillRect(
            QRectF(origin.x() + left, origin.y() + 2, self._width - left, 1), theme().color("line2")
        )
