"""Questions people might type: forms filled with names, slips of the keyboard, and subjects the guide does not know.

Two sets never meet: `asked` draws what training sees, `held_out` lists what only the evaluation sees.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tools.guide.topics import Language, Side, Topic, read, topics

_SYLLABLES = {
    "en": (
        "bla",
        "zor",
        "pim",
        "tek",
        "quo",
        "ran",
        "lis",
        "mev",
        "dro",
        "fip",
        "gul",
        "har",
        "wex",
        "ny",
        "osk",
        "tru",
        "vel",
        "sna",
    ),
    "ru": (
        "бру",
        "зор",
        "пим",
        "тек",
        "кво",
        "лис",
        "мев",
        "дро",
        "фип",
        "гул",
        "хар",
        "векс",
        "ны",
        "оск",
        "тру",
        "вел",
        "сна",
        "шур",
    ),
}
_LETTERS = {"en": "abcdefghijklmnopqrstuvwxyz", "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя"}


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One question of the evaluation. `kind`: form, typo, hand (written by hand), off_topic; `topic` None: to be declined."""

    kind: str
    language: Language
    topic: Topic | None
    text: str


@lru_cache(maxsize=1)
def forms() -> dict[str, Any]:
    """The forms of questions, follow-ups and system prompts."""
    return read("forms")


@lru_cache(maxsize=1)
def _words() -> dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Ordinary words by language and list: those for training, those kept back."""
    return {
        language: {
            name: (
                tuple(word for word in text.split() if not _kept_back(word)),
                tuple(word for word in text.split() if _kept_back(word)),
            )
            for name, text in lists.items()
        }
        for language, lists in read("words").items()
    }


@lru_cache(maxsize=1)
def _off_topic() -> dict[str, Any]:
    return read("offtopic")


def asked(topic: Topic, language: Language, rng: random.Random, *, freely: float = 0.15) -> str:
    """Return a question for training about this topic; `freely` is the share in people's own words."""
    side = topic.sides[language]
    if side.free and rng.random() < freely:
        text = rng.choice(side.free)
        if rng.random() < 0.2:
            text = str(rng.choice(forms()[language]["whole"]["train"]).format(q=text))
        return dressed(_loose(text, rng) if rng.random() < 0.25 else text, rng, language)
    draw = rng.random()
    if draw < 0.12:
        text = _keywords(side, language, rng)
    elif draw < 0.35 and (side.names or side.do):
        text = _composed(side.names, side.do, language, rng)
    elif draw < 0.47 and side.names:
        text = _surrounded(rng.choice(side.names), language, rng)
    else:
        text = _worded(side, language, "train", rng)
    return dressed(_loose(text, rng) if rng.random() < 0.2 else text, rng, language)


def off_topic(language: Language, rng: random.Random, *, held: bool = False) -> str:
    """Return a question the guide should decline; `held` draws only from subjects and forms never trained on."""
    part = "held" if held else "train"
    lists = _off_topic()[language]

    def one(name: str) -> str:
        return rng.choice([text for text in lists[name] if _kept_back(text) == held])

    if not held and rng.random() < 0.15:
        return dressed(rng.choice(lists["everyday"]), rng, language)
    draw = rng.random()
    if draw < 0.3:
        return dressed(_ordinary(language, rng, held), rng, language, plain=held)
    if draw < 0.4 and not held:
        lists = _off_topic()[language]
        names = tuple(text for text in (*lists["things"], *lists["people"]) if not _kept_back(text))
        actions = tuple(text for text in lists["activities"] if not _kept_back(text))
        return dressed(_composed((rng.choice(names),), (rng.choice(actions),), language, rng), rng, language)
    if draw < 0.43:
        name = rng.choice(
            rng.choice([topic for topic in topics() if topic.sides[language].names]).sides[language].names
        )
        return dressed(rng.choice(_off_topic()[language]["twists"]).format(x=name), rng, language, plain=held)
    if draw < 0.66:
        thing = one("things") if rng.random() < 0.62 or held else _nonsense(language, rng)
        if rng.random() < 0.2:
            thing = one("people")
        return dressed(rng.choice(forms()[language]["name"][part]).format(x=thing), rng, language, plain=held)
    if draw < 0.81:
        action = one("activities")
        return dressed(rng.choice(forms()[language]["do"][part]).format(do=action), rng, language, plain=held)
    whole = one("whole").format(place=one("places"), person=one("people"), thing=one("things"))
    return dressed(rng.choice(forms()[language]["whole"][part]).format(q=whole), rng, language, plain=held)


