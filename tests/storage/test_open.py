"""Opening a database: made whole, ours alone, and refused in one sentence when it cannot be trusted."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.builders import attempts, definition, launched, run
from wattle.core.errors import StorageError
from wattle.core.records import AttemptRecord, Batch, JournalMark
from wattle.storage import schema
from wattle.storage import sqlite as files
from wattle.storage.store import SqlStore, open_store


def filled(path: Path, events: int = 2000) -> None:
    """A database of many pages, cleanly closed."""
    store = open_store(path)
    many = [AttemptRecord(run=1, worker=f"w{n}", attempt=1, message="x" * 100) for n in range(events)]
    store.commit(Batch(workflows={"etl": definition("etl", "a")}, runs={1: run(1)}, attempts=attempts(*many),
                       events=[(1, launched(f"w{n}")) for n in range(events)], mark=JournalMark("j", 1)))  # fmt: skip
    store.close()


def refusal(path: Path, *, read_only: bool = False) -> StorageError:
    """The error of opening, which must leave every byte as it was."""
    before = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file() and not one.name.endswith("-shm")}
    with pytest.raises(StorageError) as caught:
        open_store(path, read_only=read_only, patience=0.05)
    after = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file() and not one.name.endswith("-shm")}
    assert after == before
    assert caught.value.hint
    assert str(path) in caught.value.message or str(path.parent) in caught.value.message
    return caught.value


def leave_unclean(path: Path) -> None:
    """A writer that ended without closing: its log stays beside the file."""
    code = f"""
import os
from tests.storage.builders import launched
from wattle.core.records import Batch
from wattle.storage.store import open_store
store = open_store({str(path)!r})
store.commit(Batch(events=[(1, launched())]))
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert Path(f"{path}-wal").stat().st_size > 0


# ---- made ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_every_file_is_0600_whatever_the_umask_says(tmp_path: Path, umask: int) -> None:
    path, copied = tmp_path / "wattle.db", tmp_path / "copy.db"
    before = os.umask(umask)
    try:
        store = open_store(path)
        store.commit(Batch(runs={1: run(1)}))
        store.backup(copied)
    finally:
        os.umask(before)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    store.close()
    assert modes == dict.fromkeys(("wattle.db", "wattle.db-wal", "wattle.db-shm", "copy.db"), 0o600)


def test_a_database_that_could_not_be_made_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(schema, "create_views", break_off)
    with pytest.raises(StorageError):
        open_store(tmp_path / "wattle.db")
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_takes_what_the_first_made(tmp_path: Path) -> None:
    first = open_store(tmp_path / "wattle.db")
    files.make(tmp_path / "wattle.db")
    second = open_store(tmp_path / "wattle.db")
    assert second.store_id == first.store_id
    first.close()
    second.close()


def test_stores_have_names_of_their_own_that_stay(tmp_path: Path) -> None:
    names = []
    for name in ("a", "b", "a"):
        store = open_store(tmp_path / f"{name}.db")
        names.append(store.store_id)
        store.close()
    assert names[0] == names[2] != names[1]


def test_a_clean_end_leaves_the_one_file(tmp_path: Path) -> None:
    filled(tmp_path / "wattle.db")
    assert [one.name for one in tmp_path.iterdir()] == ["wattle.db"]


def test_sqlite_is_told_to_be_careful(tmp_path: Path) -> None:
    store = open_store(tmp_path / "wattle.db")
    with store._transaction() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                 for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout",
                              "journal_size_limit")}  # fmt: skip
    store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0,
                     "busy_timeout": 5000, "journal_size_limit": 64 << 20}  # fmt: skip


def test_on_a_network_disk_there_is_no_log_in_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "file_system", lambda _path: "nfs4")
    store = open_store(tmp_path / "wattle.db")
    store.commit(Batch(runs={1: run(1)}, events=[(1, launched())]))
    assert not (tmp_path / "wattle.db-shm").exists()
    reader = open_store(tmp_path / "wattle.db", read_only=True)
    assert reader.last_seq() == store.last_seq() == 1
    reader.close()
    store.close()


# ---- refused ------------------------------------------------------------------------------------------------------


def test_a_newer_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
    connection.close()
    error = refusal(path)
    assert "newer" in error.message
    assert "0007" in error.message
    assert "pip install -U" in error.hint


def zero_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 40)
        file.write(b"\0" * 4096 * 3)


def everything(store: SqlStore) -> object:
    return store.events(), store.attempts(1), store.events(1), store.runs()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("Dear diary,\n" * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut inside the header": lambda path: os.truncate(path, 50),
    "header": lambda path: path.write_bytes(b"\1" * 100 + path.read_bytes()[100:]),
    "first page": lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * 3996 + path.read_bytes()[4096:]),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path, how: str, read_only: bool) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    DAMAGE[how](path)
    error = refusal(path, read_only=read_only)
    assert "is damaged" in error.message
    assert "Nothing was changed" in error.message


