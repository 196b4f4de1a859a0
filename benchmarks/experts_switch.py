"""How long another number of experts per token takes without a reload, and whether its logits are a reload's.

python benchmarks/experts_switch.py MODEL.gguf [--rounds 50] [--compare 1,2,8] [--set KEY=VALUE …]

For every number k that the graph has room for, or those named: logits after the switch against those of a model
loaded with k, bit by bit. Then the time from asking for the switch to the next token's logits, less the time of a token without one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from app.cli.arguments import setting_values
from app.service.engine.base import StopFlag
from app.service.engine.llama.engine import LlamaEngine
from app.service.engine.llama.parameters import Values
from app.shared.engine import LoadedModel, LoadPlan, SettingValue

PROMPT = "The panel shows memory and speed while a model answers. "


class Bench:
    """One engine and short words for what is measured."""

    def __init__(self, path: Path, values: dict[str, SettingValue]) -> None:
        self.engine = LlamaEngine(lambda level, source, text: None)
        self.path, self.values = path, values

    def load(self, **more: SettingValue) -> LoadedModel:
        plan = LoadPlan(model_path=str(self.path), values={**self.values, **more})
        return self.engine.load(plan, progress=lambda fraction: None, stop=StopFlag())

    def switch(self, count: int) -> None:
        self.engine._use_experts(Values({"experts": count}))

    def logits(self) -> bytes:
        model, context = self.engine._ready()
        self.engine._seat.detach()
        context.clear()
        context.read(model.tokenize(PROMPT), output=True)
        found: bytes = context.logits(model.vocabulary_size).tobytes()
        return found

    def token_seconds(self, switch_to: int | None) -> float:
        model, context = self.engine._ready()
        token = model.tokenize("a")[-1:]
        began = perf_counter()
        if switch_to is not None:
            self.switch(switch_to)
        context.read(token, output=True)
        context.logits(model.vocabulary_size)
        return perf_counter() - began


def main() -> int:
    """Print the table; status 1 when a switch gave other logits than a reload."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--compare", default="", metavar="K,K", help="only these numbers against reloads")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    options = parser.parse_args()
    values = setting_values(options.settings)
    bench = Bench(options.model, {key: value for key, value in values.items() if value is not None})
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.environ["PULT_DATA"] = folder
        model = bench.load()
        first_seconds = model.load_seconds or 0.0
        bench.engine.eject()
        known_seconds = bench.load().load_seconds or 0.0
        if model.experts_switch != "live" or model.experts_limit is None:
            sys.stdout.write(f"{model.experts_switch_note}\n")
            return 1
        trained, limit = model.experts_trained or 1, model.experts_limit
        switched: dict[int, bytes] = {}
        named = [int(word) for word in options.compare.split(",") if word] or list(range(1, limit + 1))
        for count in named:
            bench.switch(count)
            switched[count] = bench.logits()
        bench.switch(trained)
        costs, plain = _costs(bench, trained, limit, options.rounds)
        differing = []
        reloads = []
        for count in named:
            bench.engine.eject()
            reloads.append(bench.load(experts=count).load_seconds or 0.0)
            if bench.logits() != switched[count]:
                differing.append(count)
    same = len({*switched.values()})
    rows = [
        ("model", f"{model.name}, {model.file_bytes or 0:,} bytes, devices {', '.join(model.devices)}"),
        ("experts", f"{model.experts}, trained with {trained}, room for {limit}"),
        ("load, never seen before", f"{first_seconds:.2f} s"),
        ("load, known", f"{known_seconds:.2f} s"),
        ("reload, median", f"{statistics.median(reloads):.2f} s"),
        ("token without a switch", f"{plain * 1e3:.2f} ms"),
        ("switch, median and longest", f"{statistics.median(costs) * 1e3:.2f} ms, {max(costs) * 1e3:.2f} ms"),
        ("numbers with logits unlike a reload's", ", ".join(map(str, differing)) or f"none of {len(named)}"),
        ("different logits among them", str(same)),
    ]
    sys.stdout.writelines(f"{name:<38} {value}\n" for name, value in rows)
    return 1 if differing else 0


def _costs(bench: Bench, trained: int, limit: int, rounds: int) -> tuple[list[float], float]:
    """Return what each switch cost beyond a token, and a token's median seconds; between two near numbers, so that
    the tokens' own work hardly differs."""
    near = trained + 1 if trained < limit else trained - 1
    costs = []
    tokens = []
    for turn in range(rounds):
        with_switch = bench.token_seconds(near if turn % 2 == 0 else trained)
        without = statistics.median(bench.token_seconds(None) for _ in range(3))
        costs.append(max(0.0, with_switch - without))
        tokens.append(without)
    return costs, statistics.median(tokens)


if __name__ == "__main__":
    raise SystemExit(main())
