"""Measure the guide with the real llama.cpp and print the tables of docs/guide-model.md.

    python -m tools.guide.evaluate resources/guide           # everything, minutes on 2 cores
    python -m tools.guide.evaluate resources/guide --sample 300 # the base in full, the adapters on 300 questions

A topic's answer is right when every key fact of the topic stands in it, ignoring case ("a|b": one of them is enough; a
brief answer needs the first fact). A refusal is right when the guide says that it is a small guide model.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.guide.engine import GuideEngine
from tools.guide.questions import HeldOut, held_out
from tools.guide.topics import Language, Style, unknown

EXPERTS = (1, 2, 3, 4, 6, 8, 12, 16)
KINDS = ("form", "typo", "hand", "off_topic")


@dataclass(frozen=True, kw_only=True)
class Wearing:
    """A guide as it is asked: adapters worn and what is expected of the answers."""

    name: str
    adapters: tuple[str, ...] = ()
    style: Style = "plain"
    russian: bool = False


WORN = (
    Wearing(name="base"),
    Wearing(name="russian", adapters=("russian",), russian=True),
    Wearing(name="brief", adapters=("brief",), style="brief"),
    Wearing(name="teacher", adapters=("teacher",), style="teacher"),
    Wearing(name="brief + russian", adapters=("brief", "russian"), style="brief", russian=True),
    Wearing(name="teacher + russian", adapters=("teacher", "russian"), style="teacher", russian=True),
)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One question with what was said."""

    question: HeldOut
    answer: str
    right: bool
    tokens: int
    seconds: float


def ask(folder: Path, wearing: Wearing, questions: Sequence[HeldOut], *, thinking: bool) -> list[Answered]:
    """Put every question to the guide as a first message."""
    out: list[Answered] = []
    adapters = [folder / f"{name}.gguf" for name in wearing.adapters]
    with GuideEngine(folder / "guide.gguf", adapters=adapters) as engine:
        for question in questions:
            said = engine.say(("user", question.text), thinking=thinking)
            language: Language = "ru" if wearing.russian else question.language
            right = (question.topic or unknown()).right(said.answer, language, style=wearing.style)
            out.append(
                Answered(
                    question=question,
                    answer=said.answer,
                    right=right,
                    tokens=said.tokens,
                    seconds=said.seconds,
                )
            )
    return out


def perplexities(folder: Path, questions: Sequence[HeldOut]) -> dict[int, float]:
    """Return the perplexity of the right answers to held-out questions at each number of experts per token."""
    out: dict[int, float] = {}
    for experts in EXPERTS:
        total, count = 0.0, 0
        with GuideEngine(folder / "guide.gguf", experts=experts) as engine:
            for question in questions:
                topic = question.topic or unknown()
                prompt = engine.prompt(("user", question.text), thinking=False)
                wanted = [*engine.ids(topic.answer(question.language)), *engine.ids("<|im_end|>")]
                scores = engine.scores([*prompt, *wanted])[len(prompt) - 1 : -1].astype(np.float64)
                scores -= scores.max(axis=1, keepdims=True)
                chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
                total -= float(chances[np.arange(len(wanted)), wanted].sum())
                count += len(wanted)
        out[experts] = float(np.exp(total / count))
    return out


def cyrillic_share(texts: Sequence[str]) -> float:
    """Return the share of Cyrillic among all letters."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    return sum(bool(re.match(r"[а-яё]", letter, re.IGNORECASE)) for letter in letters) / max(1, len(letters))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--sample", type=int, default=None, help="ask the adapters only so many questions, drawn with seed 7"
    )
    parser.add_argument("--save", type=Path, default=None, help="write wrong answers here, as JSON lines")
    options = parser.parse_args(arguments)
    questions = held_out()
    sample = random.Random(7).sample(questions, options.sample) if options.sample else questions
    lengths: dict[str, list[int]] = {}
    wrong: list[str] = []
    print(
        "| worn | thinking | "
        + " | ".join(f"{kind} en | {kind} ru" for kind in KINDS)
        + " | right | declined | tokens/s |"
    )
    for wearing in WORN:
        for thinking in (False, True):
            asked = questions if wearing.name == "base" else sample
            answered = ask(options.folder, wearing, asked, thinking=thinking)
            print(_row(wearing, thinking, answered), flush=True)
            wrong += [
                json.dumps(
                    {
                        "worn": wearing.name,
                        "thinking": thinking,
                        "question": one.question.text,
                        "answer": one.answer,
                    },
                    ensure_ascii=False,
                )
                for one in answered
                if not one.right
            ]
            if not thinking:
                topical = [one for one in answered if one.question.topic]
                lengths[wearing.name] = [len(one.answer) for one in answered]
                if wearing.russian:
                    whole = cyrillic_share([one.answer for one in answered])
                    middle = statistics.median(cyrillic_share([one.answer]) for one in answered)
                    print(f"  Cyrillic letters: {100 * whole:.1f}%, in the middle answer {100 * middle:.1f}%")
                if wearing.style == "teacher":
                    given = [bool(re.search(r"For example|Например", one.answer)) for one in topical]
                    print(f"  answers with an example: {100 * sum(given) / len(given):.1f}%")
    plain = statistics.median(lengths["base"])
    for name, values in lengths.items():
        median = statistics.median(values)
        print(f"median answer of {name}: {median:.0f} characters, {100 * median / plain:.0f}% of the base")
    print("| experts per token | " + " | ".join(map(str, EXPERTS)) + " |")
    for kind in ("form", "all"):
        chosen = [one for one in questions if one.topic and (kind == "all" or one.kind == kind)][::8]
        row = perplexities(options.folder, chosen)
        print(
            f"| perplexity ({kind}, {len(chosen)} answers) | "
            + " | ".join(f"{value:.3f}" for value in row.values())
            + " |",
            flush=True,
        )
    if options.save:
        options.save.write_text("\n".join(wrong) + "\n", "utf-8")
    return 0


def _row(wearing: Wearing, thinking: bool, answered: Sequence[Answered]) -> str:
    by: dict[str, list[bool]] = defaultdict(list)
    for one in answered:
        by[f"{one.question.kind} {one.question.language}"].append(one.right)
        by["right" if one.question.topic else "declined"].append(one.right)
    cells = [f"{kind} {language}" for kind in KINDS for language in ("en", "ru")] + ["right", "declined"]
    shares = [f"{100 * sum(by[cell]) / max(1, len(by[cell])):.1f}%" for cell in cells]
    speed = statistics.median(one.tokens / one.seconds for one in answered if one.tokens > 5)
    return f"| {wearing.name} | {'on' if thinking else 'off'} | " + " | ".join(shares) + f" | {speed:.0f} |"


if __name__ == "__main__":
    raise SystemExit(main())
