"""The system prompt in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.controls import SectionHeading, TextArea
from app.ui.i18n import tr

if TYPE_CHECKING:
    from app.shared.engine import LoadedModel

APPLY_MS = 800


class _Area(TextArea):
    left = Signal()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.left.emit()


class SystemPrompt(QWidget):
    """A field whose text acts on the next answer. `chosen(text)` shortly after typing, or when the field is left."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._in_force = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 14)
        column.setSpacing(8)
        self.heading = SectionHeading(tr("System prompt"))
        self.area = _Area(
            placeholder=tr("None. The model's template decides."),
            label=tr("System prompt"),
            min_height=72,
            max_height=220,
        )
        column.addWidget(self.heading)
        column.addWidget(self.area)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(APPLY_MS)
        self._timer.timeout.connect(self._apply)
        self.area.textChanged.connect(self._edited)
        self.area.left.connect(self._apply)

    def show_model(self, model: LoadedModel | None) -> None:
        """Show the prompt in force; what is being typed is not replaced."""
        text = str(model.values.get("system_prompt", "")) if model is not None else ""
        pending = self.area.toPlainText() != self._in_force
        self._in_force = text
        if not (pending and self.area.hasFocus()) and self.area.toPlainText() != text:
            self.area.setPlainText(text)
        self.area.set_reason(None if model is not None else tr("Load a model first"))

    def _edited(self) -> None:
        if self.area.toPlainText() != self._in_force:
            self._timer.start()

    def _apply(self) -> None:
        self._timer.stop()
        text = self.area.toPlainText()
        if text != self._in_force and self.area.isEnabled():
            self._in_force = text
            self.chosen.emit(text)
