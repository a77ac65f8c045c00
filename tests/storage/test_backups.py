"""Copies of a database in use: when one is made, what it holds, which ones stay."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.builders import launched, run
from wattle.core.errors import StorageError
from wattle.core.records import Batch
from wattle.storage.backups import EVERY_SECONDS, KEPT, copies, keep_one
from wattle.storage.store import SqlStore, open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wattle.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    made = open_store(path)
    made.commit(Batch(runs={1: run(1)}))
    yield made
    made.close()


def change(store: SqlStore, path: Path, at: float) -> None:
    """Something is written, at that time."""
    store.commit(Batch(events=[(1, launched())]))
    for file in path.parent.glob("wattle.db*"):
        os.utime(file, (at, at))


def test_a_copy_is_a_store_with_what_there_was_and_nobody_else_may_read_it(store: SqlStore, path: Path) -> None:
    change(store, path, time.time())
    made = keep_one(store, path, time.time())
    assert made is not None
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    copied = open_store(made, read_only=True)
    assert (copied.store_id, copied.last_seq()) == (store.store_id, store.last_seq())
    copied.close()


def test_there_is_one_an_hour_while_something_changes_and_the_newest_stay(store: SqlStore, path: Path) -> None:
    now = time.time()
    for hour in range(KEPT + 3):
        at = now + hour * EVERY_SECONDS
        change(store, path, at)
        assert keep_one(store, path, at + 1) is not None
        assert keep_one(store, path, at + 2) is None, "one is enough"
    assert len(copies(path)) == KEPT
    newest = copies(path)[-1]
    assert keep_one(store, path, at + 9 * EVERY_SECONDS) is None, "nothing has changed"
    assert copies(path)[-1] == newest
    (newest.parent / "before the move.db").write_text("mine")
    change(store, path, at + 9 * EVERY_SECONDS)
    assert keep_one(store, path, at + 10 * EVERY_SECONDS) is not None
    assert (newest.parent / "before the move.db").exists()


def test_no_copy_is_made_where_there_is_no_room(store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Full)
    assert keep_one(store, path, time.time()) is None
    assert copies(path) == []


def test_the_error_of_a_damaged_database_names_the_newest_copy(store: SqlStore, path: Path) -> None:
    made = keep_one(store, path, time.time())
    store.close()
    path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3000)
    Path(f"{path}-wal").write_bytes(b"x")
    with pytest.raises(StorageError, match="damaged") as caught:
        open_store(path)
    assert f"cp {made} {path}" in caught.value.hint
