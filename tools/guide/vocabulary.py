"""The guide's own byte-level BPE vocabulary and its ChatML template."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tools.guide.questions import asked, follow_up, forms, off_topic
from tools.guide.topics import LANGUAGES, topics, unknown

SIZE = 3072
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WRITTEN = ("<think>", "</think>", "<tool_call>", "</tool_call>")
# Qwen2's split, as llama.cpp's pre-tokenizer "qwen2" does it (llama-vocab.cpp).
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# ChatML as Qwen3 writes it: older thoughts are dropped, and with thinking off the answer follows an empty thought.
TEMPLATE = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content or '' %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}\
"""


def train_vocabulary(*, seed: int = 1, size: int = SIZE) -> Tokenizer:
    """Learn the merges from the answers and a sample of the trained questions; special tokens come last, as Qwen's do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [*CONTROL, *WRITTEN]
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in CONTROL])
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in WRITTEN])
    return tokenizer


def load_vocabulary(path: Path) -> Tokenizer:
    """Read a vocabulary written by `Tokenizer.save`."""
    return Tokenizer.from_file(str(path))


def _texts(seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for language in LANGUAGES:
        for topic in (*topics(), unknown()):
            for style in ("brief", "teacher"):
                for _ in range(4):
                    yield topic.answer(language, style)
            yield topic.thought(language, language)
        for topic in topics():
            for _ in range(40):
                yield asked(topic, language, rng)
        for _ in range(3000):
            yield off_topic(language, rng)
        for kind in ("example", "short", "more", "other"):
            for _ in range(30):
                yield follow_up(kind, language, rng)
        for prompts in forms()[language]["system"].values():
            yield from prompts
