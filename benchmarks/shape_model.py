"""Write a GGUF with a Qwen3-MoE's shape, Qwen's vocabulary size and random weights, for measuring speed
alone.

Speed depends on shapes and quantisation, not on what the weights say. The text such a model writes is noise.

python benchmarks/shape_model.py OUT.gguf [--layers 12] [--width 768]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gguf
import numpy as np

VOCABULARY = 151_936
CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def write_shape_model(
    path: Path, *, layers: int = 12, width: int = 768, experts: int = 16, used: int = 4
) -> Path:
    """Write the file (about 350 MB with the defaults, a few seconds) and return its path."""
    random = np.random.default_rng(0)
    head, hidden, heads, heads_kv = 64, width // 2, width // 64, max(1, width // 256)
    writer: Any = gguf.GGUFWriter(str(path), "qwen3moe")
    writer.add_name(f"Shape {layers}x{width}")
    writer.add_block_count(layers)
    writer.add_context_length(40960)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))
    writer.add_expert_count(experts)
    writer.add_expert_used_count(used)
    writer.add_expert_feed_forward_length(hidden)
    writer.add_chat_template(CHATML)
    _add_vocabulary(writer)

    def packed(name: str, *shape: int) -> None:
        blocks = random.integers(0, 256, (int(np.prod(shape)) // 32, 34), dtype=np.uint8)
        blocks[:, 0:2] = np.frombuffer(np.float16(0.0003).tobytes(), np.uint8)  # scale: weights of about 0.02
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{name}.weight", blocks.reshape(*shape[:-1], shape[-1] // 32 * 34), raw_dtype=kind)

    def ones(name: str, size: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    packed("token_embd", VOCABULARY, width)
    packed("output", VOCABULARY, width)
    ones("output_norm", width)
    for layer in range(layers):
        at = f"blk.{layer}."
        for name, size in (
            ("attn_norm", width),
            ("ffn_norm", width),
            ("attn_q_norm", head),
            ("attn_k_norm", head),
        ):
            ones(at + name, size)
        packed(at + "attn_q", heads * head, width)
        packed(at + "attn_k", heads_kv * head, width)
        packed(at + "attn_v", heads_kv * head, width)
        packed(at + "attn_output", width, heads * head)
        router = random.standard_normal((experts, width), dtype=np.float32)
        writer.add_tensor(at + "ffn_gate_inp.weight", router)
        packed(at + "ffn_gate_exps", experts, hidden, width)
        packed(at + "ffn_up_exps", experts, hidden, width)
        packed(at + "ffn_down_exps", experts, width, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=False)
    writer.close()
    return path


def _add_vocabulary(writer: Any) -> None:
    """The 256 bytes, which the tokenizer uses, then names that only sampling can reach, then the control
    tokens."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in shown] + [chr(256 + index) for index in range(256 - len(shown))]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    named = [f"word{index}" for index in range(VOCABULARY - len(letters) - len(control))]
    tokens = [*letters, *named, *control]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_token_types(
        [gguf.TokenType.NORMAL] * (len(letters) + len(named)) + [gguf.TokenType.CONTROL] * len(control)
    )
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    options = parser.parse_args()
    made = write_shape_model(options.out, layers=options.layers, width=options.width)
    print(f"{made}: {made.stat().st_size / 1e6:.0f} MB")
