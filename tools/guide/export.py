"""Write the guide and its adapters as GGUF, with the `gguf` package: names as llama.cpp's, matrices in Q8_0."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from tools.guide.adapters import ALPHA, NAMES
from tools.guide.network import Shape
from tools.guide.vocabulary import CONTROL, TEMPLATE, WRITTEN

ARCHITECTURE = "qwen3moe"
PARTS = {
    "attention_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "experts_norm": "ffn_norm",
    "router": "ffn_gate_inp",
    "gate": "ffn_gate_exps",
    "up": "ffn_up_exps",
    "down": "ffn_down_exps",
}
Array = npt.NDArray[np.float32]


def export_all(folder: Path) -> None:
    """Write guide.gguf and one GGUF per trained adapter from the safetensors in `folder`."""
    shape = Shape(**json.loads((folder / "shape.json").read_text("utf-8")))
    size = export_base(folder / "base.safetensors", folder / "tokenizer.json", shape, folder / "guide.gguf")
    print(f"guide.gguf {size / 1e6:.2f} MB")
    for name in NAMES:
        weights = folder / f"{name}.safetensors"
        if weights.is_file():
            print(f"{name}.gguf {export_adapter(weights, name, folder / f'{name}.gguf') / 1e6:.2f} MB")


def export_base(weights: Path, tokenizer: Path, shape: Shape, path: Path, *, wide: bool = False) -> int:
    """Write the model and return the file's bytes. `wide` keeps F32 everywhere, to compare logits without rounding."""
    head = gguf.GGUFWriter(str(path), ARCHITECTURE)
    head.add_name("Pult Guide")
    head.add_description(
        "A small Qwen3-MoE trained on Pult's own subject; it answers questions about the panel and its terms."
    )
    head.add_author("Pult")
    head.add_languages(["en", "ru"])
    head.add_size_label("16x0.5M")
    head.add_block_count(shape.layers)
    head.add_context_length(shape.context)
    head.add_embedding_length(shape.width)
    head.add_feed_forward_length(shape.expert_width * shape.used)
    head.add_head_count(shape.heads)
    head.add_head_count_kv(shape.kv_heads)
    head.add_key_length(shape.head_width)
    head.add_value_length(shape.head_width)
    head.add_rope_freq_base(shape.rope_base)
    head.add_layer_norm_rms_eps(shape.epsilon)
    head.add_expert_count(shape.experts)
    head.add_expert_used_count(shape.used)
    head.add_expert_feed_forward_length(shape.expert_width)
    head.add_file_type(int(gguf.LlamaFileType.ALL_F32 if wide else gguf.LlamaFileType.MOSTLY_Q8_0))
    head.add_quantization_version(gguf.GGML_QUANT_VERSION)
    head.add_chat_template(TEMPLATE)
    _add_vocabulary(head, tokenizer)
    tensors: dict[str, Array] = load_file(str(weights))
    for name, tensor in tensors.items():
        target = "token_embd.weight" if name == "embedding" else "output_norm.weight"
        if name.startswith("layers."):
            _, number, part = name.split(".")
            target = f"blk.{number}.{PARTS[part]}.weight"
        small = tensor.ndim == 1 or target.endswith("ffn_gate_inp.weight")
        _add(head, target, tensor, wide=wide or small)
    return _finish(head, path)


def export_adapter(weights: Path, name: str, path: Path) -> int:
    """Write one adapter and return the file's bytes: F16 factors, as llama.cpp's own converter writes them."""
    head = gguf.GGUFWriter(str(path), ARCHITECTURE)
    head.add_type(gguf.GGUFType.ADAPTER)
    head.add_string(gguf.Keys.Adapter.TYPE, "lora")
    head.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA)
    head.add_name(f"Pult Guide: {name}")
    tensors: dict[str, Array] = load_file(str(weights))
    for key, tensor in sorted(tensors.items()):
        matrix, _, factor = key.partition("/")
        _, number, part = matrix.split(".")
        side = "lora_a" if factor == "down" else "lora_b"
        head.add_tensor(f"blk.{number}.{PARTS[part]}.weight.{side}", tensor.astype(np.float16))
    return _finish(head, path)


def _add_vocabulary(head: gguf.GGUFWriter, path: Path) -> None:
    table = json.loads(path.read_text("utf-8"))
    model = table["model"]
    tokens = {number: token for token, number in model["vocab"].items()}
    tokens |= {added["id"]: added["content"] for added in table["added_tokens"]}
    ordered = [tokens[number] for number in range(len(tokens))]
    kinds = [gguf.TokenType.NORMAL] * len(ordered)
    for name in CONTROL:
        kinds[ordered.index(name)] = gguf.TokenType.CONTROL
    for name in WRITTEN:
        kinds[ordered.index(name)] = gguf.TokenType.USER_DEFINED
    head.add_tokenizer_model("gpt2")
    head.add_tokenizer_pre("qwen2")
    head.add_token_list(ordered)
    head.add_token_types(kinds)
    head.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    head.add_eos_token_id(ordered.index("<|im_end|>"))
    head.add_pad_token_id(ordered.index("<|endoftext|>"))
    head.add_add_bos_token(False)


def _add(head: gguf.GGUFWriter, name: str, tensor: Array, *, wide: bool) -> None:
    if wide:
        head.add_tensor(name, tensor.astype(np.float32))
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    head.add_tensor(name, gguf.quants.quantize(tensor.astype(np.float32), kind), raw_dtype=kind)


def _finish(head: gguf.GGUFWriter, path: Path) -> int:
    head.write_header_to_file()
    head.write_kv_data_to_file()
    head.write_tensors_to_file(progress=False)
    head.close()
    return path.stat().st_size


def main() -> int:
    """Export one folder of trained weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    export_all(parser.parse_args().folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
