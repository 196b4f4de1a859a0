"""One widget for a whole answer: lays its blocks out, draws what is visible, knows selection, links and found words."""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Iterator

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from app.ui.controls import Button
from app.ui.i18n import tr
from app.ui.pages.chat.markdown import Block, Code, MarkdownStream, Paragraph, Run, Table
from app.ui.pages.chat.markdown.highlight import Span, highlight_lines
from app.ui.pages.chat.prose.box import Box, ParagraphBox, ProseStyle, RuleBox, Shade
from app.ui.pages.chat.prose.code_box import HEAD_PX, CodeBox
from app.ui.pages.chat.prose.grammars import grammars
from app.ui.pages.chat.prose.sideways import SidewaysBox
from app.ui.pages.chat.prose.table_box import TableBox
from app.ui.pages.chat.prose.units import units
from app.ui.theme import themes

SLICE_SECONDS = 0.004  # of colouring code in one turn of the event loop
FIRST_SLICE_CHARACTERS = 10_000  # a longer text is laid out piece by piece
RECOLOUR_MS = 120  # while code is being written its end is coloured this often
_WHEEL_PX = 40

Place = tuple[int, int]  # box index, position in its text

__all__ = ["Place", "ProseStyle", "ProseView"]


class ProseView(QWidget):
    """Markdown or plain text at a given width. The owner sets the size: `height_for` says how high it is.

    `grown` is sent when the height changed by itself (code laid out piece by piece).
    """

    grown = Signal()
    copied = Signal()

    def __init__(
        self, parent: QWidget | None = None, *, style: ProseStyle | None = None, markdown: bool = True
    ) -> None:
        super().__init__(parent)
        self._style = style or ProseStyle()
        self._markdown = markdown
        self._stream = MarkdownStream()
        self._blocks: tuple[Block, ...] = ()
        self._boxes: list[Box] = []
        self._tops: list[float] = []
        self._width = 0
        self._height = 0
        self._source = ""
        self._rest: list[str] = []
        self._copy_buttons: dict[int, Button] = {}
        self._selection: tuple[Place, Place] | None = None
        self._found: list[tuple[int, int, int]] = []
        self._found_now: tuple[int, int, int] | None = None
        self._colouring: list[tuple[CodeBox, int, Iterator[tuple[Span, ...]]]] = []
        self._colour_timer = QTimer(self)
        self._colour_timer.setSingleShot(True)
        self._colour_timer.timeout.connect(self._colour_slice)
        self._rest_timer = QTimer(self)
        self._rest_timer.setInterval(0)
        self._rest_timer.timeout.connect(self._take_rest)
        self._growing = False
        self._colour_due = False
        self._pulled: tuple[SidewaysBox, float] | None = None  # a bar held by the pointer, and where
        self.setMouseTracking(True)
        themes().changed.connect(self._restyle)
        grammars().ready.connect(self._grammar_ready)

    # What is shown

    @property
    def source(self) -> str:
        """The text as it was given."""
        return self._source

    def set_text(self, source: str, *, growing: bool = False) -> None:
        """Show a text; one that only grew since the last call costs only its last block. `growing`: more will come."""
        ended = self._growing and not growing
        self._growing = growing
        if source == self._source and not ended:
            return
        grew = bool(self._source) and source.startswith(self._source)
        self._source = source
        if not self._markdown:
            self._set_plain(source)
            return
        if grew and not self._rest:
            self._stream.set(source)
        else:
            first, self._rest = _pieces(source)
            self._stream = MarkdownStream()
            self._stream.set(first)
            self._boxes, self._blocks = [], ()
        if self._rest:
            self._rest_timer.start()
        elif not growing:
            self._stream.finish()
        self._take_blocks(self._stream.blocks, self._stream.changed_from)
        if not growing:
            self._colouring = []
            self._colour_timer.start(0)  # not in this turn: what is new is shown first
            self._colour_due = True
        self.setAccessibleDescription(source if not growing else "")

    def _set_plain(self, source: str) -> None:
        blocks = tuple(Paragraph(runs=(Run(line),), tight=True) for line in source.split("\n"))
        self._boxes, self._blocks = [], ()
        self._take_blocks(blocks, 0)
        self.setAccessibleDescription(source)

    def _take_rest(self) -> None:
        if not self._rest:
            self._rest_timer.stop()
            return
        self._stream.append(self._rest.pop(0))
        if not self._rest:
            self._rest_timer.stop()
            if not self._growing:
                self._stream.finish()
        self._take_blocks(self._stream.blocks, self._stream.changed_from)
        if not self._growing:
            self._colour_all()
        self.grown.emit()

    def _take_blocks(self, blocks: tuple[Block, ...], changed_from: int) -> None:
        changed_from = min(changed_from, len(self._boxes))
        kept = self._boxes[:changed_from]
        spare = self._boxes[changed_from:]
        for index, block in enumerate(blocks[changed_from:], changed_from):
            old = spare[index - changed_from] if index - changed_from < len(spare) else None
            if old is not None and index < len(self._blocks) and self._blocks[index] == block:
                kept.append(old)
                continue
            kept.append(self._box_for(block, old))
            changed_from = min(changed_from, index)
        self._boxes, self._blocks = kept, blocks
        if self._selection is not None and max(self._selection)[0] >= changed_from:
            self._selection = None
        self._found = [hit for hit in self._found if hit[0] < changed_from]
        if self._width:
            self._lay_out(changed_from)
        self.update()

    def _box_for(self, block: Block, old: Box | None) -> Box:
        if isinstance(block, Code):
            if isinstance(old, CodeBox) and old.block.language == block.language:
                old.update(block)
                box = old
            else:
                box = CodeBox(block)
            if self._growing and not self._colour_timer.isActive():
                self._colour_timer.start(RECOLOUR_MS)
            return box
        if isinstance(block, Table):
            return TableBox(block, self._style.color)
        if isinstance(block, Paragraph):
            box_of_text = ParagraphBox(block, self._style)
            if not self._markdown:
                box_of_text.gap_above = 0.0
            return box_of_text
        return RuleBox(block)

    def _restyle(self) -> None:
        """The theme changed: formats hold colours, so the boxes are made anew."""
        boxes_found, selection = self._found, self._selection
        self._boxes = [self._box_for(block, None) for block in self._blocks]
        self._found, self._selection = boxes_found, selection
        if self._width:
            self._lay_out(0)
        self._colour_all()
        self.update()

    # Layout

    def height_for(self, width: int) -> int:
        """Lay out for a width in pixels and return the height."""
        if width != self._width:
            self._width = width
            self._lay_out(0)
        return self._height

    @property
    def natural_width(self) -> int:
        """The widest line as laid out; for bubbles that are as wide as their text."""
        widths = [box.natural_width for box in self._boxes if isinstance(box, ParagraphBox)]
        return int(max(widths, default=0.0)) + 2

    def _lay_out(self, first: int) -> None:
        del self._tops[first:]
        top = 0.0
        if first > 0:
            top = self._tops[first - 1] + self._boxes[first - 1].height
        for index, box in enumerate(self._boxes[first:], first):
            if index:
                top += self._gap(index)
            box.layout(float(self._width))
            box.top = top
            self._tops.append(top)
            top += box.height
        self._height = int(top + 0.999)
        self._place_copy_buttons()

    def _gap(self, index: int) -> float:
        """The space above a block; a tight list's first item keeps the usual distance from what is before it."""
        box, before = self._boxes[index], self._boxes[index - 1].block
        if self._markdown and box.block.tight and before.indent == 0:
            return float(self._style.gap_px)
        return box.gap_above

    def _place_copy_buttons(self) -> None:
        wanted = {i: box for i, box in enumerate(self._boxes) if isinstance(box, CodeBox)}
        for index in [i for i in self._copy_buttons if i not in wanted]:
            self._copy_buttons.pop(index).deleteLater()
        for index, box in wanted.items():
            button = self._copy_buttons.get(index)
            if button is None:
                button = Button(tr("Copy"), self, kind="ghost", icon_name="copy", compact=True)
                button.setAccessibleName(tr("Copy code"))
                button.clicked.connect(lambda _=False, at=index: self._copy_code(at))
                button.show()
                self._copy_buttons[index] = button
            size = button.sizeHint()
            right = self._width - 4
            button.setGeometry(
                int(right - size.width()),
                int(box.top + (HEAD_PX - size.height()) / 2),
                size.width(),
                size.height(),
            )

    def _copy_code(self, index: int) -> None:
        block = self._boxes[index].block
        if isinstance(block, Code):
            QGuiApplication.clipboard().setText(block.text)
            self.copied.emit()

    # Colouring

    def _colour_all(self) -> None:
        self._colouring = [
            (box, 0, highlight_lines("\n".join(box.lines), box.block.language))
            for box in self._boxes
            if isinstance(box, CodeBox)
            and box.block.language
            and box.coloured != box.text
            and grammars().has(box.block.language)
        ]
        if self._colouring:
            self._colour_slice()

    def _grammar_ready(self, language: str) -> None:
        if not self._growing and any(
            isinstance(box, CodeBox) and box.block.language == language for box in self._boxes
        ):
            self._colour_all()

    def _colour_slice(self) -> None:
        """Colour for a few milliseconds and go on in the next turn of the loop."""
        if self._colour_due:
            self._colour_due = False
            self._colour_all()
            return
        end = time.perf_counter() + SLICE_SECONDS
        last = self._boxes[-1] if self._boxes else None
        if (
            self._growing
            and not self._colouring
            and isinstance(last, CodeBox)
            and grammars().has(last.block.language)
        ):
            box = last
            start = box.tail_to_colour()
            tail = "\n".join(box.lines[start:])
            self._colouring = [(box, start, highlight_lines(tail, box.block.language))]
        while self._colouring and time.perf_counter() < end:
            box, line, spans = self._colouring[0]
            batch = []
            for one in spans:
                batch.append(one)
                if time.perf_counter() >= end:
                    break
            else:
                self._colouring.pop(0)
                if not self._growing:
                    box.coloured = box.text
            box.colour(line, batch)
            if self._colouring and self._colouring[0][0] is box:
                self._colouring[0] = (box, line + len(batch), spans)
        if self._colouring:
            self._colour_timer.start(0)
        self.update()

    # Drawing

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        clip = QRectF(event.rect())
        first = max(0, bisect_right(self._tops, clip.top()) - 1)
        for index in range(first, len(self._boxes)):
            box = self._boxes[index]
            if box.top > clip.bottom():
                break
            box.paint(painter, QPointF(0, box.top), clip, self._shades(index, box))
        painter.end()

    def _shades(self, index: int, box: Box) -> list[Shade]:
        shades = [Shade(start, end, "found") for at, start, end in self._found if at == index]
        if self._found_now is not None and self._found_now[0] == index:
            shades.append(Shade(self._found_now[1], self._found_now[2], "found_now"))
        if self._selection is not None:
            (first, start), (last, end) = self._selection
            if first <= index <= last:
                shades.append(
                    Shade(
                        start if index == first else 0,
                        end if index == last else max(box.length, 1),
                        "selection",
                    )
                )
        return shades

    # Selection

    def place_at(self, point: QPoint) -> Place:
        """Return the text place nearest to a point of this widget."""
        if not self._boxes:
            return (0, 0)
        if point.y() < 0:
            return (0, 0)
        index = max(0, bisect_right(self._tops, point.y()) - 1)
        box = self._boxes[index]
        if point.y() > box.top + box.height and index + 1 == len(self._boxes):
            return (index, box.length)
        return (index, box.position_at(QPointF(point) - QPointF(0, box.top)))

    @property
    def start(self) -> Place:
        return (0, 0)

    @property
    def end(self) -> Place:
        return (len(self._boxes) - 1, self._boxes[-1].length) if self._boxes else (0, 0)

    def select(self, first: Place | None, second: Place | None = None) -> None:
        """Select between two places, in either order; None takes the selection away."""
        selection = None
        if first is not None and second is not None and first != second:
            selection = (min(first, second), max(first, second))
        if selection != self._selection:
            self._selection = selection
            self.update()

    def select_word(self, place: Place) -> tuple[Place, Place]:
        """Select the word at a place and return its ends."""
        index, at = place
        text = self._boxes[index].text if index < len(self._boxes) else ""
        for word in re.finditer(r"\w+", text):
            start, end = units(text[: word.start()]), units(text[: word.end()])
            if start <= at <= end:
                self.select((index, start), (index, end))
                return (index, start), (index, end)
        return place, place

    @property
    def has_selection(self) -> bool:
        return self._selection is not None

    def selected_text(self) -> str:
        """Return the selected text; list markers come along, table cells are parted by tabs."""
        if self._selection is None:
            return ""
        (first, start), (last, end) = self._selection
        parts: list[str] = []
        for index in range(first, min(last, len(self._boxes) - 1) + 1):
            box = self._boxes[index]
            begin = start if index == first else 0
            stop = end if index == last else box.length
            loose = parts and self._markdown and box.gap_above > 4
            parts.append(("\n" if loose else "") + box.copied(begin, stop))
        return "\n".join(parts)

    # Finding

    def find_words(self, words: str) -> list[tuple[int, int, int]]:
        """Mark every occurrence of `words` (any case) and return them as box, start, end."""
        self._found, self._found_now = [], None
        if words:
            pattern = re.compile(re.escape(words), re.IGNORECASE)
            for index, box in enumerate(self._boxes):
                for hit in pattern.finditer(box.text):
                    start = units(box.text[: hit.start()])
                    self._found.append((index, start, start + units(hit.group())))
        self.update()
        return list(self._found)

    def show_found(self, hit: tuple[int, int, int] | None) -> QRectF:
        """Mark one occurrence as the present one and return where it is."""
        self._found_now = hit
        self.update()
        if hit is None or hit[0] >= len(self._boxes):
            return QRectF()
        box = self._boxes[hit[0]]
        if isinstance(box, SidewaysBox):
            place = box.rect_at(hit[1])
            x = place.x() - box.frame_left + box.scroll_px
            box.show_span(max(0.0, x - 24), x + 96)
        return box.rect_at(hit[1]).translated(0, box.top)

    # Pointer

    def _box_at(self, point: QPointF) -> Box | None:
        index = bisect_right(self._tops, point.y()) - 1
        if index < 0:
            return None
        box = self._boxes[index]
        return box if point.y() <= box.top + box.height else None

    def link_at(self, point: QPoint) -> str | None:
        """Return the link under a point of this widget."""
        box = self._box_at(QPointF(point))
        return box.link_at(QPointF(point) - QPointF(0, box.top)) if box is not None else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        point = event.position()
        if self._pulled is not None:
            held, x = self._pulled
            self._pulled = (held, point.x())
            if held.pull(point.x() - x):
                self.update()
            event.accept()
            return
        box = self._box_at(point)
        link = self.link_at(point.toPoint())
        if link is not None:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        elif isinstance(box, SidewaysBox) and box.grips(point - QPointF(0, box.top)):
            self.setCursor(Qt.CursorShape.SizeHorCursor)
        elif box is not None and box.is_text_at(point - QPointF(0, box.top)):
            self.setCursor(Qt.CursorShape.IBeamCursor)
        else:
            self.unsetCursor()
        self.setToolTip(link or "")
        event.ignore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        box = self._box_at(event.position())
        if (
            event.button() == Qt.MouseButton.LeftButton
            and isinstance(box, SidewaysBox)
            and box.grips(event.position() - QPointF(0, box.top))
        ):
            self._pulled = (box, event.position().x())
            event.accept()
            return
        event.ignore()  # the conversation selects over all its messages

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        pulled, self._pulled = self._pulled, None
        event.setAccepted(pulled is not None)

    def open_link(self, point: QPoint) -> bool:
        """Open the link under a point in the browser; False if there is none."""
        link = self.link_at(point)
        return link is not None and QDesktopServices.openUrl(QUrl(link))

    def wheelEvent(self, event: QWheelEvent) -> None:
        sideways = event.pixelDelta().x() or event.angleDelta().x() * _WHEEL_PX // 120
        if not sideways and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            sideways = event.pixelDelta().y() or event.angleDelta().y() * _WHEEL_PX // 120
        box = self._box_at(event.position())
        if sideways and isinstance(box, SidewaysBox) and box.scroll(-sideways):
            self.update()
            event.accept()
            return
        event.ignore()

    def leaveEvent(self, event: QEvent) -> None:
        self.unsetCursor()
        super().leaveEvent(event)


def _pieces(source: str) -> tuple[str, list[str]]:
    """Part a long text at empty lines, so that laying it out can be spread over several turns of the loop."""
    if len(source) <= FIRST_SLICE_CHARACTERS:
        return source, []
    pieces: list[str] = []
    start = 0
    while start < len(source):
        end = source.find("\n\n", start + FIRST_SLICE_CHARACTERS // 2)
        end = len(source) if end < 0 else end + 2
        pieces.append(source[start:end])
        start = end
    return pieces[0], pieces[1:]
