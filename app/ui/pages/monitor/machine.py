"""One row a GPU, or the machine itself where there is none: what it is, its memory, its readings now."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.shared.telemetry import GpuSample, TelemetrySample
from app.shared.units import GIB
from app.ui.controls import ElidedLabel, Label, Readout, StackBar, StackPart, Surface
from app.ui.i18n import mark, memory, number, tr

ROW_HEIGHT = 58
NOTHING = "–"

# What the service says of GPUs, here so that it is translated: why there is none, and what holds one back.
GPU_NOTES = (
    mark("NVIDIA's management library for Python is not installed. GPUs are not measured."),
    mark("No NVIDIA driver is installed. Only RAM and CPU are measured."),
    mark("The NVIDIA driver is installed but not running. Only RAM and CPU are measured."),
    mark(
        "The NVIDIA driver was updated and the old one still runs; restart the computer. GPUs are not measured."
    ),
    mark("The NVIDIA driver does not let this user read its GPUs. Only RAM and CPU are measured."),
    mark("The NVIDIA driver does not answer; the log says why. Only RAM and CPU are measured."),
    mark("The NVIDIA driver works but lists no GPU. Only RAM and CPU are measured."),
)
THROTTLE_REASONS = (
    mark("power limit"),
    mark("hardware slowdown"),
    mark("sync boost"),
    mark("temperature"),
    mark("hardware temperature"),
    mark("power brake"),
    mark("display clocks"),
)


class _Reading(QWidget):
    """A caption over a value with its unit."""

    def __init__(self, caption: str, width: int, parent: QWidget) -> None:
        super().__init__(parent)
        self.caption = Label(caption, "caption", "text3")
        self.readout = Readout(caption, style="control")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.caption)
        layout.addWidget(self.readout)
        self.setMinimumWidth(width)

    def set(self, value: float | None, unit: str, *, decimals: int = 0) -> None:
        shown = NOTHING if value is None else number(value, decimals=decimals)
        self.readout.set_value(shown, "" if value is None else unit)


class MachineRow(Surface):
    """A row over bg2: name, memory in figures and as a bar, readings."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bg2", parent)
        self.setFixedHeight(ROW_HEIGHT)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(24, 0, 24, 0)
        self._layout.setSpacing(24)
        names = QVBoxLayout()
        names.setSpacing(3)
        self.kind = Label("", "caption", "text3")
        self.name = ElidedLabel("", "section")
        self.name.setFixedWidth(132)
        names.addStretch()
        names.addWidget(self.kind)
        names.addWidget(self.name)
        names.addStretch()
        self.memory = _Reading(tr("Memory"), 128, self)
        bars = QVBoxLayout()
        bars.setSpacing(6)
        self.bar = StackBar(tr("Memory"), small=True)
        self.bar.setMinimumWidth(80)
        self.legend = ElidedLabel("", "caption", "text3")
        bars.addStretch()
        bars.addWidget(self.bar)
        bars.addWidget(self.legend)
        bars.addStretch()
        self._layout.addLayout(names)
        self._layout.addWidget(self.memory, 0, Qt.AlignmentFlag.AlignVCenter)
        self._layout.addLayout(bars, 1)

    def add_reading(self, caption: str, width: int) -> _Reading:
        """Append a reading at the right."""
        reading = _Reading(caption, width, self)
        self._layout.addWidget(reading, 0, Qt.AlignmentFlag.AlignVCenter)
        return reading

    def set_memory(self, used: float | None, total: float | None, own: float | None, own_words: str) -> None:
        """Show memory: Pult's own part where it is known, the other processes', and what is free."""
        if used is None or total is None:
            self.memory.readout.set_value(NOTHING)
            self.bar.set_parts((), 1.0)
            self.legend.setText("")
            return
        self.memory.readout.set_value(
            number(used / GIB, decimals=1), tr("of {size} GiB", size=number(total / GIB, decimals=1))
        )
        parts, words = [], []
        rest = used
        if own is not None:
            own = min(own, used)
            rest = used - own
            parts.append(StackPart(label=own_words, amount=own, color="d2", text=memory(own)))
            words.append(f"{own_words} {memory(own)}")
        label = tr("other processes") if own is not None else tr("in use")
        parts.append(
            StackPart(label=label, amount=rest, color="other" if own is not None else "d2", text=memory(rest))
        )
        words.append(f"{label} {memory(rest)}")
        words.append(tr("free {size}", size=memory(total - used)))
        self.bar.set_parts(parts, total)
        self.legend.setText(" · ".join(words))


