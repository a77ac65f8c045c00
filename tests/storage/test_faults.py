"""What the errors of a database say to a person."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from wattle.core.errors import StorageError
from wattle.storage import faults
from wattle.storage.faults import told


def sentence(error: Exception, place: Path) -> str:
    with pytest.raises(StorageError) as caught, told(str(place)):
        raise error
    assert str(place) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def of_sqlite(code: int) -> OperationalError:
    """As SQLAlchemy wraps what the driver raises."""
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(("code", "told"), [
    (sqlite3.SQLITE_BUSY, "locked by another program"), (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked by another program"),
    (sqlite3.SQLITE_FULL, "no space left"), (sqlite3.SQLITE_READONLY_DBMOVED, "read-only"),
    (sqlite3.SQLITE_CORRUPT, "is damaged: what SQLite says"), (sqlite3.SQLITE_NOTADB, "is damaged"),
    (sqlite3.SQLITE_IOERR_FSYNC, "could not be read or written"), (sqlite3.SQLITE_NOMEM, "refused: what SQLite says"),
])  # fmt: skip
def test_every_kind_of_error_has_its_sentence(code: int, told: str, tmp_path: Path) -> None:
    assert told in sentence(of_sqlite(code), tmp_path / "wattle.db")


@pytest.mark.parametrize(("number", "told"), [
    (errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EROFS, "read-only"),
    (errno.EACCES, "may not be opened"), (errno.EIO, "cannot be opened: Input/output error"),
])  # fmt: skip
def test_errors_of_the_system_are_told_as_those_of_the_database(number: int, told: str, tmp_path: Path) -> None:
    assert told in sentence(OSError(number, os.strerror(number)), tmp_path / "wattle.db")


def test_an_error_in_writing_on_a_full_disk_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_PLENTY", 1 << 62)
    assert "no space left" in sentence(of_sqlite(sqlite3.SQLITE_IOERR_WRITE), tmp_path / "wattle.db")


def test_a_file_that_cannot_be_opened_is_told_by_what_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = of_sqlite(sqlite3.SQLITE_CANTOPEN)
    assert "The folder of the database" in sentence(error, tmp_path / "missing" / "wattle.db")
    assert "There is no database" in sentence(error, tmp_path / "wattle.db")
    (tmp_path / "wattle.db").touch()
    assert "may not be opened" in sentence(error, tmp_path / "wattle.db")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not be used" in sentence(error, tmp_path / "wattle.db")


def test_what_a_newer_wattle_wrote_is_told_as_that(tmp_path: Path) -> None:
    assert "this version of Wattle cannot read" in sentence(msgspec.ValidationError("no such tag"), tmp_path / "x.db")


def test_errors_of_ours_and_bugs_pass_as_they_are() -> None:
    for error in (StorageError("ours"), KeyError("a bug")):
        with pytest.raises(type(error)) as caught, told("x"):
            raise error
        assert caught.value is error
