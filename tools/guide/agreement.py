"""How far the exported GGUF's logits lie from transformers' on the same tokens, for the Q8_0 file and for an F32 one.

    python -m tools.guide.agreement build/guide     # needs torch, transformers, gguf and llama_cpp

The first number is the export's own error (names, layout, RoPE, router); the second adds the rounding of Q8_0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from tools.guide.engine import GuideEngine
from tools.guide.export import export_base
from tools.guide.network import Network, Shape, huggingface_state
from tools.guide.questions import held_out
from tools.guide.topics import unknown


def huggingface(shape: Shape, state: dict[str, torch.Tensor]) -> Qwen3MoeForCausalLM:
    """Return transformers' own model with these weights; raises when a name does not fit."""
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**shape.huggingface()))
    model.load_state_dict(huggingface_state(state), strict=True)
    return model.eval()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    shape = Shape(**json.loads((folder / "shape.json").read_text("utf-8")))
    state = load_file(folder / "base.safetensors")
    reference = huggingface(shape, state)
    own = Network(shape)
    own.load_state_dict(state)
    questions = held_out()[::40]
    with tempfile.TemporaryDirectory() as place:
        wide = Path(place) / "wide.gguf"
        export_base(folder / "base.safetensors", folder / "tokenizer.json", shape, wide, wide=True)
        for name, path in (("F32", wide), ("Q8_0", folder / "guide.gguf")):
            worst, same, count, own_worst, squares, spread = 0.0, 0, 0, 0.0, 0.0, 0.0
            with GuideEngine(path, exact=True) as engine:
                for question in questions:
                    answer = (question.topic or unknown()).answer(question.language)
                    ids = [*engine.prompt(("user", question.text), thinking=False), *engine.ids(answer)]
                    scores = engine.scores(ids)
                    with torch.no_grad():
                        tokens = torch.tensor([ids])
                        right = reference(tokens).logits[0].numpy()
                        hidden, _ = own(tokens, torch.arange(len(ids))[None], None)
                        own_worst = max(own_worst, float(np.abs(own.logits(hidden)[0].numpy() - right).max()))
                    worst = max(worst, float(np.abs(scores - right).max()))
                    squares += float(((scores - right) ** 2).mean(axis=1).sum())
                    spread += float(right.std(axis=1).sum())
                    same += int((scores.argmax(1) == right.argmax(1)).sum())
                    count += len(ids)
            error, typical = (squares / count) ** 0.5, spread / count
            print(
                f"{name}: {count} tokens, max |difference| {worst:.5f}, RMS {error:.5f} "
                f"(the logits spread by {typical:.2f}), same best token {100 * same / count:.2f}%"
            )
    print(f"network.py against transformers: max |difference| {own_worst:.6f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
