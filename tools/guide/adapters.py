"""Low-rank adapters on the frozen base: attention only, so that a file is small and any llama.cpp loads it.

The three manners are trained together: a batch wears one adapter or two, so that they also add up when stacked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tools.guide.conversations import Manner

RANK = 16
ALPHA = 32.0
NAMES = ("brief", "teacher", "russian")
PARTS = ("q", "k", "v", "o")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Adapters worn together, the manner they must bring about, and how often a batch wears them."""

    names: tuple[str, ...]
    manner: Manner
    share: float


STACKS = (
    Stack(names=("brief",), manner=Manner(style="brief"), share=0.24),
    Stack(names=("teacher",), manner=Manner(style="teacher"), share=0.24),
    Stack(names=("russian",), manner=Manner(russian=True), share=0.24),
    Stack(names=("brief", "russian"), manner=Manner(style="brief", russian=True), share=0.14),
    Stack(names=("teacher", "russian"), manner=Manner(style="teacher", russian=True), share=0.14),
)


class Adapters(nn.Module):
    """All adapters' factors: `down` [rank, in] and `up` [out, rank] for every matrix they touch."""

    def __init__(self, base: dict[str, Tensor]) -> None:
        super().__init__()
        self.factors = nn.ParameterDict()
        for adapter in NAMES:
            for name, weight in base.items():
                if name.rpartition(".")[2] in PARTS and name.startswith("layers."):
                    out, into = weight.shape
                    down = torch.randn(RANK, into, device=weight.device) * into**-0.5
                    self.factors[_key(adapter, name, "down")] = nn.Parameter(down)
                    self.factors[_key(adapter, name, "up")] = nn.Parameter(
                        torch.zeros(out, RANK, device=weight.device)
                    )

    def worn(self, base: dict[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the base's weights with these adapters added at scale 1, differentiable in the factors."""
        merged = dict(base)
        for adapter in names:
            for name in base:
                if _key(adapter, name, "up") in self.factors:
                    down, up = (
                        self.factors[_key(adapter, name, "down")],
                        self.factors[_key(adapter, name, "up")],
                    )
                    merged[name] = merged[name] + (ALPHA / RANK) * (up @ down)
        return merged

    def one(self, adapter: str) -> dict[str, Tensor]:
        """Return one adapter's factors by "<matrix>/down" and "<matrix>/up"."""
        prefix = f"{adapter}|"
        return {
            key.removeprefix(prefix).replace("|", "."): value.detach()
            for key, value in self.factors.items()
            if key.startswith(prefix)
        }

    def put(self, adapter: str, factors: dict[str, Tensor]) -> None:
        """Take over one adapter's factors, named as `one` names them."""
        with torch.no_grad():
            for key, value in factors.items():
                matrix, _, factor = key.partition("/")
                self.factors[_key(adapter, matrix, factor)].copy_(value)


def _key(adapter: str, name: str, factor: str) -> str:
    return f"{adapter}|{name.replace('.', '|')}/{factor}"
