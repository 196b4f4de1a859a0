"""Tiny GGUF files with random weights, written in well under a second: real to llama.cpp, noise to a reader.

The vocabulary is byte-level BPE, so every byte sequence can be written. Rows of the control tokens in
the output matrix are zero, so a random model hardly ever ends by itself; `ends=True` makes it end often.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WRITTEN = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
)  # special to the tokenizer, plain text when written out
WORDS = (
    "the",
    "and",
    "in",
    "to",
    "of",
    "er",
    "on",
    "re",
    "user",
    "system",
    "assistant",
    "hello",
    "world",
    "ing",
)

CHATML_THINKING = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nAnswer with <tool_call>\\n{"name": ..., "arguments": ...}\\n</tool_call>.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- set content = message.content or '' %}
{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{{- content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}
"""
PROMPT_OPENS_THOUGHT = CHATML_THINKING.replace(
    "{{- '<think>\\n\\n</think>\\n\\n' }}\n{%- endif %}",
    "{{- '<think>\\n\\n</think>\\n\\n' }}\n{%- else %}{{- '<think>\\n' }}{%- endif %}",
)


def tiny_moe(
    path: Path,
    *,
    experts: int = 8,
    used: int = 2,
    layers: int = 2,
    context: int = 512,
    template: bool | str = True,
    seed: int = 0,
    ends: bool = False,
) -> Path:
    """Write a Qwen3-MoE; `template` True is ChatML with `enable_thinking`, False none, text itself."""
    writer = _Writer(
        path, "qwen3moe", layers=layers, context=context, template=template, seed=seed, ends=ends
    )
    writer.head.add_expert_count(experts)
    writer.head.add_expert_used_count(used)
    writer.head.add_expert_feed_forward_length(32)
    for layer in range(layers):
        writer.attention(layer)
        writer.experts(layer, experts)
    return writer.finish()


def tiny_dense(
    path: Path,
    *,
    layers: int = 2,
    context: int = 512,
    template: bool | str = True,
    seed: int = 0,
    ends: bool = False,
) -> Path:
    """Write a dense Qwen3."""
    writer = _Writer(path, "qwen3", layers=layers, context=context, template=template, seed=seed, ends=ends)
    for layer in range(layers):
        writer.attention(layer)
        writer.dense(layer)
    return writer.finish()


def tiny_hybrid(
    path: Path, *, layers: int = 4, context: int = 512, seed: int = 0, experts: int = 0, used: int = 2
) -> Path:
    """Write a Qwen3.5: three gated-delta-net layers, then one of attention. It cannot roll back partly.

    With `experts` it is a Qwen3.5-MoE with a shared expert.
    """
    architecture = "qwen35moe" if experts else "qwen35"
    writer = _Writer(path, architecture, layers=layers, context=context, template=True, seed=seed, ends=False)
    head = writer.head
    head.add_rope_dimension_count(16)
    head.add_rope_dimension_sections([3, 3, 2, 0])
    head.add_ssm_conv_kernel(4)
    head.add_ssm_state_size(32)
    head.add_ssm_group_count(1)
    head.add_ssm_time_step_rank(2)
    head.add_ssm_inner_size(64)
    head.add_full_attention_interval(4)
    if experts:
        head.add_expert_count(experts)
        head.add_expert_used_count(used)
        head.add_expert_feed_forward_length(32)
        head.add_expert_shared_feed_forward_length(32)
    for layer in range(layers):
        if (layer + 1) % 4:
            writer.delta_net(layer, state=32, heads=2)
        else:
            writer.attention(layer, gated=True)
        writer.ones(f"blk.{layer}.post_attention_norm", writer.width)
        if experts:
            writer.experts(layer, experts)
            writer.shared_expert(layer)
        else:
            writer.dense(layer)
    return writer.finish()


