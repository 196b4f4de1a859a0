"""Asking for forecasts while settings change: soon after the last change, one at a time, the latest wins."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QObject, QTimer, Signal

from app.shared.engine import SettingValue
from app.shared.errors import PultError
from app.shared.forecast import Forecast, ForecastError
from app.ui.operations import Operations

CALM_MS = 30


class ForecastAsking(QObject):
    """`told` brings the forecast of what was asked last, `refused` why there is none, `records` past errors."""

    told = Signal(object)  # Forecast
    refused = Signal(object)  # ErrorInfo
    records = Signal(object)  # tuple[ForecastRecord, ...]

    def __init__(self, operations: Operations, parent: QObject) -> None:
        super().__init__(parent)
        self._operations = operations
        self._wanted: tuple[str, dict[str, SettingValue]] | None = None
        self._asked: tuple[str, dict[str, SettingValue]] | None = None
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self._calm.timeout.connect(self._ask)

    def want(self, path: str, values: Mapping[str, SettingValue]) -> None:
        """Ask for this model with these settings, soon."""
        self._wanted = (path, dict(values))
        self._calm.start()

    def want_records(self) -> None:
        """Ask how good the forecasts have been."""
        self._operations.run(
            self, lambda client: client.forecast_error(), done=self._take_records, failed=self._no_records
        )

    def _ask(self) -> None:
        if self._asked is not None or self._wanted is None:
            return  # the answer under way asks again
        asked = self._asked = self._wanted
        self._wanted = None
        path, values = asked
        # An empty preset's name would bring the model's default preset in: the form's values are all there is.
        full = {**values}
        self._operations.run(
            self,
            lambda client: client.forecast(path, preset="", values=full),
            done=self._take,
            failed=self._fail,
        )

    def _take(self, told: Forecast) -> None:
        self._asked = None
        if self._wanted is None:
            self.told.emit(told)
        else:
            self._ask()

    def _fail(self, error: PultError) -> None:
        self._asked = None
        if self._wanted is None:
            self.refused.emit(error.info())
        else:
            self._ask()

    def _take_records(self, told: ForecastError) -> None:
        self.records.emit(told.records)

    def _no_records(self, _error: PultError) -> None:
        """Past errors are an extra: what fails here is said by the forecast itself."""
