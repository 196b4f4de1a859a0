"""The models a person may choose from: the guide, files opened before, files in watched folders, and remote servers.

Headers are read once for each state of a file. Folders are walked on a thread of their own, because a network drive may
take its time; whoever listens is told when that found something.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.models.card import ModelCard, model_card, read_card
from app.models.gguf_header import is_later_part, split_parts
from app.service.models_file import KnownModels, OpenedModel, change_known, read_known
from app.shared import paths
from app.shared.engine import RemoteServer
from app.shared.errors import BadRequest, BadValue, NotFound, StorageFailed
from app.shared.events import Event, ModelsChanged
from app.shared.settings import ModelFacts

SCAN_AGAIN_SECONDS = 30.0
MOST_FILES = 2000
MOST_DEPTH = 6
MOST_OPENED = 200


class ModelLibrary:
    """Known models and servers. Safe from any thread."""

    def __init__(self, *, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._lock = threading.Lock()
        self._cards: dict[Path, tuple[tuple[int, int], ModelCard]] = {}
        self._found: tuple[Path, ...] = ()  # in watched folders
        self._scanned_at: float | None = None
        self._scan: threading.Thread | None = None
        self._closing = threading.Event()

    def cards(self) -> tuple[ModelCard, ...]:
        """Return the guide first, then files opened before (latest first), then files found in watched folders.

        Folders are walked again in the background when that was long ago; `ModelsChanged` follows if they changed. A file
        opened before that is gone now is still there, with its `problem`.
        """
        known = read_known()
        if known.folders:
            self._scan_if_old()
        guide = paths.guide_model()
        cards: dict[Path, ModelCard] = {}
        if guide.is_file():
            cards[guide] = self._card(guide, known)
        for opened in sorted(known.opened, key=lambda each: -each.opened_at):
            path = Path(opened.path)
            cards.setdefault(path, self._card(path, known))
        with self._lock:
            found = self._found
        for path in found:
            if path not in cards and path.is_file():
                cards[path] = self._card(path, known)
        return tuple(cards.values())

    def inspect(self, path: str | Path) -> ModelCard:
        """Return the card of any file, read now; what is wrong with it stands in `problem`."""
        return self._card(_absolute(path), read_known())

    def facts(self, path: str | Path) -> ModelFacts:
        """Return what the settings table asks of the model; raises `ModelFileMissing` or `ModelUnreadable`."""
        full = _absolute(path)
        card = self._card(full, KnownModels())
        return card.facts() if card.problem is None else read_card(full).facts()

    def opened(self, path: str | Path) -> None:
        """Remember that this file was opened now."""
        full = str(_absolute(path))
        if Path(full) == paths.guide_model():
            return

        def change(known: KnownModels) -> KnownModels:
            others = [each for each in known.opened if each.path != full]
            latest = [OpenedModel(path=full, opened_at=time.time()), *others][:MOST_OPENED]
            return known.model_copy(update={"opened": tuple(latest)})

        change_known(change)
        self._publish(ModelsChanged())

    def forget(self, path: str | Path) -> None:
        """Take a file off the list of those opened; the file itself stays."""
        full = str(_absolute(path))

        def change(known: KnownModels) -> KnownModels:
            kept = tuple(each for each in known.opened if each.path not in (full, str(path)))
            return known.model_copy(update={"opened": kept})

        change_known(change)
        self._publish(ModelsChanged())

    def folders(self) -> tuple[str, ...]:
        """Return the watched folders."""
        return read_known().folders

    def set_folders(self, folders: Sequence[str]) -> tuple[str, ...]:
        """Watch exactly these folders; raises `BadRequest` for one that is not there."""
        full = [_absolute(folder) for folder in folders]
        for folder in full:
            if not folder.is_dir():
                raise BadRequest("There is no folder {path}. Choose another one.", path=str(folder))
        told = tuple(dict.fromkeys(str(folder) for folder in full))
        change_known(lambda known: known.model_copy(update={"folders": told}))
        with self._lock:
            self._scanned_at = None
            self._found = tuple(
                path for path in self._found if any(path.is_relative_to(each) for each in full)
            )
        self._publish(ModelsChanged())
        self._scan_if_old()
        return told

    def remotes(self) -> tuple[RemoteServer, ...]:
        """Return the saved servers, keys included: they are for the engine, on this machine."""
        return read_known().remotes

    def save_remote(self, server: RemoteServer) -> RemoteServer:
        """Keep a server under its name, replacing the one of that name."""
        name = server.name.strip()
        if not name or len(name) > 80:
            raise BadValue("A server's name has 1 to 80 characters.", key="name")
        if not server.url.startswith(("http://", "https://")):
            raise BadValue(
                "The server's address is {url}. It begins with http:// or https:// and ends with /v1.",
                key="url",
                url=server.url[:200],
            )
        kept = server.model_copy(update={"name": name})

        def change(known: KnownModels) -> KnownModels:
            others = [each for each in known.remotes if each.name != name]
            return known.model_copy(update={"remotes": (*others, kept)})

        change_known(change)
        self._publish(ModelsChanged())
        return kept

    def remove_remote(self, name: str) -> None:
        """Forget a server; raises `NotFound`."""
        if all(each.name != name for each in self.remotes()):
            raise NotFound("No remote server named {name} is saved.", name=name)
        change_known(
            lambda known: known.model_copy(
                update={"remotes": tuple(each for each in known.remotes if each.name != name)}
            )
        )
        self._publish(ModelsChanged())

    def close(self, *, patience_seconds: float = 2.0) -> None:
        """Stop walking folders."""
        self._closing.set()
        scan = self._scan
        if scan is not None:
            scan.join(patience_seconds)

    def _card(self, path: Path, known: KnownModels) -> ModelCard:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except (OSError, ValueError):
            stamp = (0, 0)
        with self._lock:
            kept = self._cards.get(path)
        if kept is not None and kept[0] == stamp and kept[1].problem is None and kept[1].parts == 1:
            card = kept[1]
        else:
            card = model_card(path)
            with self._lock:
                self._cards[path] = (stamp, card)
        opened_at = next((each.opened_at for each in known.opened if each.path == str(path)), None)
        return card.model_copy(
            update={
                "guide": path == paths.guide_model(),
                "opened_at": opened_at,
                "default_preset": known.defaults.get(str(path)),
            }
        )

    def _folders_are(self, folders: tuple[str, ...]) -> bool:
        try:
            return read_known().folders == folders
        except StorageFailed:
            return True

    def _scan_if_old(self) -> None:
        with self._lock:
            fresh = self._scanned_at is not None and time.monotonic() - self._scanned_at < SCAN_AGAIN_SECONDS
            if fresh or self._closing.is_set() or (self._scan is not None and self._scan.is_alive()):
                return
            self._scanned_at = time.monotonic()
            self._scan = threading.Thread(target=self._walk, name="model folders", daemon=True)
            self._scan.start()

    def _walk(self) -> None:
        while True:
            try:
                folders = read_known().folders
            except StorageFailed:
                return  # said to whoever asks for the cards
            found: list[Path] = []
            for folder in folders:
                for path in _gguf_files(Path(folder)):
                    found.append(path)
                    if self._closing.is_set():
                        return
                    if len(found) >= MOST_FILES:
                        break
            unique = tuple(dict.fromkeys(found[:MOST_FILES]))
            if self._folders_are(folders):  # else they were changed meanwhile: once more
                break
        with self._lock:
            changed, self._found = unique != self._found, unique
        if changed:
            self._publish(ModelsChanged())


def _gguf_files(folder: Path) -> Iterator[Path]:
    """Yield GGUF files below `folder`, the first part only of split ones; folders that cannot be read are passed over."""
    base = len(folder.parts)
    for root, inside, files in os.walk(folder):
        here = Path(root)
        inside[:] = sorted(name for name in inside if len(here.parts) - base < MOST_DEPTH)
        for name in sorted(files):
            path = here / name
            if name.lower().endswith(".gguf") and not is_later_part(path):
                yield path


def _absolute(path: str | Path) -> Path:
    """The file meant; of a split model its first part."""
    full = Path(path).expanduser().absolute()
    return split_parts(full)[0] if is_later_part(full) else full
