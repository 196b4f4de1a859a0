"""Greedy answers from the torch network, many at once: the quick check while training. The real one is `evaluate.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.func import functional_call

from tools.guide.network import Network
from tools.guide.questions import HeldOut
from tools.guide.topics import Style, unknown


@dataclass(frozen=True, kw_only=True)
class Marked:
    """One question, the text given and whether it was right."""

    question: HeldOut
    text: str
    right: bool


def prompt_ids(tokenizer: Tokenizer, text: str, *, thinking: bool) -> list[int]:
    """Return the ids of a first question as the template writes it."""
    start, end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")

    def ids(part: str) -> list[int]:
        return list(tokenizer.encode(part).ids)

    prompt = [start, *ids("user\n"), *ids(text), end, *ids("\n"), start, *ids("assistant\n")]
    if not thinking:
        think, unthink = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</think>")
        prompt += [think, *ids("\n\n"), unthink, *ids("\n\n")]
    return prompt


@torch.no_grad()
def speak(
    network: Network,
    weights: Mapping[str, Tensor],
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    limit: int = 160,
) -> list[list[int]]:
    """Return the greedy continuation of every prompt, without the end mark."""
    device = next(iter(weights.values())).device
    longest = max(map(len, prompts)) + limit
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    sizes = torch.tensor([len(prompt) for prompt in prompts], device=device)
    for place, prompt in enumerate(prompts):
        ids[place, : len(prompt)] = torch.tensor(prompt, device=device)
    first = sizes.clone()
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    rows = torch.arange(len(prompts), device=device)
    for _ in range(limit):
        width = int(sizes.max())
        positions = torch.arange(width, device=device).expand(len(prompts), width)
        hidden, _ = functional_call(network, dict(weights), (ids[:, :width], positions, None))
        best = network_logits(hidden[rows, sizes - 1], weights).argmax(-1)
        done |= best == end
        if bool(done.all()):
            break
        ids[rows[~done], sizes[~done]] = best[~done]
        sizes = sizes + (~done).long()
    return [ids[row, int(first[row]) : int(sizes[row])].tolist() for row in range(len(prompts))]


def network_logits(hidden: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Return logits with the given weights' embedding."""
    return hidden @ weights["embedding"].T.to(hidden.dtype)


def mark(
    network: Network,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    questions: Sequence[HeldOut],
    *,
    thinking: bool,
    style: Style = "plain",
    russian: bool = False,
) -> list[Marked]:
    """Ask every question and mark the answers by key facts."""
    prompts = [prompt_ids(tokenizer, question.text, thinking=thinking) for question in questions]
    marked: list[Marked] = []
    for begin in range(0, len(prompts), 512):
        answers = speak(
            network, weights, prompts[begin : begin + 512], end=tokenizer.token_to_id("<|im_end|>")
        )
        for question, answer in zip(questions[begin : begin + 512], answers, strict=True):
            text = tokenizer.decode(answer, skip_special_tokens=False).rpartition("</think>")[2].strip()
            topic = question.topic or unknown()
            right = topic.right(text, "ru" if russian else question.language, style=style)
            marked.append(Marked(question=question, text=text, right=right))
    return marked


def table(marked: Sequence[Marked]) -> str:
    """Return one line: the share of right answers by kind and language."""
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one in marked:
        for key in (
            f"{one.question.kind}/{one.question.language}",
            "topics" if one.question.topic else "declined",
        ):
            total[key] += 1
            right[key] += one.right
    return "  ".join(f"{key} {100 * right[key] / total[key]:.1f}%" for key in sorted(total))
