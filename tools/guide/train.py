"""Make the guide from nothing: vocabulary, base, adapters, GGUF files, evaluation. One command, seeded, with progress.

    python -m tools.guide.train --out build/guide            # everything, then copy the files to resources/guide
    python -m tools.guide.train --out build/guide --steps 40 # a dry run
    python -m tools.guide.train --out build/refined --refine build/guide --steps 300 --batch 8 --rate 5e-4 --no-marks --no-export

Weights are kept as safetensors beside `shape.json` and `tokenizer.json`; `--export-only` writes GGUF from them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.func import functional_call

from tools.guide.adapters import NAMES, STACKS, Adapters
from tools.guide.conversations import BASE, Manner, Writer
from tools.guide.network import Network, Shape, run_layer, same_conversation
from tools.guide.questions import held_out
from tools.guide.speak import Marked, mark, table
from tools.guide.vocabulary import load_vocabulary, train_vocabulary

LENGTH = 512
LONG_EVERY = 12  # every twelfth step trains whole long conversations, to the end of the context
Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> int:
    """Run the command line."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    began = time.monotonic()
    if not options.export_only:
        if options.refine is None:
            tokenizer = train_vocabulary(seed=options.seed)
        else:
            tokenizer = load_vocabulary(options.refine / "tokenizer.json")
        tokenizer.save(str(options.out / "tokenizer.json"))
        shape = Shape(vocabulary=tokenizer.get_vocab_size())
        (options.out / "shape.json").write_text(json.dumps(shape.as_dict(), indent=1))
        network = Network(shape).to(device)
        count = sum(weight.numel() for weight in network.parameters())
        print(f"{count / 1e6:.2f} M parameters, {shape.vocabulary} tokens, on {device}", flush=True)
        if options.refine is not None:
            network.load_state_dict(load_file(options.refine / "base.safetensors"))
        if options.base is None:
            _train_base(network, options, device)
            save_file(
                {k: v.cpu().contiguous() for k, v in network.state_dict().items()},
                options.out / "base.safetensors",
            )
        else:
            network.load_state_dict(load_file(options.base))
        print(f"base ready after {time.monotonic() - began:.0f} s", flush=True)
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        _report(network, weights, tokenizer, options, "base")
        if options.adapter_steps:
            adapters = _train_adapters(network, weights, options, device)
            for name in NAMES:
                factors = {key: value.cpu().contiguous() for key, value in adapters.one(name).items()}
                save_file(factors, options.out / f"{name}.safetensors")
            print(f"adapters ready after {time.monotonic() - began:.0f} s", flush=True)
            for stack in STACKS:
                with torch.no_grad():
                    worn = adapters.worn(weights, stack.names)
                _report(network, worn, tokenizer, options, "+".join(stack.names), stack.manner)
    if options.export_only or not options.no_export:
        from tools.guide.export import export_all  # gguf is not needed where only the training runs

        export_all(options.out)
        if find_spec("llama_cpp") is None:
            print("llama_cpp is not installed here: evaluate with python -m tools.guide.evaluate")
        else:
            from tools.guide.evaluate import main as evaluate

            evaluate([str(options.out), "--sample", "300"])
    print(f"done after {time.monotonic() - began:.0f} s", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/guide"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--adapter-steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=64, help=f"rows of {LENGTH} tokens per step")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that write conversations")
    parser.add_argument(
        "--base", type=Path, default=None, help="trained base weights to keep; only adapters are trained"
    )
    parser.add_argument(
        "--refine", type=Path, default=None, help="go on from this folder's vocabulary, base and adapters"
    )
    parser.add_argument(
        "--no-marks", action="store_true", help="ask no held-out questions while training: slow on a CPU"
    )
    parser.add_argument("--no-export", action="store_true")
    parser.add_argument("--export-only", action="store_true")
    parser.add_argument(
        "--quick-report", action="store_true", help="mark a tenth of the held-out questions for the base too"
    )
    return parser.parse_args()


def _train_base(network: Network, options: argparse.Namespace, device: torch.device) -> None:
    decay = [weight for weight in network.parameters() if weight.dim() > 1]
    still = [weight for weight in network.parameters() if weight.dim() == 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": still, "weight_decay": 0.0}]
    fused = device.type == "cuda"
    optimiser = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98), fused=fused)
    if device.type == "cuda":
        network.run = torch.compile(run_layer, dynamic=False)
    plan = [BASE] * options.steps
    began = time.monotonic()
    for step, batch in enumerate(_batches(options, plan)):
        _set_rate(optimiser, options.rate, step, options.steps)
        ids, positions, conversation, learn = _on(device, batch)
        with torch.autocast(device.type, torch.bfloat16):
            hidden, balance = network(ids, positions, same_conversation(conversation))
            loss = _loss(network.logits(hidden[:, :-1][learn]), ids[:, 1:][learn])
            whole = loss + 0.01 * balance
        optimiser.zero_grad(set_to_none=True)
        whole.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0 or step == options.steps - 1:
            pace = (time.monotonic() - began) / (step + 1)
            print(
                f"base {step}/{options.steps} loss {loss.item():.4f} balance {balance.item():.3f} {pace:.3f} s/step",
                flush=True,
            )
    network.run = run_layer