def held_out(*, seed: int = 20, per_topic: int = 3, off_topic_count: int = 200) -> tuple[HeldOut, ...]:
    """List the evaluation's questions: per topic and language some held forms, one with a slip, all written by hand."""
    rng = random.Random(seed)
    found: list[HeldOut] = []
    for language in ("en", "ru"):
        for topic in topics():
            side = topic.sides[language]
            seen: set[str] = set()
            while len(seen) < per_topic and not side.say:
                seen.add(_sentence(_worded(side, language, "held", rng), language))
            found += [
                HeldOut(kind="form", language=language, topic=topic, text=text) for text in sorted(seen)
            ]
            slip = _slip(_sentence(_worded(side, language, "held", rng), language), rng, language)
            found.append(HeldOut(kind="typo", language=language, topic=topic, text=slip))
            found += [
                HeldOut(kind="hand", language=language, topic=topic, text=_sentence(text, language))
                for text in side.held
            ]
        refused: set[str] = set()
        while len(refused) < off_topic_count // 2:
            refused.add(off_topic(language, rng, held=True))
        found += [
            HeldOut(kind="off_topic", language=language, topic=None, text=text) for text in sorted(refused)
        ]
    return tuple(found)


def follow_up(kind: str, language: Language, rng: random.Random) -> str:
    """Return a short follow-up for training: example, short, more or other (the other language)."""
    return str(rng.choice(forms()[language]["follow"][kind]))


def dressed(text: str, rng: random.Random, language: Language, *, plain: bool = False) -> str:
    """Return the question as typed: capitals, full stops and slips come and go."""
    if plain:
        return _sentence(text, language)
    draw = rng.random()
    if draw < 0.45:
        text = _sentence(text, language)
    elif draw < 0.6:
        text = _sentence(text, language).rstrip("?.")
    elif draw < 0.9:
        text = text if rng.random() < 0.7 else text.lower()
        text += rng.choice(("", "", "?", "??", "."))
    elif draw < 0.93:
        text = text.upper()
    else:
        text = text + rng.choice((" ?", "...", "!", " )"))
    for chance in (0.3, 0.25):
        if rng.random() < chance:
            text = _slip(text, rng, language)
    return text


def _keywords(side: Side, language: Language, rng: random.Random) -> str:
    """Return a search-box question: the telling words of one or two wordings, in any order."""
    texts = [text for group in (side.do, side.ask, side.ask, side.say, side.names) for text in group]
    common = set(_off_topic()[language]["common"])
    words = [
        word.strip("?!.,")
        for text in rng.sample(texts, min(2, len(texts)))
        for word in text.split()
        if word.lower() not in common
    ]
    words = list(dict.fromkeys(words))
    if len(words) < 2:
        return rng.choice(texts)
    if rng.random() < 0.5:
        rng.shuffle(words)
    return " ".join(words[: rng.randint(2, 6)])


def _composed(names: tuple[str, ...], do: tuple[str, ...], language: Language, rng: random.Random) -> str:
    """Return a lead, a name or an infinitive, and a tail; never one of the held forms."""
    parts = forms()[language]["parts"]
    while True:
        kind = "do" if do and (not names or rng.random() < 0.4) else "name"
        lead, tail = rng.choice(parts[f"{kind}_lead"]), rng.choice(parts[f"{kind}_tail"])
        form = " ".join(word for word in (lead, "{do}" if kind == "do" else "{x}", tail) if word)
        if form not in forms()[language][kind]["held"]:
            return str(form.format(x=rng.choice(names or ("",)), do=rng.choice(do or ("",))))


