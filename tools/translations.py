"""Keeps the Russian catalogue in step with the source.

    tools/translations.py update     take new and changed phrases into ru/LC_MESSAGES/pult.po
    tools/translations.py compile    write pult.mo
    tools/translations.py check      fail if anything is missing, fuzzy, stale or has other {values} than the source
    tools/translations.py missing    print what is not translated yet

Phrases are `tr`, `ntr` and `mark` in app/ui, the words of the settings table, the sentence templates of errors
anywhere in app/, the notes the service sends, what an unreadable file is, and the reasons of the shipped presets.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resources" / "translations" / "ru" / "LC_MESSAGES"
PO, MO = FOLDER / "pult.po", FOLDER / "pult.mo"
KEYWORDS = {"tr": None, "ntr": (1, 2), "mark": None}
PRESETS = ROOT / "presets"
NOTE_MAKERS = ("_why_not", "note")  # functions that return a note
RELOADING = "Experts per token change by loading again: {reason}."
TABLE_WORDS = ("label", "changes", "belief", "automatic", "unit", "detail")
SENTENCE = re.compile(r"[A-ZА-Я“{].*\.", re.DOTALL)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
Id = str | tuple[str, str]


@dataclass
class Phrases:
    """Every phrase found, with the files it stands in."""

    places: dict[Id, set[str]] = field(default_factory=dict)

    def add(self, phrase: Id, path: Path) -> None:
        self.places.setdefault(phrase, set()).add(path.relative_to(ROOT).as_posix())


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "_bundled" not in path.parts)


def constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def error_classes() -> set[str]:
    """Return the names of PultError and all classes derived from it, wherever in app/ they stand."""
    bases: dict[str, set[str]] = {}
    for path in sources("app"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    found = {"PultError"}
    while more := {name for name, parents in bases.items() if parents & found} - found:
        found |= more
    return found


def templates(tree: ast.AST, errors: set[str]) -> Iterator[str]:
    """Yield the sentence templates of errors: what is given to an error's class, and constants that read like one.

    Templates also stand in tables and in conditions, far from the call; a constant that starts like a sentence, ends
    like one and holds a {value} is taken for a template.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in errors and node.args:
            yield from strings(node.args[0])
    inside_f_strings = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in inside_f_strings | docstrings:
            text = constant(node)
            if text and SENTENCE.fullmatch(text) and PLACEHOLDER.search(text):
                yield text


def strings(node: ast.expr) -> Iterator[str]:
    if (text := constant(node)) is not None:
        yield text
    elif isinstance(node, ast.IfExp):
        yield from strings(node.body)
        yield from strings(node.orelse)


def doing_words(tree: ast.AST) -> Iterator[str]:
    """Yield the words for what an engine was doing when it ended (`DOING` in the obituary)."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
            continue
        if any(isinstance(target, ast.Name) and target.id == "DOING" for target in node.targets):
            for value in node.value.values:
                yield from strings(value)


def refused_values(tree: ast.AST) -> Iterator[str]:
    """Yield the sentences `Setting._bad` composes in app/shared/settings.py."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) == "_bad" and len(node.args) > 1:
            for what in strings(node.args[1]):
                yield "{label} is {value}. " + what + "."


def targets(node: ast.Assign) -> Iterator[str]:
    """Yield the names and attributes assigned to."""
    for target in node.targets:
        for part in target.elts if isinstance(target, ast.Tuple) else (target,):
            if isinstance(part, ast.Name | ast.Attribute):
                yield part.id if isinstance(part, ast.Name) else part.attr


def constants(node: ast.expr | None) -> Iterator[str]:
    """Yield the texts a value may be, in conditions, alternatives, tuples and tables too."""
    match node:
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            for value in values:
                yield from constants(value)
        case ast.Dict(values=entries):
            for entry in entries:
                yield from constants(entry)
        case ast.expr():
            yield from strings(node)


