"""The guide's network in plain torch: Hugging Face's Qwen3-MoE, written so that sixteen small experts train quickly.

All experts are computed as two wide products and weighed by the router afterwards; the unused ones get weight zero.
That is the same function as `Qwen3MoeForCausalLM` (`agreement.py` compares them), several times faster at this size. Parameter
names are this module's own; `huggingface_state` maps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Hyper-parameters. Heads are 64 wide because llama.cpp's flash attention on CUDA starts there."""

    vocabulary: int = 3072
    width: int = 192
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 64
    experts: int = 16
    used: int = 4
    expert_width: int = 128
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-6

    def huggingface(self) -> dict[str, Any]:
        """Keyword arguments for transformers' `Qwen3MoeConfig`."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_width,
            "num_experts": self.experts,
            "num_experts_per_tok": self.used,
            "moe_intermediate_size": self.expert_width,
            "intermediate_size": self.expert_width * self.used,
            "max_position_embeddings": self.context,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_base},
            "rms_norm_eps": self.epsilon,
            "norm_topk_prob": True,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "tie_word_embeddings": True,
            "attention_bias": False,
            "hidden_act": "silu",
        }

    def as_dict(self) -> dict[str, Any]:
        """The fields, for a file beside the weights."""
        return asdict(self)


def rotations(shape: Shape, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each [context, head_width], for RoPE with halves rotated against each other."""
    half = torch.arange(0, shape.head_width, 2, device=device, dtype=torch.float32) / shape.head_width
    angle = torch.arange(shape.context, device=device, dtype=torch.float32)[:, None] / shape.rope_base**half
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


class Layer(nn.Module):
    """Attention with normalised queries and keys, then the experts."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, outer = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.attention_norm = nn.Parameter(torch.ones(shape.width))
        self.q = nn.Parameter(torch.empty(inner, shape.width))
        self.k = nn.Parameter(torch.empty(outer, shape.width))
        self.v = nn.Parameter(torch.empty(outer, shape.width))
        self.o = nn.Parameter(torch.empty(shape.width, inner))
        self.q_norm = nn.Parameter(torch.ones(shape.head_width))
        self.k_norm = nn.Parameter(torch.ones(shape.head_width))
        self.experts_norm = nn.Parameter(torch.ones(shape.width))
        self.router = nn.Parameter(torch.empty(shape.experts, shape.width))
        self.gate = nn.Parameter(torch.empty(shape.experts, shape.expert_width, shape.width))
        self.up = nn.Parameter(torch.empty(shape.experts, shape.expert_width, shape.width))
        self.down = nn.Parameter(torch.empty(shape.experts, shape.width, shape.expert_width))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the new hidden state and the balance loss of this layer's router."""
        shape = self.shape
        batch, length, _ = x.shape
        h = _norm(x, self.attention_norm, shape.epsilon)
        q = (h @ self.q.T).view(batch, length, shape.heads, shape.head_width)
        k = (h @ self.k.T).view(batch, length, shape.kv_heads, shape.head_width)
        v = (h @ self.v.T).view(batch, length, shape.kv_heads, shape.head_width).transpose(1, 2)
        q = _turn(_norm(q, self.q_norm, shape.epsilon).transpose(1, 2), cosine, sine)
        k = _turn(_norm(k, self.k_norm, shape.epsilon).transpose(1, 2), cosine, sine)
        shared = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=mask, is_causal=mask is None)
        x = x + (mixed.transpose(1, 2).reshape(batch, length, -1) @ self.o.T)
        h = _norm(x, self.experts_norm, shape.epsilon)
        chances = (h.float() @ self.router.float().T).softmax(dim=-1)
        best, chosen = chances.topk(shape.used, dim=-1)
        weights = torch.zeros_like(chances).scatter(-1, chosen, best / best.sum(dim=-1, keepdim=True))
        taken = (weights > 0).float().mean(dim=(0, 1)) / shape.used
        balance = shape.experts * (taken * chances.mean(dim=(0, 1))).sum()
        gate, up = h @ self.gate.flatten(0, 1).T, h @ self.up.flatten(0, 1).T
        inside = (F.silu(gate) * up).view(batch, length, shape.experts, shape.expert_width)
        inside = inside * weights.to(inside.dtype)[..., None]
        return x + inside.flatten(2) @ self.down.transpose(0, 1).flatten(1).T, balance


def run_layer(layer: Layer, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """Call one layer; a function of its own, so that one compiled form serves all layers."""
    out: tuple[Tensor, Tensor] = layer(*inputs)
    return out


class Network(nn.Module):
    """The whole model; input and output embeddings are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.run: Callable[..., tuple[Tensor, Tensor]] = run_layer  # training may put a compiled one here
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                spread = 0.02 if name == "embedding" else weight.shape[-1] ** -0.5
                if name.endswith((".o", ".down")):
                    spread /= math.sqrt(2 * shape.layers)
                nn.init.normal_(weight, std=spread)

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return hidden states [batch, length, width] and the mean balance loss; `mask` None is plain causal."""
        cosine, sine = rotations(self.shape, ids.device)
        cosine, sine = cosine[positions][:, None], sine[positions][:, None]
        x = F.embedding(ids, self.embedding)
        balances = []
        for layer in self.layers:
            x, balance = self.run(layer, x, cosine, sine, mask)
            balances.append(balance)
        return _norm(x, self.norm, self.shape.epsilon), torch.stack(balances).mean()

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of every token."""
        return hidden @ self.embedding.T


def same_conversation(conversation: Tensor) -> Tensor:
    """Return the attention mask [batch, 1, length, length]: earlier tokens of the same conversation only."""
    length = conversation.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=conversation.device).tril()
    return ((conversation[:, :, None] == conversation[:, None, :]) & causal)[:, None]


def huggingface_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of `Network` to transformers' `Qwen3MoeForCausalLM` (experts fused, as since version 5)."""
    out: dict[str, Tensor] = {}
    plain = {
        "attention_norm": "input_layernorm.weight",
        "experts_norm": "post_attention_layernorm.weight",
        "q": "self_attn.q_proj.weight",
        "k": "self_attn.k_proj.weight",
        "v": "self_attn.v_proj.weight",
        "o": "self_attn.o_proj.weight",
        "q_norm": "self_attn.q_norm.weight",
        "k_norm": "self_attn.k_norm.weight",
        "router": "mlp.gate.weight",
        "down": "mlp.experts.down_proj",
    }
    for name, weight in state.items():
        if not name.startswith("layers."):
            continue
        _, number, part = name.split(".")
        if part in plain:
            out[f"model.layers.{number}.{plain[part]}"] = weight
        elif part == "gate":
            both = torch.cat((weight, state[f"layers.{number}.up"]), dim=1)
            out[f"model.layers.{number}.mlp.experts.gate_up_proj"] = both
    out["model.embed_tokens.weight"] = out["lm_head.weight"] = state["embedding"]
    out["model.norm.weight"] = state["norm"]
    return out


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(x.dtype)


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return (x * cosine + torch.cat((-second, first), dim=-1) * sine).to(x.dtype)
