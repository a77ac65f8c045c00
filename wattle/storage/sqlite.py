"""SQLite's files: how they are made, looked at before use, opened and copied.

Laws: a file is 0600 from its first moment, and comes into being complete, under its own name, or not at all; therefore
an empty file is damage, never a fresh database. What is damaged or foreign is refused and left as it is. A reader
makes no files. One connection writes; a write-ahead log is used on local disks only (it needs memory that all its
users share), elsewhere a rollback journal.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from wattle.core.errors import StorageError
from wattle.settings import file_system, is_network
from wattle.storage import schema
from wattle.storage.faults import damaged

PATIENCE = 5.0
"""Seconds that a statement waits for another program's lock."""
READERS = 4
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_WAL_LIMIT = 64 << 20
_PRAGMAS = ("foreign_keys=ON", "trusted_schema=OFF", "synchronous=FULL", f"journal_size_limit={_WAL_LIMIT}")


def inspect(path: Path) -> bool:
    """Whether there is a database in the file; False when there is none yet, and one may be made.

    Raises:
        StorageError: there is something else.
    """
    log = Path(f"{path}-wal")
    try:
        found = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StorageError(f"The folder of the database {path} is not there.", f"mkdir -p {path.parent}") from None
        if log.exists():
            raise damaged(str(path), f"it is gone, and its log {log.name} is still there") from None
        return False
    _guard(path, found)
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if head[: len(_MAGIC)] != _MAGIC or len(head) < _HEADER:
        raise damaged(str(path), "it is empty" if not head else "it is not an SQLite database")
    if not unclean(path):
        page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
        told_by_this_version = head[24:28] == head[92:96]
        if told_by_this_version and found.st_size < pages * (page if page > 1 else 1 << 16):
            raise damaged(str(path), "its end is missing")
    return True


def _guard(path: Path, found: os.stat_result) -> None:
    """It is a file, and this user's alone."""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"The database {path} is not a file.", "name another with db_url")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise StorageError(f"The database {path} belongs to another user (uid {found.st_uid}).",
                           "name another with --home or db_url")  # fmt: skip
    if os.name != "nt" and mode & 0o077:
        raise StorageError(f"The database {path} is open to other users (mode {mode:o}).", f"chmod 600 {path}")


def make(path: Path) -> None:
    """A fresh database, built beside its place and moved there whole; whoever comes second takes what is there."""
    young = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(young, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        young.chmod(0o600)
        engine = create_engine("sqlite://", creator=_connector(young, "rw", PATIENCE), poolclass=NullPool)
        event.listen(engine, "begin", _begin)
        with engine.begin() as connection:
            schema.create(connection, secrets.token_hex(16))
        engine.dispose()
        _to_disk(young)
        try:
            os.link(young, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            young.rename(path)
        _to_disk(path.parent)
    finally:
        young.unlink(missing_ok=True)


def writing(path: Path, patience: float) -> tuple[Engine, Engine]:
    """The engine of the one writing connection, and that of the readers beside it."""
    writer = create_engine("sqlite://", creator=_connector(path, "rw", patience), poolclass=NullPool)
    event.listen(writer, "begin", _begin)
    kind = file_system(path)
    mode = "TRUNCATE" if kind is not None and is_network(kind) else "WAL"
    event.listen(writer, "connect", lambda connection, _record: connection.execute(f"PRAGMA journal_mode={mode}"))
    reader = create_engine(
        "sqlite://", creator=_connector(path, "rw", patience, "query_only=ON"), poolclass=QueuePool, pool_size=READERS,
        max_overflow=-1, isolation_level="AUTOCOMMIT",
    )  # fmt: skip
    return writer, reader


def reading(path: Path, patience: float) -> Engine:
    """An engine that changes nothing and makes no file. Without a log beside it the file holds everything, and is read
    as it is; opening it in the ordinary way would make one."""

    def connect() -> sqlite3.Connection:
        logged = os.path.exists(f"{path}-wal") or os.path.exists(f"{path}-journal")
        mode = "ro" if logged else "ro&immutable=1"
        return _connector(path, mode, patience, "query_only=ON")()

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def unclean(path: Path) -> bool:
    """Whether the last writer ended without closing: a clean end leaves no log behind."""
    return any(_size(f"{path}{suffix}") > 0 for suffix in ("-wal", "-journal"))


def check(connection: Connection, path: Path) -> None:
    """Walk all pages. Raises StorageError when one is malformed."""
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise damaged(str(path), "; ".join(line.strip().splitlines()[-1] for line in found))


def copy(connection: Connection, target: Path) -> None:
    """A consistent copy of a live database, whole or not at all, 0600."""
    young = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(young, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        young.chmod(0o600)
        to = sqlite3.connect(young)
        try:
            source: Any = connection.connection.driver_connection
            source.backup(to)
            to.execute("PRAGMA journal_mode=DELETE")
        finally:
            to.close()
        _to_disk(young)
        young.rename(target)
        _to_disk(target.parent)
    finally:
        young.unlink(missing_ok=True)


def backup_name(path: Path, version: str) -> Path:
    """Where the copy before a migration goes: it tells the version, and when the database was changed last (UTC)."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(path.stat().st_mtime))
    return path.with_name(f"{path.name}.backup-v{int(version)}-{stamp}")


def _connector(path: Path, mode: str, patience: float, *pragmas: str) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=patience, isolation_level=None,
            check_same_thread=False, cached_statements=256,
        )  # fmt: skip
        try:
            for pragma in (*_PRAGMAS, *pragmas):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    return connect


def _begin(connection: Connection) -> None:
    """Take the right to write at once: a transaction that reads first might be refused it later."""
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
