"""Presets on disk: shadows, names, copies, external edits, broken files, defaults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.service.presets import PresetStore
from app.shared import paths
from app.shared.errors import BadValue, Busy, Conflict, NotFound, StorageFailed
from app.shared.events import Event
from app.shared.presets import Preset
from app.shared.settings import ModelFacts


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def store(tmp_path: Path, told: list[Event]) -> PresetStore:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    shipped.mkdir()
    own.mkdir()
    (shipped / "fast.toml").write_text('# shipped\ndescription = "quick"\n[values]\ncontext = 4096\n')
    return PresetStore(publish=told.append, shipped=shipped, own=own)


def mine(name: str = "mine", **values: int | float | str | bool) -> Preset:
    return Preset(name=name, description="why", values=values)


def test_saving_a_shipped_name_shadows_it_and_removing_brings_it_back(
    store: PresetStore, told: list[Event]
) -> None:
    saved = store.save(mine("Fast", context=2048))
    assert (saved.shipped, saved.shadows, saved.values) == (False, True, {"context": 2048})
    assert [preset.name for preset in store.list()] == ["Fast"]
    assert told[-1].type == "presets"
    store.remove("fast")
    assert store.show("fast").values == {"context": 4096} and store.show("fast").shipped
    with pytest.raises(Conflict, match="comes with Pult"):
        store.remove("fast")
    with pytest.raises(Conflict):
        store.rename("fast", "slow")


def test_names_are_one_whatever_their_case(store: PresetStore) -> None:
    store.save(mine("Evening"))
    store.save(mine("evening", context=512))
    assert [preset.name for preset in store.list()] == ["Evening", "fast"]
    with pytest.raises(Busy):
        store.rename("evening", "FAST")
    assert store.rename("evening", "EVENING").name == "EVENING"
    with pytest.raises(NotFound):
        store.show("morning")
    with pytest.raises(BadValue):
        store.save(mine("../outside"))


def test_copies_keep_comments_and_find_free_names(store: PresetStore) -> None:
    assert store.duplicate("fast").name == "fast 2"
    assert store.duplicate("fast 2").name == "fast 3"
    assert "# shipped" in store.text("fast 3")
    with pytest.raises(Busy):
        store.duplicate("fast", "Fast 2")


def test_a_file_changed_by_hand_is_seen_and_a_broken_one_is_listed_but_not_shown(store: PresetStore) -> None:
    path = Path(store.save(mine(context=512)).path or "")
    path.write_text("[values]\ncontext = 1024\n")
    os.utime(path, ns=(1, 1))
    assert store.show("mine").values == {"context": 1024}
    path.write_text("[values]\ncontext = \n")
    broken = store.list()[0]
    assert broken.problem is not None and "not valid TOML" in broken.problem.sentence
    with pytest.raises(BadValue, match="not valid TOML"):
        store.show("mine")
    path.write_bytes(b"\xff\xfe\x00broken")
    assert "not UTF-8" in (store.list()[0].problem or pytest.fail("no problem")).sentence
    store.remove("mine")
    assert len(store.list()) == 1


def test_import_checks_first_and_never_overwrites(store: PresetStore) -> None:
    assert store.import_toml('name = "Trip"\n[values]\nseed = 5\n').name == "Trip"
    assert store.import_toml("[values]\nseed = 6\n", "Trip").name == "Trip 2"
    with pytest.raises(BadValue, match="Seed is -1"):
        store.import_toml("[values]\nseed = -1\n", "bad")
    assert [preset.name for preset in store.list()] == ["Trip", "Trip 2", "fast"]


def test_check_returns_everything_that_is_wrong(store: PresetStore) -> None:
    dense = ModelFacts(architecture="qwen3", layers=4)
    preset = Preset(name="x", values={"experts": 4, "context": 1, "seed": 3})
    assert [error.key for error in store.check(preset, dense)] == ["experts", "context"]
    assert store.check(mine(context=512), dense) == ()


def test_defaults_per_model_and_for_all_follow_a_rename_and_forget_the_deleted(store: PresetStore) -> None:
    store.save(mine("a"))
    store.save(mine("b"))
    store.set_default("a", model_path="/m.gguf")
    store.set_default("b")
    assert (store.default_for("/m.gguf"), store.default_for("/other.gguf"), store.default_for(None)) == (
        "a",
        "b",
        "b",
    )
    store.rename("a", "c")
    assert store.default_for("/m.gguf") == "c"
    store.remove("c")
    assert store.default_for("/m.gguf") == "b"
    store.set_default(None)
    assert store.default_for("/m.gguf") is None
    with pytest.raises(NotFound):
        store.set_default("gone")
    if os.name == "posix":
        assert paths.models_file().stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that refuses writing")
def test_a_folder_that_refuses_is_said(store: PresetStore, tmp_path: Path) -> None:
    (tmp_path / "own").chmod(0o500)
    with pytest.raises(StorageFailed, match="could not be written"):
        store.save(mine())
    (tmp_path / "own").chmod(0o700)


def test_a_write_that_fails_leaves_the_old_file(store: PresetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(mine(context=512))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match="No space left"):
        store.save(mine(context=1024))
    assert store.show("mine").values == {"context": 512}
    assert [path.name for path in Path(store.show("mine").path or "").parent.iterdir()] == ["mine.toml"]
