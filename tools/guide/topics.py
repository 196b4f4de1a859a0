"""What the guide knows: the corpus files as checked topics, the three styles of an answer, and the test for key facts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

CORPUS = Path(__file__).with_name("corpus")
ROOMS = ("settings", "terms", "window", "compare", "talk")
UNKNOWN = "unknown"

Language = Literal["en", "ru"]
Style = Literal["plain", "brief", "teacher"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A topic in one language: how people name it and ask for it, and what the guide says."""

    names: tuple[str, ...] = ()
    about: tuple[str, ...] = ()  # Russian prepositional, preposition included
    do: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    say: tuple[str, ...] = ()
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()
    free: tuple[str, ...] = ()  # whole questions in people's own words, drawn by `asked(freely=...)`
    held: tuple[str, ...] = ()  # written by hand and never trained on
    thought: str = ""
    says: str
    brief: str
    example: str


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One thing the guide can explain. `facts`: each must stand in a right answer; "a|b" allows either."""

    name: str
    room: str
    facts: dict[Language, tuple[str, ...]]
    sides: dict[Language, Side]

    def answer(self, language: Language, style: Style = "plain") -> str:
        """Return the whole answer in this style."""
        side = self.sides[language]
        if style == "brief":
            return side.brief
        return side.says if style == "plain" else f"{side.says} {side.example}"

    def thought(self, question: Language, answer: Language) -> str:
        """Return the one-sentence thought, in the language of the answer."""
        side = self.sides[answer]
        if side.thought:
            return side.thought
        if side.a:
            first, second = side.a[0], side.b[0]
            return (
                f"They ask how {first} and {second} differ."
                if answer == "en"
                else f"Спрашивают о разнице между {first} и {second}."
            )
        if self.room == "window" and side.do:
            return f"They want to {side.do[0]}." if answer == "en" else f"Хотят {side.do[0]}."
        return f"The question is about {side.names[0]}." if answer == "en" else f"Вопрос: {side.names[0]}."

    def right(self, text: str, language: Language, *, style: Style = "plain") -> bool:
        """Say whether `text` holds this topic's key facts; a brief answer needs only the first one."""
        facts = self.facts[language][:1] if style == "brief" else self.facts[language]
        low = text.lower()
        return all(any(word.lower() in low for word in fact.split("|")) for fact in facts)


@lru_cache(maxsize=1)
def topics() -> tuple[Topic, ...]:
    """Read every topic of the corpus, in file order."""
    found: list[Topic] = []
    more, longer, free = read("asks"), read("asks_longer"), read("asks_free")
    for room in ROOMS:
        for name, entry in read(room).items():
            for language in LANGUAGES:
                side = entry[language]
                whole = "say" if "say" in side else "ask"
                side[whole] = [*side.get(whole, ()), *more[name][language], *longer[name][language]]
                side["free"] = free.get(name, {}).get(language, ())
            found.append(_topic(name, room, entry))
    return tuple(found)


@lru_cache(maxsize=1)
def unknown() -> Topic:
    """The answer to everything else."""
    return _topic(UNKNOWN, "talk", read("offtopic")["answer"])


def read(name: str) -> dict[str, Any]:
    """Read one corpus file."""
    return tomllib.loads((CORPUS / f"{name}.toml").read_text("utf-8"))


def _topic(name: str, room: str, entry: dict[str, Any]) -> Topic:
    sides: dict[Language, Side] = {}
    for language in LANGUAGES:
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry[language].items()
        }
        sides[language] = Side(**fields)
    return Topic(
        name=name,
        room=room,
        facts={"en": tuple(entry["facts"]), "ru": tuple(entry["facts_ru"])},
        sides=sides,
    )