def notes(tree: ast.AST) -> Iterator[str]:
    """Yield the sentences the service sends as notes: on the GPUs, the sampler, the switch of experts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            name.lower().endswith(("note", "notes")) for name in targets(node)
        ):
            found = constants(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in NOTE_MAKERS:
            returned = (part.value for part in ast.walk(node) if isinstance(part, ast.Return))
            found = (text for value in returned for text in constants(value))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found = (
                text
                for key, value in pairs
                if (constant(key) or "").endswith("_note")
                for text in constants(value)
            )
        else:
            continue
        yield from (text for text in found if SENTENCE.fullmatch(text))


def switch_reasons(tree: ast.AST) -> Iterator[str]:
    """Yield why the number of experts cannot be switched live, as `LiveExperts.note` says it, and by itself."""
    for node in ast.walk(tree):
        found: Iterator[str] = iter(())
        if isinstance(node, ast.Call) and called(node) == "SwitchRefused" and node.args:
            found = strings(node.args[0])
        elif isinstance(node, ast.keyword) and node.arg == "reason":
            found = strings(node.value)
        elif isinstance(node, ast.Assign) and "reason" in targets(node):
            found = constants(node.value)
        for reason in found:
            if reason:
                yield reason
                yield RELOADING.format(reason=reason)


def kinds_of_file(tree: ast.AST) -> Iterator[str]:
    """Yield what a file that is no model may be."""
    for node in ast.walk(tree):
        assigned = isinstance(node, ast.Assign) and {"what", "kind"} & set(targets(node))
        given = isinstance(node, ast.keyword) and node.arg in ("what", "kind")
        if (assigned or given) and isinstance(node, ast.Assign | ast.keyword):
            yield from strings(node.value)


def preset_reasons(path: Path) -> Iterator[str]:
    description = tomllib.loads(path.read_text(encoding="utf-8")).get("description")
    if isinstance(description, str) and description:
        yield description


def table_words(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                text = constant(keyword.value)
                if keyword.arg in TABLE_WORDS and text and re.search(r"[A-Za-z]{2}", text):
                    yield text


def extract() -> Phrases:
    """Return every phrase to be translated."""
    phrases = Phrases()
    for path in sources("app/ui"):
        for _line, message, _comments, _context in extract_from_file("python", str(path), keywords=KEYWORDS):
            phrase = message if isinstance(message, str) else tuple(message[:2])
            if phrase:
                phrases.add(phrase, path)
    errors = error_classes()
    for path in sources("app"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for text in templates(tree, errors):
            phrases.add(text, path)
        if path.name.startswith("settings_table"):
            for text in table_words(tree):
                phrases.add(text, path)
        if path.name == "obituary.py":
            for text in doing_words(tree):
                phrases.add(text, path)
        if path.name == "settings.py":
            for text in refused_values(tree):
                phrases.add(text, path)
        if path.is_relative_to(ROOT / "app" / "service"):
            for text in notes(tree):
                phrases.add(text, path)
        if path.name in ("live_experts.py", "experts_findings.py"):
            for text in switch_reasons(tree):
                phrases.add(text, path)
        if path.name == "gguf_header.py":
            for text in kinds_of_file(tree):
                phrases.add(text, path)
    for path in sorted(PRESETS.glob("*.toml")):
        for text in preset_reasons(path):
            phrases.add(text, path)
    return phrases


def read(path: Path) -> Catalog:
    with path.open("rb") as stream:
        return read_po(stream, locale="ru", domain="pult")


def messages(catalog: Catalog) -> dict[Id, Message]:
    return {
        tuple(message.id) if isinstance(message.id, list) else message.id: message
        for message in catalog
        if message.id
    }


def key_of(phrase: Id) -> str:
    return phrase if isinstance(phrase, str) else phrase[0]


def update() -> int:
    known = messages(read(PO)) if PO.exists() else {}
    by_key = {key_of(phrase): message for phrase, message in known.items()}
    fresh = Catalog(locale="ru", domain="pult", project="Pult", version="", charset="utf-8")
    fresh.fuzzy = False
    fresh.header_comment = "# Russian words of Pult."
    phrases = extract()
    for phrase in sorted(phrases.places, key=key_of):
        before = by_key.get(key_of(phrase))
        kept = (
            before.string
            if before is not None and isinstance(before.id, tuple) == isinstance(phrase, tuple)
            else None
        )
        fresh.add(phrase, kept, locations=[(place, 0) for place in sorted(phrases.places[phrase])])
    FOLDER.mkdir(parents=True, exist_ok=True)
    with PO.open("wb") as stream:
        write_po(stream, fresh, width=110, include_lineno=False, omit_header=False)
    # The times Babel writes would change the file on every run.
    text = PO.read_text(encoding="utf-8")
    PO.write_text(
        re.sub(r'"(POT-Creation-Date|PO-Revision-Date|Generated-By): [^"]*"\n', "", text), encoding="utf-8"
    )
    print(f"{len(phrases.places)} phrases, {len(untranslated(read(PO)))} to translate")
    return 0


def untranslated(catalog: Catalog) -> list[Id]:
    missing: list[Id] = []
    for phrase, message in messages(catalog).items():
        if not said(message) or not all(said(message)):
            missing.append(phrase)
    return missing


def compile_catalogue() -> int:
    with MO.open("wb") as stream:
        write_mo(stream, read(PO))
    print(f"{MO.relative_to(ROOT)}: {MO.stat().st_size:,} bytes")
    return 0


def said(message: Message) -> tuple[str, ...]:
    """Return the translation, its plural forms in order."""
    return (message.string,) if isinstance(message.string, str) else tuple(message.string)


def wrong_values(message: Message) -> bool:
    """Whether a translation lacks a {value} of its source or has one more."""
    sourced = (message.id,) if isinstance(message.id, str) else tuple(message.id)
    allowed = {frozenset(PLACEHOLDER.findall(text)) for text in sourced}
    return any(frozenset(PLACEHOLDER.findall(text)) not in allowed for text in said(message) if text)


def problems() -> list[str]:
    """Return what is wrong with the catalogue, one line each."""
    if not PO.exists() or not MO.exists():
        return ["the catalogue is missing; run tools/translations.py update and compile"]
    catalog = read(PO)
    known, found = messages(catalog), extract().places
    wrong = [f"not in pult.po: {key_of(phrase)!r}" for phrase in found if phrase not in known]
    wrong += [f"no longer in the source: {key_of(phrase)!r}" for phrase in known if phrase not in found]
    wrong += [f"not translated: {key_of(phrase)!r}" for phrase in untranslated(catalog)]
    wrong += [f"fuzzy: {key_of(phrase)!r}" for phrase, message in known.items() if message.fuzzy]
    wrong += [
        f"other values than its source: {key_of(p)!r}"
        for p, message in known.items()
        if wrong_values(message)
    ]
    with MO.open("rb") as stream:
        compiled = {key_of(p): said(message) for p, message in messages(read_mo(stream)).items()}
    written = {key_of(p): said(message) for p, message in known.items() if p not in untranslated(catalog)}
    if compiled != written:
        wrong.append("pult.mo is not made from pult.po; run tools/translations.py compile")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("update", "compile", "check", "missing"))
    match parser.parse_args().command:
        case "update":
            return update()
        case "compile":
            return compile_catalogue()
        case "missing":
            for phrase in untranslated(read(PO)):
                print(repr(phrase))
            return 0
    found = problems()
    print("\n".join(found) if found else "The Russian catalogue is complete.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
