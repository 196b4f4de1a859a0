"""A code block on screen: lines are laid out only when they are drawn, so its length costs nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen, QTextCharFormat, QTextLayout

from app.ui.pages.chat.markdown.blocks import Code
from app.ui.pages.chat.markdown.highlight import Span
from app.ui.pages.chat.prose.box import Shade, caret_x, paint_quote_bars, place_left, shade_ranges
from app.ui.pages.chat.prose.sideways import SidewaysBox
from app.ui.pages.chat.prose.units import units
from app.ui.theme import theme

HEAD_PX = 33
PAD_PX = 12
LINE_PX = 18
_TAIL_LINES = 30


class CodeBox(SidewaysBox):
    """Has a head for the language and the view's Copy button; longer lines scroll sideways."""

    block: Code

    def __init__(self, block: Code) -> None:
        self.gap_above = 12.0
        self._font = theme().font("code")
        metrics = QFontMetricsF(self._font)
        self._advance = metrics.horizontalAdvance("0")
        self._ascent_shift = (LINE_PX - metrics.height()) / 2
        self.block = block
        self.lines: list[str] = []
        self._starts: list[int] = []
        self._layouts: dict[int, QTextLayout] = {}
        self.spans: list[tuple[Span, ...]] = []
        self.coloured: str | None = None  # the text the spans were made for, once they are complete
        self._widest = 0.0
        self.update(block)

    def update(self, block: Code) -> int:
        """Take the block's new text; return the first line that changed."""
        self.block = block
        lines = block.text.expandtabs(4).split("\n")
        same = 0
        for old, new in zip(self.lines, lines, strict=False):
            if old != new:
                break
            same += 1
        self.lines = lines
        self.text = "\n".join(lines)
        del self._starts[same + 1 :]
        at = self._starts[-1] if self._starts else 0
        if not self._starts:
            self._starts.append(0)
        for line in lines[len(self._starts) - 1 : -1]:
            at += units(line) + 1
            self._starts.append(at)
        del self.spans[same:]
        for index in [index for index in self._layouts if index >= same]:
            del self._layouts[index]
        widest = max((units(line) for line in lines[same:]), default=0) * self._advance
        self._widest = max(self._widest, widest)
        return same

    def tail_to_colour(self) -> int:
        """Where to begin colouring while the block grows: near the end, at a line that starts a statement."""
        start = max(0, len(self.spans) - 1 if self.spans else 0)
        start = min(start, max(0, len(self.lines) - 1))
        start = max(0, start - _TAIL_LINES)
        while start > 0 and (not self.lines[start] or self.lines[start][0] in " \t})]"):
            start -= 1
        return start

    def colour(self, first: int, spans: Sequence[tuple[Span, ...]]) -> None:
        """Put the spans of the lines from `first` in place."""
        self.spans.extend(() for _ in range(first - len(self.spans)))
        for index, line in enumerate(spans, first):
            if index >= len(self.lines):
                break
            if index < len(self.spans):
                if self.spans[index] == line:
                    continue
                self.spans[index] = line
            else:
                self.spans.append(line)
            self._layouts.pop(index, None)

    def layout(self, width: float) -> float:
        self.frame_left = place_left(self.block)
        self.frame_width = width - self.frame_left
        self.keep_in_reach()
        self.height = float(HEAD_PX + 2 * PAD_PX + LINE_PX * len(self.lines) + self.bar_room)
        return self.height

    @property
    def content_width(self) -> float:
        return self._widest + 2 * PAD_PX

    def _line_layout(self, index: int) -> QTextLayout:
        found = self._layouts.get(index)
        if found is not None:
            return found
        text = self.lines[index]
        made = QTextLayout(text, self._font)
        made.setCacheEnabled(True)
        ranges = []
        for span in self.spans[index] if index < len(self.spans) else ():
            part = QTextLayout.FormatRange()
            part.start = units(text[: span.start])
            part.length = units(text[span.start : span.start + span.length])
            style = QTextCharFormat()
            style.setForeground(theme().color(span.kind))
            part.format = style
            ranges.append(part)
        made.setFormats(ranges)
        made.beginLayout()
        line = made.createLine()
        line.setLineWidth(1e6)
        line.setPosition(QPointF(0, self._ascent_shift))
        made.endLayout()
        self._widest = max(self._widest, line.naturalTextWidth())
        self._layouts[index] = made
        return made

    def paint(self, painter: QPainter, origin: QPointF, clip: QRectF, shades: Sequence[Shade]) -> None:
        current = theme()
        paint_quote_bars(painter, self.block, origin, origin.y(), origin.y() + self.height)
        frame = QRectF(origin.x() + self.frame_left, origin.y(), self.frame_width, self.height)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(current.color("line"), 1))
        painter.setBrush(current.color("code_bg"))
        radius = current.metric("radius.card")
        painter.drawRoundedRect(frame.adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        painter.restore()
        painter.fillRect(QRectF(frame.x(), frame.y() + HEAD_PX, frame.width(), 1), current.color("line"))
        painter.setFont(self._font)
        painter.setPen(current.color("text3"))
        head = QRectF(frame.x() + PAD_PX, frame.y(), frame.width() - 2 * PAD_PX, HEAD_PX)
        painter.drawText(
            head, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.block.language or "text"
        )
        self._paint_lines(painter, frame, clip, shades)
        self.paint_bar(painter, origin)

    def _paint_lines(self, painter: QPainter, frame: QRectF, clip: QRectF, shades: Sequence[Shade]) -> None:
        top = frame.y() + HEAD_PX + PAD_PX
        first = max(0, int((clip.top() - top) // LINE_PX))
        last = min(len(self.lines) - 1, int((clip.bottom() - top) // LINE_PX))
        painter.save()
        painter.setClipRect(frame.adjusted(1, HEAD_PX + 1, -1, -1), Qt.ClipOperation.IntersectClip)
        painter.setPen(theme().color("text"))
        left = frame.x() + PAD_PX - self.scroll_px
        for index in range(first, last + 1):
            ranges = (
                shade_ranges(shades, offset=self._starts[index], length=units(self.lines[index]))
                if shades
                else []
            )
            self._line_layout(index).draw(painter, QPointF(left, top + index * LINE_PX), ranges, QRectF())
        painter.restore()

    def position_at(self, point: QPointF) -> int:
        index = int((point.y() - HEAD_PX - PAD_PX) // LINE_PX)
        if index < 0:
            return 0
        if index >= len(self.lines):
            return self.length
        x = point.x() - place_left(self.block) - PAD_PX + self.scroll_px
        return self._starts[index] + int(self._line_layout(index).lineAt(0).xToCursor(x))

    def rect_at(self, position: int) -> QRectF:
        index = max(0, bisect_right(self._starts, position) - 1)
        left = caret_x(self._line_layout(index).lineAt(0), position - self._starts[index])
        top = HEAD_PX + PAD_PX + index * LINE_PX
        return QRectF(place_left(self.block) + PAD_PX - self.scroll_px + left, top, 1, LINE_PX)

    def is_text_at(self, point: QPointF) -> bool:
        return HEAD_PX <= point.y() < self.height and point.x() >= place_left(self.block)
