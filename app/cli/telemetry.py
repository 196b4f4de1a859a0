"""`pult telemetry`: what the sampler sees, for a while."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import closing
from typing import Any

from app.cli.arguments import add_json
from app.cli.output import print_json
from app.client.launch import open_service
from app.shared.errors import BadValue
from app.shared.telemetry import TelemetrySample
from app.shared.units import memory_words


def add_parser(commands: Any) -> None:
    """Declare `pult telemetry`."""
    parser = commands.add_parser(
        "telemetry",
        help="VRAM, RAM, power, tokens/s",
        description="Print one line per sample for some seconds.",
    )
    parser.add_argument("--seconds", type=float, default=5.0, metavar="N", help="how long (default 5)")
    parser.add_argument(
        "--rate", type=float, default=None, metavar="HZ", help="samples per second, 0.2 to 10"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print samples; with `--json` one array of them."""
    if not 0 < arguments.seconds <= 86_400:
        raise BadValue("--seconds is {value}. It takes 0 to 86,400.", key="seconds", value=arguments.seconds)
    service = open_service(window=False)
    client = service.client()
    samples: list[TelemetrySample] = []
    rate_before = None
    try:
        if arguments.rate is not None:
            rate_before = client.telemetry_rate()
            client.set_telemetry_rate(arguments.rate)
        end = time.monotonic() + arguments.seconds
        stop = threading.Event()
        with closing(client.events(stop)) as events:
            for event in events:
                if event.type == "telemetry":
                    samples.append(event.sample)
                    if not arguments.json:
                        print(line(event.sample), flush=True)
                if time.monotonic() >= end:
                    break
        if samples and samples[-1].gpu_note and not arguments.json:
            print(samples[-1].gpu_note, file=sys.stderr)
    finally:
        if rate_before is not None:
            client.set_telemetry_rate(rate_before)
        client.close()
        service.close()
    if arguments.json:
        print_json(samples)
    return 0


def line(sample: TelemetrySample) -> str:
    """Return one sample as a line of text."""
    words = [time.strftime("%H:%M:%S", time.localtime(sample.at))]
    for gpu in sample.gpus:
        told = [f"GPU {gpu.index}", *(["lost"] if gpu.lost else [])]
        if gpu.memory_used_bytes is not None:
            told.append(memory_words(gpu.memory_used_bytes))
        if gpu.utilisation_percent is not None:
            told.append(f"{gpu.utilisation_percent:.0f}%")
        if gpu.power_watts is not None:
            told.append(f"{gpu.power_watts:.0f} W")
        words.append(" ".join(told))
    words.append(f"RAM {memory_words(sample.host.memory_used_bytes)}")
    words.append(f"CPU {sample.host.cpu_percent:.0f}%")
    if sample.engine.decode_tokens_per_second is not None:
        words.append(f"{sample.engine.decode_tokens_per_second:.1f} tokens/s")
    return "  ".join(words)