class GpuRow(MachineRow):
    """One NVIDIA GPU."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._load = self.add_reading(tr("Load"), 40)
        self._power = self.add_reading(tr("Power"), 84)
        self._heat = self.add_reading(tr("Temp"), 44)
        self._clock = self.add_reading(tr("SM clock"), 70)
        self._bus = self.add_reading(tr("Memory bus"), 62)
        self._pcie = self.add_reading(tr("PCIe"), 60)
        self._throttle = self.add_reading(tr("Throttle"), 56)

    def show_gpu(self, gpu: GpuSample) -> None:
        """Show one sample."""
        self.kind.setText(f"GPU {gpu.index}")
        name = gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
        self.name.setText(tr("{name}, lost", name=name) if gpu.lost else name)
        self.set_memory(
            gpu.memory_used_bytes, gpu.memory_total_bytes, gpu.engine_memory_bytes, tr("Pult's engine")
        )
        self._load.set(gpu.utilisation_percent, "%")
        limit = gpu.power_limit_watts
        self._power.set(gpu.power_watts, tr("of {limit} W", limit=number(round(limit))) if limit else tr("W"))
        self._heat.set(gpu.temperature_celsius, "°C")
        self._clock.set(gpu.sm_clock_mhz, tr("MHz"))
        self._bus.set(gpu.memory_utilisation_percent, "%")
        if gpu.pcie_generation is not None and gpu.pcie_width is not None:
            self._pcie.caption.setText(f"PCIe {gpu.pcie_generation} ×{gpu.pcie_width}")
        both = [v for v in (gpu.pcie_rx_bytes_per_second, gpu.pcie_tx_bytes_per_second) if v is not None]
        self._pcie.set(sum(both) / 1e9 if both else None, tr("GB/s"), decimals=1)
        reasons = ", ".join(tr(reason) for reason in gpu.throttle_reasons)
        self._throttle.readout.set_value(reasons or tr("none"), color="warn" if reasons else "text")
        self._throttle.setToolTip(reasons)


class HostRow(MachineRow):
    """The machine where there is no GPU: RAM in the bar, CPU and swap beside it, and why there is no GPU."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind.setText(tr("This machine"))
        self._cpu = self.add_reading(tr("CPU"), 48)
        self._cores = self.add_reading(tr("Cores"), 48)
        self._swap = self.add_reading(tr("Swap"), 84)
        self._engine = self.add_reading(tr("Engine, CPU"), 76)

    def show_host(self, sample: TelemetrySample) -> None:
        """Show one sample."""
        host = sample.host
        own = next((p for p in sample.processes if p.role == "engine"), None)
        self.name.setText(tr("no GPU"))
        self.name.setToolTip(tr(sample.gpu_note) if sample.gpu_note else "")
        self.set_memory(
            host.memory_used_bytes,
            host.memory_total_bytes,
            own.rss_bytes if own is not None else None,
            tr("Pult's engine"),
        )
        self._cpu.set(host.cpu_percent, "%")
        self._cores.set(host.cpu_count, "")
        self._swap.set(host.swap_used_bytes / GIB, tr("GiB"), decimals=1)
        self._engine.set(own.cpu_percent if own is not None else None, "%")


class Machine(QWidget):
    """The rows of the present machine; they follow what telemetry says is there."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._gpus: list[GpuRow] = []
        self._host: HostRow | None = None
        self.note = ElidedLabel("", "secondary", "text2")
        self._note_row = QWidget(self)
        note_layout = QHBoxLayout(self._note_row)
        note_layout.setContentsMargins(24, 5, 24, 5)
        note_layout.addWidget(self.note)
        self._layout.addWidget(self._note_row)
        self._note_row.hide()

    def wanted_height(self, *, most_rows: int) -> int:
        """Return the height of the rows, of at most so many, and of the note under them."""
        rows = min(max(len(self._gpus), 1), most_rows)
        note = self._note_row.sizeHint().height() + 1 if self.note.text() else 0
        return rows * (ROW_HEIGHT + 1) - 1 + note

    def show_sample(self, sample: TelemetrySample) -> None:
        """Show one sample; rows appear and go with the GPUs."""
        while len(self._gpus) < len(sample.gpus):
            row = GpuRow(self)
            self._layout.insertWidget(len(self._gpus), row)
            self._gpus.append(row)
        while len(self._gpus) > len(sample.gpus):
            gone = self._gpus.pop()
            self._layout.removeWidget(gone)
            gone.deleteLater()
        for row, gpu in zip(self._gpus, sample.gpus, strict=True):
            row.show_gpu(gpu)
        if not sample.gpus and self._host is None:
            self._host = HostRow(self)
            self._layout.insertWidget(0, self._host)
        if self._host is not None:
            self._host.setVisible(not sample.gpus)
            if not sample.gpus:
                self._host.show_host(sample)
        self.note.setText(tr(sample.gpu_note) if sample.gpu_note else "")
        self._note_row.setVisible(bool(sample.gpu_note))
