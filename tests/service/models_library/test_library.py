"""The library: what was opened, what folders hold, what is forgotten, whose keys are safe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.service.models import ModelLibrary
from app.service.preferences import Preferences
from app.shared import paths
from app.shared.engine import RemoteServer
from app.shared.errors import BadRequest, BadValue, ModelFileMissing, NotFound, StorageFailed
from app.shared.events import Event
from tests.models_for_tests import tiny_moe


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def library(told: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelLibrary]:
    monkeypatch.setattr(paths, "guide_model", lambda: tmp_path / "guide.gguf")
    made = ModelLibrary(publish=told.append)
    yield made
    made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_guide_comes_first_then_what_was_opened_last(library: ModelLibrary, tmp_path: Path) -> None:
    guide, one, two = (tiny_moe(tmp_path / f"{name}.gguf") for name in ("guide", "one", "two"))
    library.opened(one)
    library.opened(two)
    library.opened(guide)
    assert [Path(card.path) for card in library.cards()] == [guide, two, one]
    assert library.cards()[0].guide and library.cards()[1].opened_at is not None
    library.forget(two)
    assert [Path(card.path) for card in library.cards()] == [guide, one]
    one.unlink()
    gone = library.cards()[1]
    assert gone.problem is not None and gone.problem.kind == "model_file_missing"
    with pytest.raises(ModelFileMissing):
        library.facts(one)


def test_a_file_replaced_is_read_again(library: ModelLibrary, tmp_path: Path) -> None:
    path = tiny_moe(tmp_path / "m.gguf", experts=8)
    assert library.inspect(path).experts == 8
    tiny_moe(path, experts=4)
    assert library.inspect(path).experts == 4
    assert library.facts(path).experts == 4


def test_folders_are_walked_in_the_background_and_said(
    library: ModelLibrary, told: list[Event], tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    deep = folder / "qwen" / "files"
    deep.mkdir(parents=True)
    data = tiny_moe(deep / "a.gguf").read_bytes()
    (deep / "s-00001-of-00002.gguf").write_bytes(data)
    (deep / "s-00002-of-00002.gguf").write_bytes(data)
    (folder / "notes.txt").write_text("no model")
    library.set_folders([str(folder)])
    wait_for(lambda: len(library.cards()) == 2)
    assert [card.parts for card in library.cards()] == [1, 2]
    wait_for(lambda: [event.type for event in told].count("models") >= 2)
    library.set_folders([])
    assert library.cards() == ()
    with pytest.raises(BadRequest, match="no folder"):
        library.set_folders([str(tmp_path / "nowhere")])


def test_servers_are_kept_by_name_and_their_keys_by_this_user_only(library: ModelLibrary) -> None:
    library.save_remote(RemoteServer(name="big", url="http://10.0.0.2:8000/v1", key="secret"))
    library.save_remote(RemoteServer(name="big", url="http://10.0.0.3:8000/v1", key="secret"))
    assert [server.url for server in library.remotes()] == ["http://10.0.0.3:8000/v1"]
    if os.name == "posix":
        assert paths.models_file().stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadValue):
        library.save_remote(RemoteServer(name="x", url="file:///etc/passwd"))
    library.remove_remote("big")
    with pytest.raises(NotFound):
        library.remove_remote("big")


def test_a_broken_file_of_models_is_said_and_not_overwritten(library: ModelLibrary) -> None:
    paths.models_file().write_text("folders = [")
    with pytest.raises(StorageFailed, match="Correct it, or delete it"):
        library.cards()
    with pytest.raises(StorageFailed):
        library.forget("x")
    assert paths.models_file().read_text() == "folders = ["


def test_preferences_last_keep_comments_and_refuse_what_toml_cannot_hold() -> None:
    path = paths.preferences_file()
    path.write_text("# mine\ntheme = 'dark'\n")
    kept = Preferences()
    kept.set("telemetry_hertz", 2.5)
    kept.set("columns", [1, 2])
    with pytest.raises(BadValue):
        kept.set("bad", [None])
    assert Preferences().all() == {"theme": "dark", "telemetry_hertz": 2.5, "columns": [1, 2]}
    assert "# mine" in path.read_text()
    kept.set("theme", None)
    assert kept.get("theme", "light") == "light"


def test_broken_preferences_are_set_aside() -> None:
    paths.preferences_file().write_text("theme = ")
    kept = Preferences()
    assert kept.all() == {} and kept.problem is not None
    assert paths.preferences_file().with_suffix(".broken.toml").read_text() == "theme = "