class _Writer:
    """Everything the small models share: vocabulary, hyper-parameters, attention and feed-forward tensors."""

    width = 64
    heads = 4
    heads_kv = 2
    head_size = 64  # the smallest that CUDA has flash attention for
    hidden = 128

    def __init__(
        self,
        path: Path,
        architecture: str,
        *,
        layers: int,
        context: int,
        template: bool | str,
        seed: int,
        ends: bool,
    ) -> None:
        self.path = path
        self.random = np.random.default_rng(seed)
        self.head: Any = gguf.GGUFWriter(str(path), architecture)
        head = self.head
        head.add_name(f"Tiny {architecture}")
        head.add_block_count(layers)
        head.add_context_length(context)
        head.add_embedding_length(self.width)
        head.add_feed_forward_length(self.hidden)
        head.add_head_count(self.heads)
        head.add_head_count_kv(self.heads_kv)
        head.add_key_length(self.head_size)
        head.add_value_length(self.head_size)
        head.add_rope_freq_base(10000.0)
        head.add_layer_norm_rms_eps(1e-6)
        head.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))
        if template:
            head.add_chat_template(CHATML_THINKING if template is True else template)
        tokens = self._vocabulary()
        self.matrix("token_embd", len(tokens), self.width, scale=1.0)
        self.ones("output_norm", self.width)
        output = self.random.standard_normal((len(tokens), self.width), dtype=np.float32) * 0.5
        quiet = [tokens.index(name) for name in (*CONTROL, *WRITTEN)]
        output[quiet] = 0.0
        if ends:  # the end mark's logit is the largest of a few directions, so it comes up every few tokens
            output[tokens.index("<|im_end|>")] = output[:3].sum(axis=0)
        self.head.add_tensor("output.weight", output.astype(np.float16))

    def _vocabulary(self) -> list[str]:
        letters = _byte_letters()
        tokens = list(letters.values())
        merges: list[str] = []
        for word in WORDS:
            for spelling in (word, letters[ord(" ")] + word):
                left = spelling[0]
                for letter in spelling[1:]:
                    if left + letter not in tokens:
                        tokens.append(left + letter)
                        merges.append(f"{left} {letter}")
                    left += letter
        plain = len(tokens)
        tokens += [*CONTROL, *WRITTEN]
        head = self.head
        head.add_tokenizer_model("gpt2")
        head.add_tokenizer_pre("qwen2")
        head.add_token_list(tokens)
        head.add_token_merges(merges)
        head.add_token_types(
            [gguf.TokenType.NORMAL] * plain
            + [gguf.TokenType.CONTROL] * len(CONTROL)
            + [gguf.TokenType.USER_DEFINED] * len(WRITTEN)
        )
        head.add_eos_token_id(tokens.index("<|im_end|>"))
        head.add_pad_token_id(tokens.index("<|endoftext|>"))
        head.add_add_bos_token(False)
        return tokens

    def matrix(self, name: str, *shape: int, scale: float | None = None, kind: type = np.float16) -> None:
        """Add random weights of about unit gain."""
        spread = shape[-1] ** -0.5 if scale is None else scale
        weights = self.random.standard_normal(shape, dtype=np.float32) * spread
        self.head.add_tensor(f"{name}.weight", weights.astype(kind))

    def ones(self, name: str, size: int) -> None:
        self.head.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    def attention(self, layer: int, *, gated: bool = False) -> None:
        at, size = f"blk.{layer}.", self.head_size
        self.ones(at + "attn_norm", self.width)
        self.matrix(at + "attn_q", self.heads * size * (2 if gated else 1), self.width)
        self.matrix(at + "attn_k", self.heads_kv * size, self.width)
        self.matrix(at + "attn_v", self.heads_kv * size, self.width)
        self.matrix(at + "attn_output", self.width, self.heads * size)
        self.ones(at + "attn_q_norm", size)
        self.ones(at + "attn_k_norm", size)
        if not gated:
            self.ones(at + "ffn_norm", self.width)

    def delta_net(self, layer: int, *, state: int, heads: int) -> None:
        at, inner = f"blk.{layer}.", state * heads
        self.ones(at + "attn_norm", self.width)
        self.matrix(at + "attn_qkv", 2 * state + inner, self.width)
        self.matrix(at + "attn_gate", inner, self.width)
        self.matrix(at + "ssm_conv1d", 2 * state + inner, 4, kind=np.float32)
        self.head.add_tensor(at + "ssm_dt.bias", self.random.standard_normal(heads, dtype=np.float32))
        self.head.add_tensor(at + "ssm_a", -np.exp(self.random.standard_normal(heads)).astype(np.float32))
        self.matrix(at + "ssm_beta", heads, self.width)
        self.matrix(at + "ssm_alpha", heads, self.width)
        self.ones(at + "ssm_norm", state)
        self.matrix(at + "ssm_out", self.width, inner)

    def dense(self, layer: int) -> None:
        at = f"blk.{layer}."
        self.matrix(at + "ffn_gate", self.hidden, self.width)
        self.matrix(at + "ffn_up", self.hidden, self.width)
        self.matrix(at + "ffn_down", self.width, self.hidden)

    def experts(self, layer: int, count: int) -> None:
        at = f"blk.{layer}."
        self.matrix(at + "ffn_gate_inp", count, self.width, kind=np.float32)
        self.matrix(at + "ffn_gate_exps", count, 32, self.width)
        self.matrix(at + "ffn_up_exps", count, 32, self.width)
        self.matrix(at + "ffn_down_exps", count, self.width, 32)

    def shared_expert(self, layer: int) -> None:
        at = f"blk.{layer}."
        gate = self.random.standard_normal(self.width, dtype=np.float32)
        self.head.add_tensor(at + "ffn_gate_inp_shexp.weight", gate)
        self.matrix(at + "ffn_gate_shexp", 32, self.width)
        self.matrix(at + "ffn_up_shexp", 32, self.width)
        self.matrix(at + "ffn_down_shexp", self.width, 32)

    def finish(self) -> Path:
        self.head.write_header_to_file()
        self.head.write_kv_data_to_file()
        self.head.write_tensors_to_file(progress=False)
        self.head.close()
        return self.path


def _byte_letters() -> dict[int, str]:
    """GPT-2's letters for the 256 bytes: printable ones are themselves, the rest move past U+0100."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in shown}
    hidden = [byte for byte in range(256) if byte not in letters]
    letters.update({byte: chr(256 + index) for index, byte in enumerate(hidden)})
    return dict(sorted(letters.items()))
