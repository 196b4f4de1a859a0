"""Training rows: whole conversations in ChatML as token ids, packed, with the places where the loss counts.

Only answers and thoughts are learnt. Earlier answers stand in history without their thought, as the template writes
them, so their first token is not learnt: from there the model must be free to think.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tools.guide.questions import asked, follow_up, forms, off_topic
from tools.guide.topics import Language, Style, Topic, topics, unknown

IntArray = npt.NDArray[np.int16]


OPENING = 14  # tokens


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the answers of one conversation sound. `russian`: in Russian whatever the question's language.

    `told` True: a system prompt asks for it (this is how the base learns the manners); False: nothing asks, an adapter
    must bring it about.
    """

    style: Style = "plain"
    russian: bool = False
    told: bool = False


@dataclass
class Row:
    """A packed training row: token ids, positions within each conversation, its number, and what is learnt."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    conversation: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)

    def add(self, ids: Sequence[int], learn: Sequence[bool], number: int) -> None:
        """Append one conversation."""
        self.ids += ids
        self.learn += learn
        self.positions += range(len(ids))
        self.conversation += [number] * len(ids)


class Writer:
    """Writes random conversations as ids.

    `openings`: share of conversations of one turn whose answer breaks off after its first words: which subject is meant
    is decided there, so refining sees several times more questions in the same time. `freely`: see `asked`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        rng: random.Random,
        manners: Sequence[tuple[float, Manner]],
        *,
        openings: float = 0.0,
        freely: float = 0.15,
    ) -> None:
        self.rng = rng
        self.openings = openings
        self.freely = freely
        self.manners = [manner for _, manner in manners]
        self.weights = [weight for weight, _ in manners]
        self.tokenizer = tokenizer
        self.pieces = lru_cache(maxsize=20000)(self._encode)
        self.start = self._one("<|im_start|>")
        self.end = self._one("<|im_end|>")
        self.think = self._one("<think>")
        self.unthink = self._one("</think>")

    def rows(self, count: int, length: int) -> tuple[IntArray, IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Return `count` rows of `length` tokens: ids, positions, conversation numbers (-1 pads), learnt places."""
        ids = np.zeros((count, length), np.int16)
        positions = np.zeros((count, length), np.int16)
        conversation = np.full((count, length), -1, np.int16)
        learn = np.zeros((count, length), bool)
        for place in range(count):
            row = Row()
            number = 0
            while len(row.ids) < length - 40:
                room = length - len(row.ids)
                turns = self.rng.choices((1, 2, 3, 4, 6), (50, 22, 14, 9, 5))[0] if length < 1024 else 60
                tokens, learnt = self.conversation(room, turns)
                if not tokens:
                    break
                row.add(tokens, learnt, number)
                number += 1
            size = len(row.ids)
            ids[place, :size], positions[place, :size] = row.ids, row.positions
            conversation[place, :size], learn[place, :size] = row.conversation, row.learn
        return ids, positions, conversation, learn

    def conversation(self, room: int, turns: int) -> tuple[list[int], list[bool]]:
        """Return one conversation of at most `room` tokens and `turns` turns; empty when not even one turn fits."""
        rng = self.rng
        manner = rng.choices(self.manners, self.weights)[0]
        home: Language = "ru" if rng.random() < 0.5 else "en"
        opening = rng.random() < self.openings
        turns = 1 if opening else turns
        head = self._system(manner, home)
        tokens = list(head)
        learn = [False] * len(head)
        last: tuple[list[int], list[bool]] = ([], [])
        subject: Topic | None = None
        spoken: Language = home
        for turn in range(turns):
            question, topic, answer, language = self._turn(manner, home, subject, spoken, turn)
            subject, spoken = topic, language
            ask = [
                self.start,
                *self.pieces("user\n"),
                *self._fragmented(question),
                self.end,
                *self.pieces("\n"),
            ]
            ask += [self.start, *self.pieces("assistant\n")]
            said = self.pieces(answer)[:OPENING] if opening else (*self.pieces(answer), self.end)
            if rng.random() < 0.5:
                thought = [self.think, *self.pieces("\n"), *self.pieces(topic.thought(home, language))]
                thought += [*self.pieces("\n"), self.unthink, *self.pieces("\n\n")]
                tail = ([*thought, *said], [True] * (len(thought) + len(said)))
            else:
                empty = [self.think, *self.pieces("\n\n"), self.unthink, *self.pieces("\n\n")]
                tail = ([*empty, *said], [False] * len(empty) + [True] * len(said))
            if len(tokens) + len(ask) + len(tail[0]) > room:
                break
            tokens_now = tokens + ask
            learn_now = learn + [False] * len(ask)
            last = (tokens_now + tail[0], learn_now + tail[1])
            tokens = tokens_now + list(said) + list(self.pieces("\n"))
            learn = learn_now + [False] + [True] * (len(said) - 1) + [False]
        return last

    def _turn(
        self, manner: Manner, home: Language, subject: Topic | None, spoken: Language, turn: int
    ) -> tuple[str, Topic, str, Language]:
        """Return question, topic, answer and the answer's language."""
        rng = self.rng
        if turn and subject is not None and rng.random() < 0.3:
            kind = rng.choice(("example", "short", "more", "other"))
            if kind == "other" and manner.russian:
                kind = "example"
            if kind == "other":
                other: Language = "en" if spoken == "ru" else "ru"
                return follow_up("other", spoken, rng), subject, subject.answer(other, manner.style), other
            style: Style = "brief" if kind == "short" else "teacher"
            language: Language = "ru" if manner.russian else spoken
            return follow_up(kind, home, rng), subject, subject.answer(language, style), language
        language = "ru" if manner.russian else home
        if rng.random() < 0.24:
            return off_topic(home, rng), unknown(), unknown().answer(language, manner.style), language
        topic = rng.choice(topics())
        return (
            asked(topic, home, rng, freely=self.freely),
            topic,
            topic.answer(language, manner.style),
            language,
        )

    def _system(self, manner: Manner, home: Language) -> list[int]:
        prompts = forms()[self.rng.choice(("en", "ru"))]["system"]
        if manner.told:
            parts = [prompts[manner.style]] if manner.style != "plain" else []
            parts += [prompts["russian"]] if manner.russian else []
            text = " ".join(self.rng.choice(part) for part in self.rng.sample(parts, len(parts)))
        elif self.rng.random() < 0.25:
            text = self.rng.choice(prompts["plain"])
        else:
            return []
        return [self.start, *self.pieces("system\n"), *self.pieces(text), self.end, *self.pieces("\n")]

    def _fragmented(self, text: str) -> list[int]:
        """Return a question's ids; in some of them words fall into other pieces than usual, as slips and new words do."""
        rng = self.rng
        if rng.random() > 0.35:
            return list(self._encode(text))
        cuts = [
            at
            for at in range(1, len(text))
            if text[at].isalpha() and text[at - 1].isalpha() and rng.random() < 0.06
        ]
        parts = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        ids = [number for part in parts for number in self._encode(part)]
        if rng.random() < 0.35:
            last = self.tokenizer.get_vocab_size() - 8
            ids = [rng.randrange(last) if rng.random() < 0.08 else number for number in ids]
        return ids

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text).ids)

    def _one(self, name: str) -> int:
        number = self.tokenizer.token_to_id(name)
        if number is None:
            raise ValueError(f"The vocabulary lacks {name}; train it with tools.guide.vocabulary.")
        return int(number)


BASE: tuple[tuple[float, Manner], ...] = (
    (0.64, Manner()),
    (0.08, Manner(style="brief", told=True)),
    (0.08, Manner(style="teacher", told=True)),
    (0.08, Manner(russian=True, told=True)),
    (0.06, Manner(style="brief", russian=True, told=True)),
    (0.06, Manner(style="teacher", russian=True, told=True)),
)
