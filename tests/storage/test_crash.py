"""Nothing acknowledged is lost: not when the writer is killed in the middle of a commit, not when the disk is full."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storage.builders import attempts, launched, run
from wattle.core.errors import StorageError
from wattle.core.records import AttemptRecord, Batch, JournalMark
from wattle.storage.store import SqlStore, open_store

PER_BATCH = 50
WRITER = """
import sys
from tests.storage.test_crash import batch
from wattle.storage.store import open_store
store = open_store(sys.argv[1])
done = store.mark().seq if store.mark() else 0
while True:
    done += 1
    store.commit(batch(done))
    print(done, flush=True)
"""


def batch(number: int, size: int = PER_BATCH, message: str = "") -> Batch:
    """Everything of one turn, with the mark that says that all of it is there."""
    names = [f"w{number}.{n}" for n in range(size)]
    return Batch(
        runs={1: run(1)}, events=[(1, launched(name)) for name in names], mark=JournalMark("j", number),
        attempts=attempts(*(AttemptRecord(run=1, worker=name, attempt=1, message=message) for name in names)),
    )  # fmt: skip


def check_whole(store: SqlStore, at_least: int) -> int:
    """What the store holds is some number of whole batches, no fewer than were acknowledged."""
    mark = store.mark()
    stored = mark.seq if mark else 0
    assert stored >= at_least
    events = store.events()
    assert [record.seq for record in events] == list(range(1, stored * PER_BATCH + 1))
    expected = {f"w{number}.{n}" for number in range(1, stored + 1) for n in range(PER_BATCH)}
    assert {record.event.worker for record in events if hasattr(record.event, "worker")} == expected
    assert {record.worker for record in store.attempts(1)} == expected
    return stored


def test_a_writer_that_is_killed_in_mid_commit_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    acknowledged = 0
    for round_number in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PYTHONPATH": os.getcwd()})  # fmt: skip
        assert writer.stdout is not None
        for _ in range(3 + 7 * round_number):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().splitlines() if line)])
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        reader = open_store(path, read_only=True)
        stored = check_whole(reader, acknowledged)
        reader.close()
        store = open_store(path)
        assert check_whole(store, acknowledged) == stored
        store.close()
    assert acknowledged > 6 * 3


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A file system of one megabyte, and how to mount it anew with other options."""
    folder = tmp_path / "tiny"
    folder.mkdir()

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)

    try:
        mount("size=1m,mode=700")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not permitted here")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(store: SqlStore) -> tuple[int, StorageError]:
    """Commit until the disk is full: the number of the batch that was refused, and the error."""
    for number in range(1, 1000):
        try:
            store.commit(batch(number, message="x" * 200))
        except StorageError as error:
            return number, error
    raise AssertionError("the disk is never full")


def test_on_a_full_disk_the_batch_is_refused_and_goes_through_once_there_is_room(
    tiny: tuple[Path, Callable[[str], None]],
) -> None:
    folder, remount = tiny
    store = open_store(folder / "wattle.db")
    refused, error = fill(store)
    assert "no space left" in error.message
    assert "wattle prune" in error.hint
    check_whole(store, refused - 1)
    with pytest.raises(StorageError, match="no space left"):
        store.commit(batch(refused, message="x" * 200))
    remount("size=16m")
    assert store.commit(batch(refused, message="x" * 200)) == refused * PER_BATCH
    assert check_whole(store, refused) == refused
    store.close()


def test_a_full_disk_takes_no_new_database(tiny: tuple[Path, Callable[[str], None]]) -> None:
    folder, _ = tiny
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(StorageError, match="no space left"):
        open_store(folder / "wattle.db")
    assert [one.name for one in folder.iterdir()] == ["ballast"]


def test_a_read_only_disk_is_said_to_be_one_and_can_be_read(tiny: tuple[Path, Callable[[str], None]]) -> None:
    folder, remount = tiny
    store = open_store(folder / "wattle.db")
    store.commit(batch(1))
    store.close()
    remount("ro")
    with pytest.raises(StorageError, match="read-only"):
        open_store(folder / "wattle.db").commit(batch(2))
    reader = open_store(folder / "wattle.db", read_only=True)
    assert check_whole(reader, 1) == 1
    reader.close()
    remount("rw")


def test_a_database_that_may_not_grow_is_full_and_keeps_what_it_has(tmp_path: Path) -> None:
    store = open_store(tmp_path / "wattle.db")
    store.commit(batch(1))
    with store._transaction() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    assert store._connection is not None
    store._connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
    store._connection.rollback()
    with pytest.raises(StorageError, match="no space left"):
        store.commit(batch(2, message="x" * 2000))
    assert check_whole(store, 1) == 1
    assert store.commit(batch(2, message="x" * 2000)) == 2 * PER_BATCH, "on a new connection without that limit"
    store.close()
