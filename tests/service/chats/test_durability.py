"""What a chat survives: the death of the process at any moment, a full disk, a damaged file, a newer one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.service.chats.store import ChatStore
from app.shared.errors import StorageFailed
from app.shared.events import Event

WRITER = """
import sys
from pathlib import Path
from app.service.chats.store import ChatStore
store = ChatStore(Path(sys.argv[1]), publish=lambda event: None)
chat = store.create(title="under fire")
parent = None
for turn in range(100_000):
    asked = store.add(chat.id, role="user", text=f"question {turn}", parent_id=parent)
    answer = store.add(chat.id, role="assistant", text="", parent_id=asked.id, state="writing")
    for length in range(5):
        store.write(answer.id, text="word " * length, thought=None)
    store.finish(answer.id, text=f"answer {turn}", thought=None, state="done", facts=None)
    parent = answer.id
    print(answer.id, flush=True)
"""


def ignore(event: Event) -> None:
    """The events are of no matter here."""


@pytest.mark.parametrize("moment_seconds", [0.03, 0.11, 0.23])
def test_whatever_was_finished_survives_a_kill(tmp_path: Path, moment_seconds: float) -> None:
    path = tmp_path / "chats.db"
    root = Path(__file__).resolve().parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    finished = [child.stdout.readline().strip()]
    time.sleep(moment_seconds)
    child.kill()
    finished += [line.strip() for line in child.stdout.read().split("\n") if len(line.strip()) == 32]
    child.stdout.close()
    child.wait()
    store = ChatStore(path, publish=ignore)
    try:
        cut_off = store.mark_cut_off()
        view = store.view(store.chats()[0].id)
        done = [
            message for message in view.messages if message.role == "assistant" and message.state == "done"
        ]
        assert {message.id for message in done} >= set(finished)
        assert [message.text for message in done] == [f"answer {turn}" for turn in range(len(done))]
        assert cut_off == sum(message.state == "cut_off" for message in view.messages) <= 1
        with store._disk.reading() as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    finally:
        store.close()


def test_a_full_disk_is_said_and_nothing_half_is_written(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.db", publish=ignore)
    try:
        chat = store.create()
        kept = store.add(chat.id, role="user", text="kept", parent_id=None)
        with store._disk.reading() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageFailed, match="disk is full") as failed:
            store.add(chat.id, role="user", text="x" * 1_000_000, parent_id=kept.id)
        assert "free_disk" in failed.value.remedies
        assert [message.text for message in store.view(chat.id).messages] == ["kept"]
        with store._disk.reading() as db:
            db.execute("PRAGMA max_page_count = 1000000")
        store.add(chat.id, role="user", text="x" * 1_000_000, parent_id=kept.id)
        assert len(store.view(chat.id).messages) == 2
    finally:
        store.close()


def test_a_damaged_file_is_said_and_set_aside_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    path.write_bytes(b"this was a database once" * 1000)
    store = ChatStore(path, publish=ignore)
    try:
        assert store.problem is not None
        with pytest.raises(StorageFailed, match=r"damaged .* set-aside"):
            store.chats()
        assert store.mark_cut_off() == 0
        assert store.create(title="still talking", temporary=True).temporary
        assert path.read_bytes().startswith(b"this was")
        aside = store.set_aside()
        assert aside is not None and aside.read_bytes().startswith(b"this was")
        assert store.problem is None
        assert store.create(title="new").title == "new"
    finally:
        store.close()


def test_damage_in_the_middle_of_a_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    store = ChatStore(path, publish=ignore)
    chat = store.create()
    parent = None
    for number in range(60):
        parent = store.add(chat.id, role="user", text=f"{number} " * 400, parent_id=parent).id
    store.close()
    data = bytearray(path.read_bytes())
    data[20_000:80_000] = b"\xff" * 60_000
    path.write_bytes(data)
    store = ChatStore(path, publish=ignore)
    try:
        with pytest.raises(StorageFailed, match="damaged"):
            store.view(chat.id)
    finally:
        store.close()


def test_a_file_of_a_newer_version_or_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    ChatStore(path, publish=ignore).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    store = ChatStore(path, publish=ignore)
    with pytest.raises(StorageFailed, match="newer Pult"):
        store.folders()
    store.close()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    store = ChatStore(other, publish=ignore)
    with pytest.raises(StorageFailed, match="another program"):
        store.folders()
    store.close()


def test_what_was_deleted_long_ago_is_deleted_for_good(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    store = ChatStore(path, publish=ignore)
    gone, kept = store.create(title="gone"), store.create(title="kept")
    old = store.add(kept.id, role="user", text="old root", parent_id=None)
    store.add(kept.id, role="assistant", text="below", parent_id=old.id)
    store.add(gone.id, role="user", text="x", parent_id=None)
    store.remove(gone.id)
    store.remove_message(old.id)
    with store._disk.writing() as db:
        db.execute("UPDATE chats SET removed_at = 1 WHERE removed_at IS NOT NULL")
        db.execute("UPDATE messages SET removed_at = 1 WHERE removed_at IS NOT NULL")
    store.close()
    store = ChatStore(path, publish=ignore)
    try:
        with store._disk.reading() as db:
            counts = [
                db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ("chats", "messages", "words")
            ]
        assert counts == [1, 0, 0]
    finally:
        store.close()
