"""What the telemetry sampler sees in one tick; None wherever the machine did not say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class GpuSample(BaseModel):
    """One GPU at one moment, as NVML reports it."""

    model_config = ConfigDict(frozen=True)

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    engine_memory_bytes: int | None = (
        None  # of Pult's own engine process; None where the driver will not say (WDDM)
    )
    utilisation_percent: float | None = None
    memory_utilisation_percent: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    pcie_rx_bytes_per_second: float | None = None
    pcie_tx_bytes_per_second: float | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    throttle_reasons: tuple[str, ...] = ()
    lost: bool = False  # it answered before and does not now


class HostSample(BaseModel):
    """RAM, swap and CPU of the whole machine."""

    model_config = ConfigDict(frozen=True)

    memory_total_bytes: int
    memory_used_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    cpu_percent: float
    cpu_count: int


class ProcessSample(BaseModel):
    """One of Pult's own processes."""

    model_config = ConfigDict(frozen=True)

    role: str  # "service", "engine", "window"
    pid: int
    rss_bytes: int
    cpu_percent: float


class EngineSample(BaseModel):
    """What the engine is doing now; speeds are over the last tick, None when idle."""

    model_config = ConfigDict(frozen=True)

    model: str | None = None
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    context_used_tokens: int | None = None
    context_size_tokens: int | None = None


class TelemetrySample(BaseModel):
    """One tick of everything. `at` is Unix time in seconds."""

    model_config = ConfigDict(frozen=True)

    at: float
    gpus: tuple[GpuSample, ...] = ()
    gpu_note: str | None = None  # why there is no GPU row, as a sentence; None when there are rows
    host: HostSample
    processes: tuple[ProcessSample, ...] = ()
    engine: EngineSample = EngineSample()


class Marker(BaseModel):
    """Something that happened, drawn as a dashed line through all charts."""

    model_config = ConfigDict(frozen=True)

    at: float
    kind: str  # "load", "eject", "stop", "error", "experts", "preset"
    label: str
