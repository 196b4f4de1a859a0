"""What loading would take: verdict, a bar for each device with its parts, and how good past forecasts were."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.shared.errors import ErrorInfo
from app.shared.forecast import DeviceForecast, Forecast, ForecastRecord, Sentence
from app.ui.controls import ElidedLabel, Label, Legend, StackBar, StackPart, Verdict
from app.ui.i18n import error_sentence, mark, memory, ntr, number, percent, tr
from app.ui.theme.theme import theme

_WORDS = {
    "fits": ("ok", mark("Fits")),
    "tight": ("warn", mark("Tight")),
    "does_not_fit": ("err", mark("Does not fit")),
    "unknown": ("text3", mark("Not known")),
}
_PARTS = (
    ("weights_bytes", mark("Weights"), "d1"),
    ("kv_bytes", mark("KV cache"), "d2"),
    ("compute_bytes", mark("Compute"), "d3"),
    ("adapters_bytes", mark("Adapters"), "d5"),
    ("other_bytes", mark("Driver and program"), "d4"),
)
# What a sentence may name as the largest part (`app/forecast/verdict.py`), marked here for translation.
LARGEST = (mark("weights"), mark("compute buffers"), mark("adapters"), mark("driver and program"))
# Whole sentences of a forecast without values, which extraction does not find where they are made.
PLAIN = (
    mark("llama.cpp turns flash attention off for this model and these cache types."),
    mark("No settings make this model fit here. Close other programs, or choose a smaller file."),
    mark("Everything fits as it is; nothing was given up."),
)
_MOST_DOTS = 24


class ForecastView(QWidget):
    """Shows one forecast at a time; the parts keep their places while a slider moves."""

    def __init__(self) -> None:
        super().__init__()
        self.verdict = Verdict()
        self._devices = QVBoxLayout()
        self._devices.setSpacing(12)
        self.blocks: dict[str, _DeviceBlock] = {}
        self.error = _ErrorBlock()
        self.error.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self.verdict)
        column.addLayout(self._devices)
        column.addWidget(self.error)

    def show_forecast(self, told: Forecast) -> None:
        """Show the forecast."""
        kind, word = _WORDS[told.verdict]
        first, *more = [said(sentence) for sentence in told.sentences] or [""]
        lines = [tr("Laid out by llama.cpp without reading the weights.")] if told.exact else []
        badge, badge_kind = (tr("exact"), "ok") if told.exact else (tr("arithmetic"), "warn")
        self.verdict.show_verdict(
            kind,  # type: ignore[arg-type]  # text3 is the dot's colour where nothing is known
            tr(word),
            first,
            " ".join([*lines, *more]),
            badge=badge,
            badge_kind=badge_kind,  # type: ignore[arg-type]  # one of the two literals above
        )
        names = [device.name for device in told.devices]
        if names != list(self.blocks):
            self._build(told.devices)
        for device in told.devices:
            self.blocks[device.name].show_device(device)

    def show_problem(self, problem: ErrorInfo) -> None:
        """Say why there is no forecast."""
        self._build(())
        self.verdict.show_verdict("err", tr("No forecast"), error_sentence(problem))

    def show_records(self, records: Sequence[ForecastRecord]) -> None:
        """Show how far past forecasts were off: GPUs alone where there are any."""
        on_gpu = [record for record in records if record.kind == "gpu"]
        self.error.show_records((on_gpu or list(records))[-_MOST_DOTS:])

    def _build(self, devices: Sequence[DeviceForecast]) -> None:
        for block in self.blocks.values():
            self._devices.removeWidget(block)
            block.hide()
            block.deleteLater()
        self.blocks = {device.name: _DeviceBlock(device) for device in devices}
        for block in self.blocks.values():
            self._devices.addWidget(block)


class _DeviceBlock(QWidget):
    """Name and size, the bar, and its legend with what would be left."""

    def __init__(self, device: DeviceForecast) -> None:
        super().__init__()
        self.bar = StackBar(tr(device.name))
        self.legend = Legend()
        self._capacity = Label("", "control", "text2")
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(Label(tr(device.name), "section"))
        head.addWidget(ElidedLabel(device.description, "secondary", "text3"), 1)
        head.addWidget(self._capacity)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self.bar)
        column.addWidget(self.legend)

    def show_device(self, device: DeviceForecast) -> None:
        """Show this device's share."""
        parts = [
            StackPart(label=tr(label), amount=size, color=color, text=memory(size))
            for name, label, color in _PARTS
            if (size := int(getattr(device, name)))
        ]
        whole = float(device.capacity_bytes or device.total_bytes)
        if device.capacity_bytes is not None and device.free_bytes is not None:
            taken = device.capacity_bytes - device.free_bytes
            if taken > 0:
                parts.append(
                    StackPart(label=tr("Other programs"), amount=taken, color="other", text=memory(taken))
                )
            self._capacity.setText(memory(device.capacity_bytes))
        free = None
        if device.margin_bytes is not None:
            missing = device.margin_bytes < 0
            free = (tr("Missing") if missing else tr("Free"), memory(abs(device.margin_bytes)))
        self.bar.set_parts(parts, whole)
        self.legend.set_parts(parts, whole, free=free)
        lines = [f"{part.label} {part.text}" for part in parts] + ([" ".join(free)] if free else [])
        self.setAccessibleName(f"{tr(device.name)}: {', '.join(lines)}")


