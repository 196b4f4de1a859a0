"""The panel at the right of the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.controls import Hairline, Surface
from app.ui.i18n import tr
from app.ui.pages.chat.inspector.ledger import Ledger
from app.ui.pages.chat.inspector.sampling import Sampling
from app.ui.pages.chat.inspector.system_prompt import SystemPrompt

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.engine import EngineState, SettingValue
    from app.ui.context import WindowContext


class Inspector(Surface):
    """Context, sampling and system prompt; changes go to the service and act on the next answers."""

    def __init__(self, context: WindowContext, parent: QWidget | None = None) -> None:
        super().__init__("bg2", parent, edges="l")
        self._context = context
        self.ledger = Ledger()
        self.sampling = Sampling()
        self.system_prompt = SystemPrompt()
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for number, section in enumerate((self.ledger, self.sampling, self.system_prompt)):
            if number:
                column.addWidget(Hairline())
            column.addWidget(section)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it takes the keyboard
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.viewport().setAutoFillBackground(False)
        scroll.setWidget(inner)
        inner.setAutoFillBackground(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(1, 0, 0, 0)
        outer.addWidget(scroll)
        self.setAccessibleName(tr("Inspector"))
        self.sampling.valuesChosen.connect(self.set_values)
        self.system_prompt.chosen.connect(lambda text: self.set_values({"system_prompt": text or None}))
        context.state.engineChanged.connect(self.show_engine)
        self.show_engine(context.state.engine)

    def show_engine(self, engine: EngineState | None) -> None:
        """Show the values in force."""
        model = engine.model if engine is not None else None
        self.sampling.show_model(model)
        self.system_prompt.show_model(model)

    def set_values(self, values: dict[str, SettingValue | None]) -> None:
        """Change values for the next answers; None goes back to the preset's."""

        def work(client: ServiceClient) -> EngineState:
            return client.set_values(values)

        self._context.operations.run(self, work)
