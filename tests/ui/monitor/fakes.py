"""A machine with an invented past, and a client that tells of it, for the Monitor page's tests and pictures."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import QObject

from app.service.telemetry.ring import Ring, thinned
from app.shared.chats import AnswerFacts, Message
from app.shared.engine import Timings
from app.shared.errors import PultError
from app.shared.telemetry import (
    EngineSample,
    GpuSample,
    HostSample,
    Marker,
    ProcessSample,
    TelemetryHistory,
    TelemetrySample,
    sample_columns,
)
from app.ui.bridge import Bridge
from app.ui.context import WindowContext
from app.ui.operations import Operations
from app.ui.state import AppState
from app.ui.window_memory import WindowMemory

GIB = 1 << 30
NOW = 1_790_000_000.0
# seconds before now: begin and end of each answer, and its speed
ANSWERS = ((500, 480, 171.0), (430, 415, 172.0), (318, 296, 191.3), (178, 160, 129.2), (110, 102, 128.6))
LOADED_BEFORE = 536.0


def sample(at: float, *, gpus: int = 1, note: str | None = None) -> TelemetrySample:
    """Return the invented machine at a moment."""
    ago = NOW - at
    wave = math.sin(at * 1.7) * 0.6 + math.sin(at * 5.3) * 0.4
    loaded = ago < LOADED_BEFORE
    speed = next((s + 2 * wave for begin, end, s in ANSWERS if end <= ago < begin), None)
    context = sum((min(begin - ago, begin - end)) * s / 4 + 400 for begin, end, s in ANSWERS if ago < begin)
    busy = speed is not None
    rows = tuple(
        GpuSample(
            index=index,
            uuid=f"GPU-{index}",
            name="NVIDIA RTX PRO 6000",
            memory_total_bytes=round(95.6 * GIB),
            memory_used_bytes=round((45.3 if loaded else 23.4) * GIB),
            engine_memory_bytes=round(21.9 * GIB) if loaded else None,
            utilisation_percent=94 + 2 * wave if busy else 3 + wave,
            memory_utilisation_percent=71.0 if busy else 1.0,
            power_watts=345 + 12 * wave if busy else 31 + wave,
            power_limit_watts=600.0,
            temperature_celsius=61.0 if busy else 40.0,
            sm_clock_mhz=2610.0,
            memory_clock_mhz=1593.0,
            pcie_rx_bytes_per_second=1e8,
            pcie_tx_bytes_per_second=2e7,
            pcie_generation=5,
            pcie_width=16,
            throttle_reasons=("power limit",) if index == 1 else (),
        )
        for index in range(gpus)
    )
    return TelemetrySample(
        at=at,
        gpus=rows,
        gpu_note=note
        if note is not None or gpus
        else "No NVIDIA driver is installed. Only RAM and CPU are measured.",
        host=HostSample(
            memory_total_bytes=128 * GIB,
            memory_used_bytes=round((23.6 if loaded else 22.8) * GIB),
            memory_available_bytes=104 * GIB,
            swap_total_bytes=8 * GIB,
            swap_used_bytes=0,
            cpu_percent=14 + 3 * wave,
            cpu_count=16,
        ),
        processes=(
            ProcessSample(role="service", pid=1, rss_bytes=96 << 20, cpu_percent=1.0),
            ProcessSample(role="window", pid=2, rss_bytes=190 << 20, cpu_percent=2.0),
            *((ProcessSample(role="engine", pid=3, rss_bytes=1 << 30, cpu_percent=99.0),) if loaded else ()),
        ),
        engine=EngineSample(
            model="Qwen3-30B-A3B" if loaded else None,
            decode_tokens_per_second=speed,
            context_used_tokens=round(context) if loaded else None,
            context_size_tokens=32_768 if loaded else None,
        ),
    )


def answer(number: int, *, state: str = "done") -> Message:
    """Return the finished answer of that number in `ANSWERS`."""
    begin, end, speed = ANSWERS[number]
    tokens = round((begin - end) * speed)
    return Message.model_validate(
        {
            "id": f"m{number}",
            "chat_id": "c",
            "role": "assistant",
            "created_at": NOW - begin,
            "state": state,
            "facts": AnswerFacts(
                model="Qwen3-30B-A3B",
                preset="dialog",
                experts_used=4 if number == 2 else 8,
                timings=Timings(
                    prompt_tokens=8608,
                    cached_tokens=4096,
                    prefill_tokens=4512,
                    completion_tokens=tokens,
                    prefill_seconds=0.77,
                    decode_seconds=float(begin - end),
                    first_token_seconds=0.21,
                ),
                finish_reason="stop",
                energy_joules=2.7 * tokens,
                peak_vram_bytes=round(45.3 * GIB),
            ),
        }
    )


MARKERS = (
    Marker(at=NOW - LOADED_BEFORE, kind="load", label="Qwen3-30B-A3B"),
    Marker(at=NOW - 330, kind="experts", label="4"),
    Marker(at=NOW - 245, kind="experts", label="8"),
    Marker(at=NOW - 160, kind="stop", label=""),
    Marker(at=NOW - 60, kind="error", label="The engine ended."),
)


class FakeClient:
    """Tells of the invented machine; notes what was asked."""

    def __init__(self, *, gpus: int = 1, seconds: float = 600.0) -> None:
        self.ring = Ring(keep_seconds=1e9)
        self.calls: list[tuple[str, Any]] = []
        self.refuse: PultError | None = None
        self.finished = [answer(number) for number in range(len(ANSWERS))]
        for step in range(int(seconds * 2)):
            at = NOW - seconds + step * 0.5
            self.ring.append(at, sample_columns(sample(at, gpus=gpus)))

    def telemetry(self, since: float, until: float, *, points: int = 1500) -> TelemetryHistory:
        self.calls.append(("telemetry", (since, until, points)))
        rows = thinned(self.ring.between(since, until), points=points)
        columns = {
            name: tuple(None if value != value else value for value in values.tolist())
            for name, values in rows.columns.items()
        }
        return TelemetryHistory(
            since=since, until=until, interval_seconds=0.5, at=tuple(rows.at.tolist()), columns=columns
        )

    def telemetry_csv(self, since: float, until: float) -> str:
        self.calls.append(("csv", (since, until)))
        if self.refuse is not None:
            raise self.refuse
        return "time,decode\n1,2\n"

    def markers(self, since: float, until: float) -> tuple[Marker, ...]:
        return MARKERS

    def answers(self, *, since: float | None = None, limit: int = 500) -> tuple[Message, ...]:
        return tuple(self.finished)

    def preferences(self) -> dict[str, Any]:
        return {"telemetry_hertz": 5.0}

    def set_telemetry_rate(self, hertz: float) -> None:
        self.calls.append(("rate", hertz))

    def presets(self) -> tuple[Any, ...]:
        return ()

    def models(self) -> tuple[Any, ...]:
        return ()

    def asked(self, name: str) -> list[Any]:
        return [told for each, told in self.calls if each == name]


class Window:
    """What a page needs of the window around it."""

    def __init__(self, client: FakeClient) -> None:
        self.owner = QObject()
        self.toasts: list[str] = []
        self.bridge = Bridge(self.owner)
        self.operations = Operations(lambda: client, parent=self.owner)  # type: ignore[arg-type, return-value]  # a stand-in
        self.state = AppState(self.bridge, self.operations, self.owner)
        self.memory = WindowMemory()
        self.context = WindowContext(
            client=client,  # type: ignore[arg-type]  # a stand-in
            state=self.state,
            bridge=self.bridge,
            operations=self.operations,
            navigate=lambda page: None,
            toast=lambda text, **more: self.toasts.append(text),
            settings=self.memory,
        )

    def close(self) -> None:
        self.operations.close()
        self.bridge.stop()