class _ErrorBlock(QWidget):
    """The running error: its size in words, and a dot for each load."""

    def __init__(self) -> None:
        super().__init__()
        self.words = Label("", "secondary", "text2")
        self._dots = _Dots()
        head = QHBoxLayout()
        head.addWidget(Label(tr("Forecast error"), "section"))
        head.addStretch(1)
        head.addWidget(self.words)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self._dots)

    def show_records(self, records: Sequence[ForecastRecord]) -> None:
        """Show these, oldest first; hidden while there are none."""
        errors = [record.error_percent for record in records]
        self.setVisible(bool(errors))
        if errors:
            mean = sum(abs(error) for error in errors) / len(errors)
            self.words.setText(
                ntr(
                    "{mean}% over {n} load",
                    "{mean}% over {n} loads",
                    len(errors),
                    mean=number(mean, decimals=1),
                )
            )
            self._dots.set_errors(errors)


class _Dots(QWidget):
    """A dot a load around the line of no error; the scale is the worst of them, at least half a percent."""

    def __init__(self) -> None:
        super().__init__()
        self._errors: tuple[float, ...] = ()
        self._reach = 0.5
        self.setFixedHeight(36)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(160, self.height())

    def set_errors(self, errors: Sequence[float]) -> None:
        """Show these errors in percent."""
        self._errors = tuple(errors)
        self._reach = max(0.5, *(abs(error) for error in errors))
        told = ", ".join(number(error, decimals=1) for error in errors)
        self.setAccessibleName(tr("Errors in percent, oldest first: {errors}", errors=told))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scale = 48.0
        area = QRectF(self.rect()).adjusted(3, 6, -scale, -6)
        painter.setPen(QPen(look.color("line"), 1))
        middle = area.center().y()
        painter.drawLine(QPointF(area.left(), middle), QPointF(area.right(), middle))
        painter.setFont(look.font("caption"))
        painter.setPen(look.color("text3"))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        reach = percent(self._reach / 100, decimals=1)
        for top, sign in ((0.0, "+"), (self.height() - 14.0, "−")):
            painter.drawText(QRectF(self.width() - scale, top, scale, 14), int(right), f"{sign}{reach}")
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.color("accent"))
        step = area.width() / max(1, _MOST_DOTS - 1)
        for index, error in enumerate(self._errors):
            y = middle - error / self._reach * area.height() / 2
            painter.drawEllipse(QPointF(area.left() + index * step, y), 2.0, 2.0)


def said(sentence: Sentence) -> str:
    """Return a forecast's sentence in the language in force."""
    values = {
        name: tr(value) if name in ("largest", "label", "device") and isinstance(value, str) else value
        for name, value in sentence.values.items()
    }
    return tr(sentence.template, **values)
