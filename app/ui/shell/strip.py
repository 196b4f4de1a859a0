"""The strip over the pages: what is loaded, how, and what it does to the machine. Always visible, always in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.i18n import tr
from app.ui.shell.strip_engine import ExpertsCell, ModelCell, PresetCell, ThinkingCell
from app.ui.shell.strip_readouts import AddressCell, Cell, MemoryCell, SpeedCell
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.ui.context import WindowContext
    from app.ui.shell.loading import Loading

WIDE_FROM = 1500
WIDER = 1.24
SPARED_FIRST = ("memory", "experts", "speed")  # where a narrow window saves room
WIDTHS = {
    "model": 248,
    "preset": 120,
    "experts": 214,
    "thinking": 96,
    "memory": 224,
    "speed": 214,
    "address": 232,
}


class Strip(QWidget):
    """The row of cells. Cells that mean nothing for the loaded model are not shown."""

    def __init__(self, context: WindowContext, loading: Loading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(theme().metric("strip_height"))
        self.setAccessibleName(tr("Engine"))
        self.model = ModelCell(context, loading)
        self.preset = PresetCell(context, loading)
        self.experts = ExpertsCell(context, loading)
        self.thinking = ThinkingCell(context, loading)
        self.memory = MemoryCell(context)
        self.speed = SpeedCell(context)
        self.address = AddressCell(context)
        self._cells: dict[str, Cell] = {
            "model": self.model,
            "preset": self.preset,
            "experts": self.experts,
            "thinking": self.thinking,
            "memory": self.memory,
            "speed": self.speed,
            "address": self.address,
        }
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 1)
        row.setSpacing(0)
        for name, cell in self._cells.items():
            row.addWidget(cell, 1 if name == "speed" else 0)
        themes().changed.connect(self.update)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QEvent) -> bool:
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:  # a word or a value became longer, a cell came or went
            self._fit()
        return done

    def _fit(self) -> None:
        """Give every cell the room that its words need, sparing what can be spared, then what is left over."""
        wide = self.width() + theme().metric("rail_width") >= WIDE_FROM
        self.address.set_room(wide)
        cells = {name: cell for name, cell in self._cells.items() if not cell.isHidden()}
        least: dict[str, int] = {}
        for saving in range(len(SPARED_FIRST) + 1):
            for place, name in enumerate(SPARED_FIRST):
                self._cells[name].save_room(place < saving)
            least = {name: cell.least_width() for name, cell in cells.items()}
            if sum(least.values()) <= self.width():
                break
        spare = max(self.width() - sum(least.values()), 0)
        for name, cell in cells.items():
            wished = round(WIDTHS[name] * (WIDER if wide else 1))
            more = min(max(wished - least[name], 0), spare)
            spare -= more
            if name == "speed":
                cell.setMinimumWidth(least[name] + more)
            else:
                cell.setFixedWidth(least[name] + more)

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.fillRect(self.rect(), look.color("bg0"))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), look.color("line"))

    def focus_model(self) -> None:
        """Give the keyboard focus to the strip's first cell."""
        self.model.name.setFocus(Qt.FocusReason.ShortcutFocusReason)
