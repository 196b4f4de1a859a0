"""Asks the service what the conversation takes of the context, not more often than needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.shared.engine import EngineStatus

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.engine import EngineState, TokenCounts
    from app.shared.errors import PultError
    from app.ui.context import WindowContext

COUNT_MS = 350


class ContextCounter(QObject):
    """`counted(counts)` with `TokenCounts`, or None while nothing can be counted.

    The engine does one thing at a time, so nothing is counted while it answers; the count follows after.
    """

    counted = Signal(object)

    def __init__(
        self,
        context: WindowContext,
        subject: Callable[[], tuple[str | None, str]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._subject = subject
        self._asking = False
        self._due = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(COUNT_MS)
        self._timer.timeout.connect(self._ask)
        context.state.engineChanged.connect(self._engine_changed)

    def schedule(self) -> None:
        """Count soon; several calls are one count."""
        self._due = True
        self._timer.start()

    def _engine_changed(self, engine: EngineState) -> None:
        if engine.status == EngineStatus.READY:
            self.schedule()
        elif engine.model is None:
            self.counted.emit(None)

    def _ask(self) -> None:
        engine = self._context.state.engine
        if engine is None or engine.status != EngineStatus.READY or self._asking:
            return  # `engineChanged` or the answer under way asks again
        self._asking, self._due = True, False
        chat_id, draft = self._subject()

        def work(client: ServiceClient) -> TokenCounts:
            return client.count(chat_id=chat_id, draft=draft)

        self._context.operations.run(self, work, done=self._take, failed=self._not_counted)

    def _take(self, counts: TokenCounts) -> None:
        self._asking = False
        self.counted.emit(counts)
        if self._due:
            self._timer.start()

    def _not_counted(self, error: PultError) -> None:
        # A model that is gone or busy again: its next state asks anew. The ring shows nothing rather than a guess.
        self._asking = False
        self.counted.emit(None)
        if self._due:
            self._timer.start()
