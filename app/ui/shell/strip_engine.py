"""Cells of the strip that act: model, preset, experts per token, thinking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from app.shared.settings import Stage
from app.ui.controls import FlatCombo, IconButton, Label, ProgressLine, Slider, StageBadge, StatusDot, Switch
from app.ui.controls.painting import Interactive, draw_box, draw_inner_ring
from app.ui.i18n import error_sentence, percent, tr
from app.ui.shell.strip_readouts import Cell
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.shared.engine import EngineState
    from app.ui.context import WindowContext
    from app.ui.shell.loading import Loading

APPLY_AFTER_MS = {False: 700, True: 150}  # experts: the person has let go of slider and buttons; by "live"


class ModelName(Interactive, QAbstractButton):
    """The model's name as a button that opens the picker; the quantisation beside it in mono."""

    def __init__(self) -> None:
        super().__init__()
        self._quantisation = ""
        self._quiet = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(24)
        themes().changed.connect(self.update)

    def show_name(self, name: str, quantisation: str = "", *, quiet: bool = False) -> None:
        """Show a name; `quiet` for words that are no model."""
        self.setText(name)
        self._quantisation, self._quiet = quantisation, quiet
        self.setAccessibleName(tr("Model: {name}", name=name))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, 24)

    def minimumSizeHint(self) -> QSize:
        return QSize(104, 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look, box = QPainter(self), theme(), QRectF(self.rect())
        if self.hover_level:
            draw_box(
                painter,
                box,
                radius=look.metric("radius.badge"),
                fill=look.color("bg3", alpha=self.hover_level),
            )
        if self.ring_shown:
            draw_inner_ring(painter, box, look.metric("radius.badge"))
        mono, strong = look.font("code"), look.font("section")
        beside = QFontMetrics(mono).horizontalAdvance(self._quantisation) + 6 if self._quantisation else 0
        room = self.width() - 4
        name_width = QFontMetrics(strong).horizontalAdvance(self.text())
        if name_width + beside > room and beside > room * 0.45:
            beside = 0
        shown = QFontMetrics(strong).elidedText(self.text(), Qt.TextElideMode.ElideRight, room - beside)
        painter.setFont(strong)
        painter.setPen(look.color("text2" if self._quiet else "text"))
        vertical = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.drawText(box.adjusted(2, 0, 0, 0), vertical, shown)
        if beside:
            painter.setFont(mono)
            painter.setPen(look.color("text3"))
            left = 2 + QFontMetrics(strong).horizontalAdvance(shown) + 6
            painter.drawText(QRectF(left, 0, beside, self.height()), vertical, self._quantisation)


class ModelCell(Cell):
    """What is loaded, with Eject and Reload; while loading how far it is, with Cancel."""

    def __init__(self, context: WindowContext, loading: Loading) -> None:
        super().__init__(tr("Model"))
        self._context = context
        self.dot = StatusDot()
        self.name = ModelName()
        self.share = Label("", "secondary", "text2")
        self.eject = IconButton("eject", tr("Eject the model"), size=24)
        self.reload = IconButton("reload", tr("Load it again"), size=24)
        self.cancel = IconButton("close", tr("Cancel loading"), size=24)
        self.bar = ProgressLine(tr("Loading"), self)
        self.line.addWidget(self.dot)
        self.line.addWidget(self.name, 1)
        self.line.addWidget(self.share)
        for button in (self.eject, self.reload, self.cancel):
            self.line.addWidget(button)
        self.line.setSpacing(5)
        self.eject.clicked.connect(loading.eject)
        self.reload.clicked.connect(loading.reload)
        self.cancel.clicked.connect(loading.cancel)
        self.bar.hide()
        context.state.engineChanged.connect(self._take)
        context.state.connectedChanged.connect(self._connected)
        self._take(context.state.engine)

    def _connected(self, _on: bool) -> None:
        self._take(self._context.state.engine)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.bar.setGeometry(12, self.height() - 9, self.width() - 24, 4)

    def _take(self, engine: EngineState | None) -> None:
        status = str(engine.status) if engine is not None and self._context.state.connected else "absent"
        model = engine.model if engine is not None else None
        loading, loaded = status == "loading", status in ("ready", "answering")
        match status:
            case "absent":
                color, words = "text3", tr("Starting…")
            case "empty":
                color, words = "text3", tr("Choose a model…")
            case "loading":
                color, words = "accent", (engine.loading if engine is not None else None) or tr("Loading…")
            case "ejecting":
                color, words = "warn", tr("Ejecting…")
            case "failed":
                color, words = "err", tr("Not loaded")
            case _:
                color, words = "ok", model.name if model is not None else ""
        self.dot.set_color(color)
        quantisation = (model.quantisation or "") if loaded and model is not None else ""
        self.name.show_name(words, quantisation, quiet=not (loaded or loading))
        self.eject.setVisible(loaded)
        self.reload.setVisible(loaded or status == "failed")
        self.cancel.setVisible(loading)
        self.bar.setVisible(loading)
        self.share.setVisible(loading)
        if loading and engine is not None:
            self.bar.set_share(engine.progress)
            self.share.setText(percent(engine.progress) if engine.progress is not None else "")
        self.name.setToolTip(self._tip(engine))

    def _tip(self, engine: EngineState | None) -> str:
        if engine is None or not self._context.state.connected:
            return tr("The service is starting")
        if engine.status == "failed" and engine.error is not None:
            return error_sentence(engine.error)
        model = engine.model
        if model is None:
            return tr("Choose a model (Ctrl L)")
        lines = [
            model.description or model.name,
            model.path or model.remote_url or "",
            ", ".join(model.devices),
            tr(model.sampling_note) if model.sampling_note else "",
        ]
        return "\n".join(line for line in lines if line)


class PresetCell(Cell):
    """The preset in force; choosing another applies it at once."""

    def __init__(self, context: WindowContext, loading: Loading) -> None:
        super().__init__(tr("Preset"))
        self._state = context.state
        self.combo = FlatCombo([], label=tr("Preset"), style="section")
        self.combo.setPlaceholderText(tr("defaults"))
        self.line.addWidget(self.combo, 1)
        self.combo.chosen.connect(loading.use_preset)
        context.state.presetsChanged.connect(self._fill)
        context.state.presetChanged.connect(self._show)
        context.state.engineChanged.connect(self._allow)
        self._fill()

    def least_width(self) -> int:
        # Short names stand whole; a long one is free text and may be cut.
        return max(super().least_width(), min(self.combo.sizeHint().width(), 124) + 24)

    def _fill(self) -> None:
        self.combo.set_options([(preset.name, preset.name) for preset in self._state.presets])
        self._show(self._state.preset or "")

    def _show(self, name: str) -> None:
        self.combo.set_current(name)
        self.combo.updateGeometry()
        self._allow()

    def _allow(self, _engine: object = None) -> None:
        engine = self._state.engine
        busy = engine is not None and engine.status in ("loading", "ejecting")
        self.combo.set_reason(
            tr("Wait until the model is loaded")
            if busy
            else None
            if self._state.presets
            else tr("There are no presets yet")
        )


class ExpertsCell(Cell):
    """Experts per token of a mixture of experts; the badge says whether a change acts with the next answer or loads
    the model again."""

    def __init__(self, context: WindowContext, loading: Loading) -> None:
        super().__init__(tr("Experts per token"))
        self._state, self._loading = context.state, loading
        self._count = 0
        self._most = 1
        self._wanted: int | None = None
        self.badge = StageBadge(Stage.LOAD)
        self.add_to_head(self.badge)
        self.value = Label("", "readout")
        self.total = Label("", "secondary", "text3")
        self.slider = Slider(label=tr("Experts per token"), low=1, high=2)
        self.less = IconButton("minus", tr("One expert less"), size=22, icon_size=12, boxed=True)
        self.more = IconButton("plus", tr("One expert more"), size=22, icon_size=12, boxed=True)
        self.line.addWidget(self.value)
        self.line.addWidget(self.total)
        self.line.addWidget(self.slider, 1)
        self.line.addWidget(self.less)
        self.line.addWidget(self.more)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._apply)
        self.slider.numberEdited.connect(lambda number: self._want(int(number)))
        self.less.clicked.connect(lambda: self._want((self._wanted or self._count) - 1))
        self.more.clicked.connect(lambda: self._want((self._wanted or self._count) + 1))
        context.state.engineChanged.connect(self._take)
        self.hide()
        self._take(context.state.engine)

    def save_room(self, saving: bool) -> None:
        self.badge.set_short(saving)

    def _take(self, engine: EngineState | None) -> None:
        model = engine.model if engine is not None else None
        if engine is not None and engine.status == "loading":
            for control in (self.slider, self.less, self.more):
                control.set_reason(tr("Wait until the model is loaded"))
            return
        if model is None or not model.experts or model.experts_used is None:
            self._wanted = None
            self.setVisible(False)
            return
        self.setVisible(True)
        answering = engine is not None and engine.status == "answering"
        reason = None
        if model.path is None:
            reason = tr("The remote server decides how many experts work")
        elif answering and not model.switches_experts:
            reason = tr("An answer is being written; stop it to change the experts")
        for control in (self.slider, self.less, self.more):
            control.set_reason(reason)
        self._count = model.experts_used
        self._most = min(model.experts, model.experts_limit or model.experts)
        self._timer.setInterval(APPLY_AFTER_MS[model.switches_experts])
        self.badge.set_stage(Stage.SAMPLE if model.switches_experts else Stage.LOAD)
        self.slider.set_scale(1, self._most)
        self.slider.set_tick(model.experts_trained)
        self.total.setText(tr("of {count}", count=model.experts))
        self.value.setToolTip(
            tr(model.experts_switch_note)
            if model.experts_switch_note
            else tr("Acts with the next answer. Text that was read before keeps what it was read with.")
            if model.switches_experts
            else tr("The model is loaded again for another number.")
        )
        room = tr("llama.cpp's graph of this model has room for {count}", count=self._most)
        self.total.setToolTip(room if self._most < model.experts else "")
        if self._wanted is None or not self._timer.isActive():
            self._wanted = None
            self._show(self._count)

    def _want(self, count: int) -> None:
        model = self._state.model
        if model is None or not model.experts:
            return
        self._wanted = min(max(count, 1), self._most)
        self._show(self._wanted)
        self._timer.start()

    def _show(self, count: int) -> None:
        changed = count != self._count
        self.value.setText(str(count))
        self.value.set_color("accent" if changed else "text")
        self.slider.set_number(count)
        self.badge.set_changed(changed)

    def _apply(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and wanted != self._count:
            self._loading.use_experts(wanted)
        else:
            self._show(self._count)


class ThinkingCell(Cell):
    """Whether the next answers think first."""

    def __init__(self, context: WindowContext, loading: Loading) -> None:
        super().__init__(tr("Thinking"))
        self._state = context.state
        self.switch = Switch(tr("Thinking"))
        self.word = Label("", "control")
        self.line.addWidget(self.switch)
        self.line.addWidget(self.word, 1)
        self.switch.clicked.connect(lambda on: loading.use_thinking(on))
        context.state.engineChanged.connect(self._take)
        self._take(context.state.engine)

    def _take(self, engine: EngineState | None) -> None:
        from app.shared.settings import settings

        model = engine.model if engine is not None else None
        reason: str | None = None
        if model is None:
            reason = tr("No model is loaded")
        elif not model.can_think:
            reason = tr("This model's template knows no thinking")
        default = settings()["thinking"].default
        chosen = model.values.get("thinking", default) if model is not None else default
        on = reason is None and chosen is not False
        self.switch.setChecked(on)
        self.switch.set_reason(reason)
        self.word.setText(tr("On") if on else tr("Off"))
        self.word.set_color("text" if reason is None else "text3")
