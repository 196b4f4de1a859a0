"""`pult forecast`: what a model would take of memory with these settings, and settings that fit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

from app.cli.arguments import add_json, setting_values
from app.cli.output import print_json, print_table
from app.client.launch import open_service
from app.client.service_client import ServiceClient
from app.shared.forecast import DeviceForecast, FitAnswer, Forecast, Keep
from app.shared.units import memory_words

_KEEPS = {"keep-context": "context", "keep-speed": "speed", "keep-kv-precision": "kv_precision"}
_VERDICTS = {"fits": "fits", "tight": "tight", "does_not_fit": "does not fit", "unknown": "not known"}


def add_parser(commands: Any) -> None:
    """Declare `pult forecast`."""
    parser = commands.add_parser(
        "forecast",
        help="what a model would take of memory, and settings that fit",
        description="Lays the model out without reading its weights and holds that against what is free. "
        "The status is 0 when it fits, 1 when it does not.",
    )
    parser.add_argument(
        "--model",
        metavar="F",
        help="a GGUF file, or the name of a known model; default: what is loaded, else the guide",
    )
    parser.add_argument("--preset", metavar="P", help="a preset's name (pult presets list)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting over the preset's, such as context=8192; may be repeated",
    )
    parser.add_argument(
        "--fit",
        choices=sorted(_KEEPS),
        help="find the nearest settings that fit; what is named is given up last",
    )
    parser.add_argument(
        "--margin", type=int, metavar="MiB", help="with --fit: leave this much free on every device"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the forecast, or the settings that fit."""
    values = setting_values(arguments.settings)
    model = arguments.model
    if model is not None and Path(model).expanduser().is_file():
        model = str(Path(model).expanduser().absolute())
    service = open_service()
    client = service.client()
    try:
        if arguments.fit is not None:
            return _fit(client, model, arguments, dict(values))
        told = client.forecast(model, preset=arguments.preset, values=values)
    finally:
        client.close()
        service.close()
    if arguments.json:
        print_json(told)
    else:
        _print_forecast(told)
    return 1 if told.verdict == "does_not_fit" else 0


def _fit(client: ServiceClient, model: str | None, arguments: argparse.Namespace, values: Any) -> int:
    answer = client.fit(
        model,
        preset=arguments.preset,
        values=values,
        keep=cast(Keep, _KEEPS[arguments.fit]),
        margin_bytes=None if arguments.margin is None else arguments.margin * 1024**2,
    )
    if arguments.json:
        print_json(answer)
    else:
        _print_fit(answer)
    return 0 if answer.found else 1


def _print_fit(answer: FitAnswer) -> None:
    for told in answer.gave_up:
        print(told.text)
    for key, value in answer.changed.items():
        print(f"  {key} = {value}")
    print()
    _print_forecast(answer.forecast)


def _print_forecast(told: Forecast) -> None:
    print(f"{_VERDICTS[told.verdict]} ({'llama.cpp dry run' if told.exact else 'arithmetic'})")
    heads = ("", "weights", "KV cache", "compute", "other", "total", "free", "")
    print_table([heads, *(_row(device) for device in told.devices)])
    for line in told.sentences:
        print(line.text)
    for error in told.error.devices if told.error is not None else ():
        print(
            f"{error.device}: the last {error.count} forecasts were off by {error.mean_percent:.1f}% on average,"
            f" {abs(error.worst_percent):.1f}% at worst."
        )


def _row(device: DeviceForecast) -> tuple[str, ...]:
    free = "not known" if device.free_bytes is None else memory_words(device.free_bytes)
    parts = (
        device.weights_bytes,
        device.kv_bytes,
        device.compute_bytes,
        device.other_bytes + device.adapters_bytes,
    )
    words = f"{device.name} {device.description}".strip()
    return (
        words,
        *(memory_words(part) for part in (*parts, device.total_bytes)),
        free,
        _VERDICTS[device.verdict],
    )
