"""Loading as the window does it: one place that asks when an answer is being written, and remembers what was loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from app.ui.i18n import tr

if TYPE_CHECKING:
    from app.shared.engine import EngineState, LoadedModel, RemoteServer, SettingValue
    from app.shared.errors import PultError
    from app.ui.context import WindowContext

START_WITH = ("last", "guide", "nothing")


class Loading(QObject):
    """Loads, ejects and reloads for strip, picker, palette and drops. Failures show as the engine's banner."""

    refused = Signal(object)  # ErrorInfo: the request itself was wrong, nothing was loaded

    def __init__(self, context: WindowContext, window: QWidget) -> None:
        super().__init__(window)
        self._context = context
        self._window = window
        self._started = False
        context.state.engineChanged.connect(self._remember)

    # what a person asks for

    def load(
        self,
        model: str,
        *,
        preset: str | None = None,
        values: Mapping[str, SettingValue | None] | None = None,
    ) -> None:
        """Load a file; without `preset` the model's own default preset."""
        self._unless_answering(
            lambda: self._run(lambda client: client.load(model, preset=preset, values=values)),
            tr("Load and stop the answer"),
        )

    def load_remote(self, server: RemoteServer, *, preset: str | None = None) -> None:
        """Use a remote server."""
        self._unless_answering(
            lambda: self._run(lambda client: client.load(remote=server, preset=preset)),
            tr("Load and stop the answer"),
        )

    def reload(self) -> None:
        """Load the same again; after a restart of the service, what the window remembers."""
        model = self._context.state.model
        engine = self._context.state.engine
        known = model is not None or (engine is not None and engine.status == "failed")
        last = self._context.settings.text("last_model")
        if known or last is None:
            self._unless_answering(
                lambda: self._run(lambda client: client.reload()), tr("Reload and stop the answer")
            )
        else:
            self.load(last, preset=self._context.settings.text("last_preset"))

    def eject(self) -> None:
        """Free the model."""
        self._unless_answering(
            lambda: self._run(lambda client: client.eject()), tr("Eject and stop the answer")
        )

    def cancel(self) -> None:
        """Cancel the load under way."""
        self._run(lambda client: client.cancel())

    def use_preset(self, name: str) -> None:
        """Put a preset in force: at once where only the next answer is concerned, else by loading again."""
        state = self._context.state
        model = state.model
        preset = next((preset for preset in state.presets if preset.name == name), None)
        if model is None or preset is None:
            state.choose_preset(name)
            return
        changes = _sampling_changes(model, preset.values)
        if changes is not None:
            self._run(lambda client: client.set_values(changes), done=lambda _: state.choose_preset(name))
        else:
            self._again(model, preset=name, values={})

    def use_experts(self, count: int) -> None:
        """Let this many experts work from the next answer on, or load the model again where it must be."""
        model = self._context.state.model
        if model is not None and model.switches_experts:
            self._run(lambda client: client.set_values({"experts": count}))
        elif model is not None:
            self._again(model, preset=model.preset, values={**model.values, "experts": count})

    def use_thinking(self, on: bool) -> None:
        """Let the next answers think, or not."""
        self._run(lambda client: client.set_values({"thinking": on}))

    def start(self, model: str | None, *, preset: str | None, values: Mapping[str, SettingValue]) -> None:
        """Load what the window opens with, unless the service has something loaded already. Acts once."""
        if self._started:
            return
        self._started = True
        engine = self._context.state.engine
        if model is not None:
            self.load(str(Path(model).absolute()), preset=preset, values=values)
        elif engine is not None and engine.status == "empty":
            chosen, remembered = self._first_model()
            if chosen is not None:
                self.load(chosen, preset=preset or remembered, values=values)

    def after_restart(self) -> None:
        """The service is a new one: load again what the last one had."""
        last = self._context.settings.text("last_model")
        engine = self._context.state.engine
        if self._started and last is not None and engine is not None and engine.status == "empty":
            self.load(last, preset=self._context.settings.text("last_preset"))

    # inside

    def _first_model(self) -> tuple[str | None, str | None]:
        from app.shared.paths import guide_model

        memory = self._context.settings
        wish = memory.get("start_with", "last")
        last = memory.text("last_model")
        if wish == "nothing":
            return None, None
        if wish == "last" and last is not None and Path(last).is_file():
            return last, memory.text("last_preset")
        guide = guide_model()
        return (str(guide), None) if guide.is_file() else (None, None)

    def _again(
        self, model: LoadedModel, *, preset: str | None, values: Mapping[str, SettingValue | None]
    ) -> None:
        if model.path is not None:
            self.load(model.path, preset=preset, values=values)

    def _run(
        self,
        work: Callable[..., object],
        *,
        done: Callable[[object], None] | None = None,
    ) -> None:
        self._context.operations.run(self, work, done=done, failed=self._failed)

    def _failed(self, error: PultError) -> None:
        self.refused.emit(error.info())

    def _unless_answering(self, act: Callable[[], None], words: str) -> None:
        if not self._context.state.answering:
            act()
            return
        from app.ui.controls.notices import ask

        ask(
            self._window,
            tr("An answer is being written"),
            tr("It stops where it is; what has been written so far is kept."),
            words,
            on_yes=act,
        )

    def _remember(self, engine: EngineState) -> None:
        memory, model = self._context.settings, engine.model
        if model is None or engine.status != "ready" or model.path is None:
            return
        memory.put("last_model", model.path)
        memory.put("last_preset", model.preset)


def _sampling_changes(
    model: LoadedModel, values: Mapping[str, SettingValue]
) -> dict[str, SettingValue | None] | None:
    """What to change so that the loaded model answers as the preset says; None if that takes a reload."""
    from app.shared.settings import Stage, changed_stages, settings

    stages = changed_stages(model.values, values)
    if model.switches_experts:
        stages.pop("experts", None)
    if any(stage is not Stage.SAMPLE for stage in stages.values()):
        return None
    changes: dict[str, SettingValue | None] = {
        key: values.get(key, settings()[key].default) for key in stages
    }
    experts = values.get("experts", model.experts_trained)
    if model.switches_experts and experts != model.experts_used:
        if isinstance(experts, int) and experts > (model.experts_limit or experts):
            return None  # loading says why it cannot be
        changes["experts"] = experts
    return changes
