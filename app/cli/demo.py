"""The main job without a screen: load, answer, tokens/s, memory used."""

from __future__ import annotations

import sys
import time

import psutil

from app.cli.chat import answer, default_model, print_facts
from app.client.launch import start_service
from app.shared.units import file_size_words, memory_words

QUESTION = "What is a KV cache?"


def run_demo(model: str | None, *, engine: str = "llama") -> int:
    """Load `model` or the guide, ask one question, and say what it took. Raises what the service says."""
    chosen = model or default_model()
    service = start_service(engine=engine)
    client = service.client()
    try:
        started = time.monotonic()
        loaded = client.load(chosen, wait=True).model
        seconds = time.monotonic() - started
        if loaded is not None:
            size = file_size_words(loaded.file_bytes) if loaded.file_bytes else "size unknown"
            devices = ", ".join(loaded.devices) or "CPU"
            print(f"Loaded {loaded.name} ({loaded.architecture}, {size}) in {seconds:.1f} s on {devices}.")
        print(f"\n> {QUESTION}\n", flush=True)
        result = answer(service, QUESTION, max_tokens=200, show=True)
        sys.stdout.flush()
        print_facts(result)
        state = client.state()
        worker = state.engine.worker_pid
        if worker is not None:
            print(f"Engine process: {memory_words(psutil.Process(worker).memory_info().rss)} of RAM.")
        for gpu in state.telemetry.gpus if state.telemetry is not None else ():
            if gpu.memory_used_bytes is not None and gpu.memory_total_bytes is not None:
                used, total = memory_words(gpu.memory_used_bytes), memory_words(gpu.memory_total_bytes)
                print(f"GPU {gpu.index} {gpu.name}: {used} of {total} in use.")
        if state.telemetry is not None and state.telemetry.gpu_note:
            print(state.telemetry.gpu_note)
        return 0
    finally:
        client.close()
        service.close()