def test_after_an_unclean_end_all_pages_are_walked(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    leave_unclean(path)
    zero_a_page(path)
    with pytest.raises(StorageError, match="is damaged"):
        open_store(path)


def test_damage_that_shows_later_is_an_error_of_ours_too(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    zero_a_page(path)
    store = open_store(path)
    with pytest.raises(StorageError, match="is damaged"):
        everything(store)
    store.close()


def test_a_database_that_is_gone_while_its_log_is_there_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    leave_unclean(path)
    path.rename(tmp_path / "elsewhere")
    assert "it is gone" in refusal(path).message


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    connection.close()
    path.chmod(0o600)
    assert "not one of Wattle's" in refusal(path).message


def test_a_database_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    path.chmod(0o644)
    error = refusal(path)
    assert "open to other users (mode 644)" in error.message
    assert error.hint == f"chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_database_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    os.chown(path, 12345, -1)
    assert "belongs to another user (uid 12345)" in refusal(path).message


def test_what_is_no_file_and_what_has_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "is not a file" in refusal(tmp_path / "folder").message
    with pytest.raises(StorageError, match="is not there") as caught:
        open_store(tmp_path / "missing" / "wattle.db")
    assert caught.value.hint == f"mkdir -p {tmp_path / 'missing'}"


@pytest.mark.parametrize("hold", ["BEGIN EXCLUSIVE", "PRAGMA locking_mode=EXCLUSIVE"])
def test_a_database_that_another_program_has_locked_is_refused_after_a_while(tmp_path: Path, hold: str) -> None:
    path = tmp_path / "wattle.db"
    filled(path)
    store = open_store(path, patience=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    if hold.startswith("BEGIN"):
        other.execute(hold)
        with pytest.raises(StorageError, match="locked by another program"):
            store.commit(Batch(events=[(1, launched())]))
        other.execute("COMMIT")
        assert store.commit(Batch(events=[(1, launched())])) == 2001, "and the same store goes on"
        store.close()
    else:
        store.close()
        other.execute(hold)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="locked by another program"):
            open_store(path, patience=0.05)
    other.close()


@pytest.mark.parametrize(("url", "told"), [
    ("nonsense://x", "db_url"), ("postgresql+none://x/y", "db_url"), ("sqlite://", "in memory"),
    (":memory:", "in memory"),
])  # fmt: skip
def test_a_url_that_leads_nowhere_is_an_error_of_ours(url: str, told: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_store(url)
    assert told in caught.value.message + caught.value.hint


def test_a_url_of_sqlite_is_the_same_as_its_path(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'wattle.db'}")
    assert stat.S_IMODE((tmp_path / "wattle.db").stat().st_mode) == 0o600
    store.close()


# ---- for reading ----------------------------------------------------------------------------------------------------


def test_a_reader_makes_no_file_and_finds_none(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    with pytest.raises(StorageError, match="There is no database"):
        open_store(path, read_only=True)
    filled(path, 3)
    before = sorted(tmp_path.iterdir())
    reader = open_store(path, read_only=True)
    assert (reader.last_seq(), len(reader.attempts(1)), reader.mark()) == (3, 3, JournalMark("j", 1))
    assert sorted(tmp_path.iterdir()) == before
    reader.close()
    assert sorted(tmp_path.iterdir()) == before


def test_two_readers_see_what_a_writer_commits_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path, 1)
    readers = [open_store(path, read_only=True), open_store(path, read_only=True)]
    writer = open_store(path)
    for n in range(2, 12):
        writer.commit(Batch(events=[(1, launched(f"w{n}"))]))
        assert [reader.last_seq() for reader in readers] == [n, n]
    writer.close()
    assert [reader.last_seq() for reader in readers] == [11, 11]
    for reader in readers:
        reader.close()


def test_a_reader_sees_what_a_killed_writer_had_committed(tmp_path: Path) -> None:
    path = tmp_path / "wattle.db"
    filled(path, 3)
    leave_unclean(path)
    before = path.read_bytes()
    reader = open_store(path, read_only=True)
    assert reader.last_seq() == 4
    reader.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [
    lambda store: store.commit(Batch()), lambda store: store.new_epoch(), lambda store: store.prune([1]),
])  # fmt: skip
def test_a_reader_cannot_write(tmp_path: Path, write: Callable[[object], object]) -> None:
    filled(tmp_path / "wattle.db", 1)
    reader = open_store(tmp_path / "wattle.db", read_only=True)
    with pytest.raises(StorageError, match="for reading only"):
        write(reader)
    reader.close()


# ---- copied ---------------------------------------------------------------------------------------------------------


def test_a_backup_of_a_live_store_is_a_store(tmp_path: Path) -> None:
    filled(tmp_path / "wattle.db", 5)
    store = open_store(tmp_path / "wattle.db")
    store.commit(Batch(events=[(1, launched())]))
    store.backup(tmp_path / "copy.db")
    store.commit(Batch(events=[(1, launched())]))
    copy = open_store(tmp_path / "copy.db", read_only=True)
    assert (copy.last_seq(), store.last_seq(), copy.store_id) == (6, 7, store.store_id)
    copy.close()
    store.close()


def test_a_backup_to_nowhere_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "wattle.db")
    with pytest.raises(StorageError):
        store.backup(tmp_path / "missing" / "copy.db")
    store.close()