def _train_adapters(
    network: Network, weights: Mapping[str, Tensor], options: argparse.Namespace, device: torch.device
) -> Adapters:
    adapters = Adapters(dict(weights)).to(device)
    if options.refine is not None:
        for name in NAMES:
            adapters.put(name, load_file(options.refine / f"{name}.safetensors"))
    optimiser = torch.optim.AdamW(
        adapters.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rng = random.Random(options.seed)
    stacks = rng.choices(STACKS, [stack.share for stack in STACKS], k=options.adapter_steps)
    for step, batch in enumerate(_batches(options, [((1.0, stack.manner),) for stack in stacks])):
        _set_rate(optimiser, options.rate, step, options.adapter_steps)
        ids, positions, conversation, learn = _on(device, batch)
        with torch.autocast(device.type, torch.bfloat16):
            worn = adapters.worn(dict(weights), stacks[step].names)
            hidden, _ = functional_call(network, worn, (ids, positions, same_conversation(conversation)))
            loss = _loss(network.logits(hidden[:, :-1][learn]), ids[:, 1:][learn])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapters.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0 or step == options.adapter_steps - 1:
            print(
                f"adapters {step}/{options.adapter_steps} {'+'.join(stacks[step].names)} loss {loss.item():.4f}",
                flush=True,
            )
    return adapters


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), wanted)


def _set_rate(optimiser: torch.optim.Optimizer, peak: float, step: int, steps: int) -> None:
    """Warm up over a twentieth, then a cosine down to a fiftieth of the peak."""
    warm = max(1, steps // 20)
    part = (
        (step + 1) / warm
        if step < warm
        else 0.02 + 0.49 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    )
    for group in optimiser.param_groups:
        group["lr"] = peak * min(1.0, part)


def _on(device: torch.device, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ids, positions, conversation, learn = (torch.from_numpy(part) for part in batch)
    moved = [part.to(device, non_blocking=True) for part in (ids, positions, conversation, learn)]
    return moved[0].long(), moved[1].long(), moved[2], moved[3][:, 1:]


def _batches(options: argparse.Namespace, plan: Sequence[Sequence[tuple[float, Manner]]]) -> Iterator[Batch]:
    """Yield a batch per entry of `plan`; each depends only on the seed and its number, however many processes write."""
    jobs = [
        (
            str(options.out / "tokenizer.json"),
            options.seed * 1_000_003 + step,
            manners,
            options.batch,
            step % LONG_EVERY == LONG_EVERY - 1,
            options.refine is not None,
        )
        for step, manners in enumerate(plan)
    ]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        waiting: list[Future[Batch]] = []
        ahead = 4 * options.workers
        for place in range(len(jobs) + ahead):
            if place < len(jobs):
                waiting.append(pool.submit(_write, *jobs[place]))
            if place >= ahead and waiting:
                yield waiting.pop(0).result()
        for left in waiting:
            yield left.result()


_vocabularies: dict[str, Tokenizer] = {}


def _write(
    tokenizer: str,
    seed: int,
    manners: Sequence[tuple[float, Manner]],
    batch: int,
    long: bool,
    refining: bool,
) -> Batch:
    if tokenizer not in _vocabularies:
        _vocabularies[tokenizer] = load_vocabulary(Path(tokenizer))
    openings, freely = (0.6, 0.5) if refining else (0.0, 0.15)
    writer = Writer(_vocabularies[tokenizer], random.Random(seed), manners, openings=openings, freely=freely)
    context = Shape().context
    return writer.rows(max(1, batch * LENGTH // context), context) if long else writer.rows(batch, LENGTH)


def _report(
    network: Network,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    options: argparse.Namespace,
    name: str,
    manner: Manner | None = None,
) -> None:
    if options.no_marks:
        return
    manner = manner or Manner()
    questions = held_out()
    if options.quick_report or name != "base":
        questions = questions[::10]
    for thinking in (False, True):
        marked = mark(
            network,
            weights,
            tokenizer,
            questions,
            thinking=thinking,
            style=manner.style,
            russian=manner.russian,
        )
        print(f"{name} thinking={thinking}: {table(marked)}", flush=True)
        _save_wrong(options.out / f"wrong-{name}-{'think' if thinking else 'plain'}.txt", marked)


def _save_wrong(path: Path, marked: Sequence[Marked]) -> None:
    lines = [
        f"{one.question.kind} {one.question.topic.name if one.question.topic else '-'} | {one.question.text} | {one.text[:90]}"
        for one in marked
        if not one.right
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
