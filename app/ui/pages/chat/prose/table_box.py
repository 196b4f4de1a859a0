"""A table on screen: no grid, a hairline under rows, columns as wide as their text where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter

from app.ui.pages.chat.markdown.blocks import Table
from app.ui.pages.chat.prose.box import Shade, TextLines, paint_quote_bars, place_left, shade_ranges
from app.ui.pages.chat.prose.sideways import SidewaysBox
from app.ui.pages.chat.prose.units import units
from app.ui.theme import theme

PAD_PX = 12
MIN_COLUMN_PX = 56
SQUEEZED_PX = 88  # wrapping into narrower columns than this reads worse than moving sideways
_ROW_LINE = 20
_ROW_PAD = 4
_UNBOUNDED = 100_000.0


class TableBox(SidewaysBox):
    """Cells are addressed in reading order; copying gives tabs between cells and lines between rows.

    Columns give way to a least width; a table still wider than its place is moved sideways.
    """

    def __init__(self, block: Table, color: str) -> None:
        self.block = block
        self.gap_above = 12.0
        head_font, body_font = theme().font("label_strong"), theme().font("control")
        self._cells = [
            [
                TextLines(runs, head_font, "text3", _ROW_LINE, align)
                for runs, align in zip(block.head, block.aligns, strict=True)
            ],
            *(
                [
                    TextLines(runs, body_font, color, _ROW_LINE, align)
                    for runs, align in zip(row, block.aligns, strict=True)
                ]
                for row in block.rows
            ),
        ]
        self.text = "\n".join("\t".join(cell.text for cell in row) for row in self._cells)
        self._starts: list[list[int]] = []
        at = 0
        for row in self._cells:
            starts = []
            for cell in row:
                starts.append(at)
                at += units(cell.text) + 1
            self._starts.append(starts)
        self._natural: list[float] | None = None
        self._widths: list[float] = []
        self._lefts: list[float] = []
        self._tops: list[float] = []
        self._heights: list[float] = []

    def layout(self, width: float) -> float:
        left = self.frame_left = place_left(self.block)
        self.frame_width = width - left
        if self._natural is None:
            self._natural = [0.0] * len(self._cells[0])
            for row in self._cells:
                for index, cell in enumerate(row):
                    cell.wrap(_UNBOUNDED)
                    self._natural[index] = max(self._natural[index], cell.natural_width)
        wanted = [max(natural + 2, MIN_COLUMN_PX) for natural in self._natural]
        self._widths = fitted(wanted, width - left - 2 * PAD_PX * len(wanted))
        edges = list(accumulate((w + 2 * PAD_PX for w in self._widths), initial=left))
        self._lefts = [edge + PAD_PX for edge in edges[:-1]]
        self._tops, self._heights = [], []
        top = 0.0
        for row in self._cells:
            height = max(cell.wrap(w) for cell, w in zip(row, self._widths, strict=True)) + 2 * _ROW_PAD
            self._tops.append(top)
            self._heights.append(height)
            top += height + 1
        self.keep_in_reach()
        self.height = top + self.bar_room
        return self.height

    @property
    def content_width(self) -> float:
        return sum(self._widths) + 2 * PAD_PX * len(self._widths)

    def paint(self, painter: QPainter, origin: QPointF, clip: QRectF, shades: Sequence[Shade]) -> None:
        paint_quote_bars(painter, self.block, origin, origin.y(), origin.y() + self.height)
        frame = QRectF(origin.x() + self.frame_left, origin.y(), self.frame_width, self.height)
        painter.save()
        if self.overflow > 0:
            painter.setClipRect(frame, Qt.ClipOperation.IntersectClip)
        start = origin.x() - self.scroll_px
        for row, cells in enumerate(self._cells):
            top = origin.y() + self._tops[row]
            if top + self._heights[row] < clip.top() or top > clip.bottom():
                continue
            for column, cell in enumerate(cells):
                ranges = shade_ranges(shades, offset=self._starts[row][column], length=units(cell.text))
                cell.draw(painter, QPointF(start + self._lefts[column], top + _ROW_PAD), clip, ranges)
            line = QRectF(start + self.frame_left, top + self._heights[row], self.content_width, 1)
            painter.fillRect(line, theme().color("line2" if row == 0 else "line"))
        painter.restore()
        self.paint_bar(painter, origin)

    def _cell_at(self, point: QPointF) -> tuple[int, int]:
        row = max((i for i, top in enumerate(self._tops) if top <= point.y()), default=0)
        column = max(
            (i for i, left in enumerate(self._lefts) if left - PAD_PX <= point.x() + self.scroll_px),
            default=0,
        )
        return row, column

    def _corner(self, row: int, column: int) -> QPointF:
        return QPointF(self._lefts[column] - self.scroll_px, self._tops[row] + _ROW_PAD)

    def position_at(self, point: QPointF) -> int:
        row, column = self._cell_at(point)
        inside = self._cells[row][column].position_at(point - self._corner(row, column))
        return self._starts[row][column] + inside

    def rect_at(self, position: int) -> QRectF:
        for row in range(len(self._cells) - 1, -1, -1):
            for column in range(len(self._cells[row]) - 1, -1, -1):
                start = self._starts[row][column]
                if start <= position:
                    corner = self._corner(row, column)
                    return self._cells[row][column].rect_at(position - start).translated(corner)
        return super().rect_at(position)

    def link_at(self, point: QPointF) -> str | None:
        row, column = self._cell_at(point)
        return self._cells[row][column].link_at(point - self._corner(row, column))


def fitted(wanted: Sequence[float], room: float) -> list[float]:
    """Return column widths: as wanted where they fit, else the widest columns give way first, to a least width."""
    widths = list(wanted)
    for _ in range(len(widths)):
        excess = sum(widths) - room
        if excess <= 0.5:
            break
        widest = max(widths)
        if widest <= SQUEEZED_PX:
            break
        at_top = [i for i, width in enumerate(widths) if width >= widest - 0.5]
        below = max((width for width in widths if width < widest - 0.5), default=float(SQUEEZED_PX))
        target = max(widest - excess / len(at_top), below, float(SQUEEZED_PX))
        for index in at_top:
            widths[index] = target
    return widths
