"""Cells of the strip that only show: memory, decode speed, the address. And what every cell is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.shared.units import GIB, MIB
from app.ui.controls import ElidedLabel, IconButton, Label, Sparkline
from app.ui.i18n import memory, number, tr
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.shared.events import AnswerText
    from app.shared.telemetry import TelemetrySample
    from app.ui.context import WindowContext


class Cell(QWidget):
    """A caption over a value line, divided from the next cell by a hairline."""

    def __init__(self, caption: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(caption)
        self.caption = ElidedLabel(caption, "caption", "text2")
        self._head = QHBoxLayout()
        self._head.setSpacing(6)
        self._head.addWidget(self.caption, 1)
        self.line = QHBoxLayout()
        self.line.setContentsMargins(0, 0, 0, 0)
        self.line.setSpacing(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 9, 12, 8)
        column.setSpacing(3)
        head = QWidget()
        head.setFixedHeight(18)
        head.setLayout(self._head)
        self._head.setContentsMargins(0, 0, 0, 0)
        below = QWidget()
        below.setFixedHeight(26)
        below.setLayout(self.line)
        column.addWidget(head)
        column.addWidget(below)

    def least_width(self) -> int:
        """The width under which a word of the caption or a value would be cut."""
        head = self.caption.sizeHint().width()
        for place in range(1, self._head.count()):
            item = self._head.itemAt(place)
            widget = item.widget() if item is not None else None
            if widget is not None and not widget.isHidden():
                head += self._head.spacing() + widget.sizeHint().width()
        return max(head, self.line.minimumSize().width()) + 24

    def add_to_head(self, widget: QWidget) -> None:
        """Put a small thing at the right end of the caption line."""
        self._head.addWidget(widget)

    def save_room(self, saving: bool) -> None:
        """Leave out what can be spared in a narrow window, or show it again; a plain cell has nothing to spare."""

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(self.width() - 1, 0, 1, self.height()), theme().color("line"))


class _Readout(QWidget):
    """A number that does not shake: value in 15/600, its unit quieter, 4 px apart."""

    def __init__(self) -> None:
        super().__init__()
        self.value = Label("", "readout")
        self.unit = Label("", "secondary", "text3")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.value)
        row.addWidget(self.unit)
        row.addStretch(1)

    def show_value(self, value: str, unit: str, *, quiet: bool = False) -> None:
        """Show both; `quiet` is for a value that was."""
        self.value.setText(value)
        self.value.set_color("text3" if quiet else "text")
        self.unit.setText(unit)


class MemoryCell(Cell):
    """VRAM of the GPUs, or RAM where there is none, with its last minute."""

    def __init__(self, context: WindowContext) -> None:
        super().__init__(tr("Memory"))
        self._state = context.state
        self.readout = _Readout()
        self.spark = Sparkline(self.caption.text(), height=26)
        self.line.addWidget(self.readout, 1)
        self.line.addWidget(self.spark)
        context.state.telemetryChanged.connect(self._take)
        if context.state.telemetry is not None:
            self._take(context.state.telemetry)

    def save_room(self, saving: bool) -> None:
        self.spark.setHidden(saving)

    def _take(self, sample: TelemetrySample) -> None:
        used, total, caption = memory_of(sample)
        self.caption.setText(caption)
        self.setAccessibleName(caption)
        if used is None or total is None:
            self.readout.show_value("–", tr("not reported"))
        else:
            # Both in the total's unit: a value that changes its unit on the way up reads as a jump.
            unit_bytes = GIB if total >= GIB else MIB
            self.readout.show_value(
                number(used / unit_bytes, decimals=1), tr("of {size}", size=memory(total))
            )
        self.spark.set_values([memory_of(each)[0] for each in self._state.recent], top=total)
        self.setToolTip(tr(sample.gpu_note) if sample.gpu_note else "")


def memory_of(sample: TelemetrySample) -> tuple[int | None, int | None, str]:
    """Return used and total bytes and what they are: VRAM over all GPUs, or RAM where there is none."""
    gpus = [gpu for gpu in sample.gpus if not gpu.lost and gpu.memory_total_bytes]
    if not gpus:
        return sample.host.memory_used_bytes, sample.host.memory_total_bytes, tr("RAM")
    used = sum(gpu.memory_used_bytes or 0 for gpu in gpus)
    total = sum(gpu.memory_total_bytes or 0 for gpu in gpus)
    if len(gpus) == 1:
        return used, total, tr("VRAM, GPU {index}", index=str(gpus[0].index))
    return used, total, tr("VRAM, {count} GPUs", count=len(gpus))


class SpeedCell(Cell):
    """Decode speed now; between answers the last one's, quieter."""

    def __init__(self, context: WindowContext) -> None:
        super().__init__(tr("Decode speed"))
        self._state = context.state
        self._last: float | None = None
        self.readout = _Readout()
        self.spark = Sparkline(self.caption.text(), height=26)
        self.line.addWidget(self.readout, 1)
        self.line.addWidget(self.spark)
        self.readout.show_value("–", tr("tokens/s"), quiet=True)
        context.state.telemetryChanged.connect(self._take)
        context.state.engineChanged.connect(self._show)
        context.bridge.answerText.connect(self._take_text)
        context.bridge.messageChanged.connect(self._take_message)
        for sample in self._state.recent:  # made anew for another language: what was measured still holds
            self._take(sample)

    def save_room(self, saving: bool) -> None:
        self.spark.setHidden(saving)

    def _take(self, sample: TelemetrySample) -> None:
        speeds = [each.engine.decode_tokens_per_second for each in self._state.recent]
        self.spark.set_values([speed or 0.0 for speed in speeds])
        if sample.engine.decode_tokens_per_second is not None:
            self._last = sample.engine.decode_tokens_per_second
        self._show()

    def _take_text(self, texts: list[AnswerText]) -> None:
        for text in texts:
            if text.decode_tokens_per_second is not None:
                self._last = text.decode_tokens_per_second
        self._show()

    def _take_message(self, message: Message) -> None:
        # What the engine measured over the whole answer; short ones end between two samples.
        speed = message.facts.timings.tokens_per_second if message.facts is not None else None
        if speed is not None and message.state != "writing":
            self._last = speed
            self._show()

    def _show(self, _engine: object = None) -> None:
        if self._last is None:
            return
        answering = self._state.answering
        decimals = 1 if self._last < 100 else 0
        self.readout.show_value(number(self._last, decimals=decimals), tr("tokens/s"), quiet=not answering)
        self.setToolTip("" if answering else tr("Of the last answer"))


class AddressCell(Cell):
    """The API's address with a copy button; only where there is room for it."""

    def __init__(self, context: WindowContext) -> None:
        super().__init__(tr("API address"))
        self._context = context
        self._room = False
        self.address = Label("", "code", "text2")
        self.copy = IconButton("copy", tr("Copy the address"), size=24)
        self.copy.clicked.connect(self._copy)
        self.line.addWidget(self.address)
        self.line.addStretch(1)
        self.line.addWidget(self.copy)
        context.state.connectedChanged.connect(self._show)
        context.state.engineChanged.connect(self._show)
        self._show()

    def set_room(self, room: bool) -> None:
        """Say whether there is room for this cell."""
        self._room = room
        self._show()

    def _show(self, _change: object = None) -> None:
        address = self._context.state.address or ""
        self.address.setText(address.removeprefix("http://"))
        self.setVisible(self._room and bool(address))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self._context.state.address}/v1")
        self._context.toast(tr("The address is on the clipboard."))
