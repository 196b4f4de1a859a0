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


class TelemetryHistory(BaseModel):
    """Samples of a stretch of time as columns, thinned: each bucket keeps its smallest and largest value, in their order.

    `at` rises; every column is as long as `at`; None where nothing was said. Column names are those of `sample_columns`.
    """

    model_config = ConfigDict(frozen=True)

    since: float
    until: float
    interval_seconds: float  # the sampler's own interval: longer steps than 2.5 of a bucket are gaps
    at: tuple[float, ...] = ()
    columns: dict[str, tuple[float | None, ...]] = {}


def sample_columns(sample: TelemetrySample) -> dict[str, float]:
    """Return a sample's numbers by column name; what the machine did not say is absent.

    Names: `decode`, `prefill` (tokens/s; 0 while a model is loaded and idle), `context_used`, `context_size` (tokens);
    of each GPU `gpu0.memory`, `gpu0.memory_total`, `gpu0.engine_memory` (bytes), `gpu0.load`, `gpu0.memory_load` (percent),
    `gpu0.power`, `gpu0.power_limit` (watts), `gpu0.temperature` (°C), `gpu0.sm_clock`, `gpu0.memory_clock` (MHz),
    `gpu0.pcie_rx`, `gpu0.pcie_tx` (bytes/s); `ram`, `ram_total`, `swap` (bytes), `cpu` (percent); `engine.rss`,
    `service.rss`, `window.rss` (bytes).
    """
    idle = 0.0 if sample.engine.model is not None else None  # nothing loaded is a gap, nothing to do is not
    decode, prefill = sample.engine.decode_tokens_per_second, sample.engine.prefill_tokens_per_second
    numbers: dict[str, float | None] = {
        "decode": decode if decode is not None else idle,
        "prefill": prefill if prefill is not None else idle,
        "context_used": sample.engine.context_used_tokens,
        "context_size": sample.engine.context_size_tokens,
        "ram": sample.host.memory_used_bytes,
        "ram_total": sample.host.memory_total_bytes,
        "swap": sample.host.swap_used_bytes,
        "cpu": sample.host.cpu_percent,
    }
    for gpu in sample.gpus:
        name = f"gpu{gpu.index}."
        numbers[name + "memory"] = gpu.memory_used_bytes
        numbers[name + "memory_total"] = gpu.memory_total_bytes
        numbers[name + "engine_memory"] = gpu.engine_memory_bytes
        numbers[name + "load"] = gpu.utilisation_percent
        numbers[name + "memory_load"] = gpu.memory_utilisation_percent
        numbers[name + "power"] = gpu.power_watts
        numbers[name + "power_limit"] = gpu.power_limit_watts
        numbers[name + "temperature"] = gpu.temperature_celsius
        numbers[name + "sm_clock"] = gpu.sm_clock_mhz
        numbers[name + "memory_clock"] = gpu.memory_clock_mhz
        numbers[name + "pcie_rx"] = gpu.pcie_rx_bytes_per_second
        numbers[name + "pcie_tx"] = gpu.pcie_tx_bytes_per_second
    for process in sample.processes:
        name = process.role + ".rss"
        numbers[name] = (numbers.get(name) or 0.0) + process.rss_bytes
    return {name: float(value) for name, value in numbers.items() if value is not None}
