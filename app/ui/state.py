"""What the window knows of the service now: a mirror filled by the bridge, read by every page."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from app.models.card import ModelCard
    from app.shared.engine import EngineState, LoadedModel
    from app.shared.events import State
    from app.shared.presets import Preset
    from app.shared.telemetry import TelemetrySample
    from app.ui.bridge import Bridge
    from app.ui.operations import Operations

SPARK_SAMPLES = 120


class AppState(QObject):
    """The mirror. Attributes are None until the service has said them for the first time."""

    engineChanged = Signal(object)  # noqa: N815 - EngineState
    telemetryChanged = Signal(object)  # noqa: N815 - TelemetrySample
    presetsChanged = Signal()  # noqa: N815
    modelsChanged = Signal()  # noqa: N815
    presetChanged = Signal(str)  # noqa: N815 - the name of the preset in force, "" for none
    connectedChanged = Signal(bool)  # noqa: N815

    def __init__(self, bridge: Bridge, operations: Operations, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._operations = operations
        self.engine: EngineState | None = None
        self.telemetry: TelemetrySample | None = None
        self.recent: deque[TelemetrySample] = deque(maxlen=SPARK_SAMPLES)
        self.presets: tuple[Preset, ...] = ()
        self.models: tuple[ModelCard, ...] = ()
        self.preset: str | None = None
        self.version: str | None = None
        self.engine_version: str | None = None
        self.address: str | None = None
        self.connected = False
        bridge.stateReplaced.connect(self._replace)
        bridge.engineChanged.connect(self._take_engine)
        bridge.telemetry.connect(self._take_telemetry)
        bridge.presetsChanged.connect(self.fetch_presets)
        bridge.modelsChanged.connect(self.fetch_models)
        bridge.connected.connect(self._take_connected)

    @property
    def model(self) -> LoadedModel | None:
        """The loaded model; None while there is none."""
        return self.engine.model if self.engine is not None else None

    @property
    def answering(self) -> bool:
        """Whether an answer is being written now."""
        return self.engine is not None and self.engine.status == "answering"

    def choose_preset(self, name: str | None) -> None:
        """The preset that the next load takes."""
        if name != self.preset:
            self.preset = name
            self.presetChanged.emit(name or "")

    def fetch_presets(self) -> None:
        """Ask the service for its presets; `presetsChanged` follows."""
        self._operations.run(self, lambda client: tuple(client.presets()), done=self._take_presets)

    def fetch_models(self) -> None:
        """Ask the service for the models it knows; `modelsChanged` follows."""
        self._operations.run(self, lambda client: tuple(client.models()), done=self._take_models)

    def _replace(self, state: State) -> None:
        self.version = state.version
        self.engine_version = state.engine_version
        self.address = state.address
        self._take_engine(state.engine)
        if state.preset is not None:
            self.choose_preset(state.preset)
        if state.telemetry is not None:
            self._take_telemetry(state.telemetry)
        self.fetch_presets()
        self.fetch_models()

    def _take_engine(self, engine: EngineState) -> None:
        loaded = engine.model if self.engine is None or engine.model != self.engine.model else None
        self.engine = engine
        if loaded is not None and loaded.preset is not None:
            self.choose_preset(loaded.preset)
        self.engineChanged.emit(engine)

    def _take_telemetry(self, sample: TelemetrySample) -> None:
        self.telemetry = sample
        self.recent.append(sample)
        self.telemetryChanged.emit(sample)

    def _take_presets(self, presets: tuple[Preset, ...]) -> None:
        self.presets = presets
        self.presetsChanged.emit()

    def _take_models(self, models: tuple[ModelCard, ...]) -> None:
        self.models = models
        self.modelsChanged.emit()

    def _take_connected(self, connected: bool) -> None:
        self.connected = connected
        self.connectedChanged.emit(connected)