def _surrounded(name: str, language: Language, rng: random.Random) -> str:
    """Return a name among words that mean nothing: what matters is the name, however it is asked about."""
    verbs = _words()[language]["verbs"][0]

    def noise() -> str:
        return _nonsense(language, rng).lower() if rng.random() < 0.6 else rng.choice(verbs)

    before = [noise() for _ in range(rng.randint(0, 3))]
    after = [noise() for _ in range(rng.randint(0 if before else 1, 2))]
    opening = ["what" if language == "en" else "что"] if rng.random() < 0.5 else []
    return " ".join([*opening, *before, name, *after])


def _loose(text: str, rng: random.Random) -> str:
    """Return the text with one word left out or two neighbours swapped."""
    words = text.split()
    if len(words) < 4:
        return text
    at = rng.randrange(len(words) - 1)
    if rng.random() < 0.6:
        short = [place for place, word in enumerate(words) if len(word) <= 4]
        del words[rng.choice(short) if short else at]
    else:
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _worded(side: Side, language: Language, part: str, rng: random.Random) -> str:
    """Fill one form; the kinds of form the topic allows are drawn by how many wordings they give."""
    table = forms()[language]
    if side.say:
        text = rng.choice(side.say if part == "train" else side.held)
        wrapped = rng.random() < 0.15
        return (
            str(rng.choice(table["whole"]["train"]).format(q=text)) if wrapped and part == "train" else text
        )
    kinds: list[str] = []
    kinds += ["name"] * 4 * bool(side.names) + ["about"] * bool(side.about) + ["do"] * 3 * bool(side.do)
    kinds += ["whole"] * 5 * bool(side.ask) + ["compare"] * 4 * bool(side.a)
    if part == "held":
        kinds = [kind for kind in kinds if kind != "whole"] or ["whole"]
    kind = rng.choice(kinds)
    form = str(rng.choice(table[kind][part]))
    if kind == "whole":
        return form.format(q=rng.choice(side.ask))
    if kind == "compare":
        first, second = rng.choice(side.a), rng.choice(side.b)
        if rng.random() < 0.35:
            first, second = second, first
        return form.format(a=first, b=second)
    if kind == "do":
        return form.format(do=rng.choice(side.do))
    return (
        form.format(about=rng.choice(side.about))
        if kind == "about"
        else form.format(x=rng.choice(side.names))
    )


def _sentence(text: str, language: Language) -> str:
    """Return the text with a capital and a final mark."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in "?!." else text + "?"


def _slip(text: str, rng: random.Random, language: Language) -> str:
    """Return the text with one slip of the keyboard in a word of five letters or more, so that short names stay telling."""
    words = text.split(" ")
    long = [
        place
        for place, word in enumerate(words)
        if sum(map(str.isalpha, word)) >= 5 and not any(map(str.isdigit, word))
    ]
    if not long:
        return text
    place = rng.choice(long)
    word = words[place]
    at = rng.randrange(1, len(word) - 1)
    draw = rng.random()
    if draw < 0.35:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif draw < 0.65:
        word = word[:at] + word[at + 1 :]
    elif draw < 0.8:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + rng.choice(_LETTERS[language]) + word[at + 1 :]
    words[place] = word
    return " ".join(words)


def _ordinary(language: Language, rng: random.Random, held: bool) -> str:
    """Return a question about ordinary things, put together at random."""
    lists = _words()[language]

    def word(name: str) -> str:
        return rng.choice(lists[name][held])

    form = rng.choice(_off_topic()[language]["mixtures"])
    return str(
        form.format(
            n=word("nouns"),
            m=word("nouns"),
            v=word("verbs"),
            a=word("adjectives"),
            z=_nonsense(language, rng),
        )
    )


def _nonsense(language: Language, rng: random.Random) -> str:
    """Return a word that does not exist, so that an unknown word alone means: decline."""
    word = "".join(rng.choice(_SYLLABLES[language]) for _ in range(rng.randint(2, 4)))
    article = rng.choice(("", "", "a ", "the ")) if language == "en" else ""
    return article + (word.capitalize() if rng.random() < 0.3 else word)


def _kept_back(text: str) -> bool:
    """Whether a subject belongs to the evaluation: a fifth of each list, by a hash that does not depend on order."""
    return hashlib.sha256(text.encode()).digest()[0] % 5 == 0
