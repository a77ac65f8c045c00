"""Copies of a database in use: one an hour while it changes, the newest seven kept, 0600 in a folder of their own.

Laws: a copy is whole or not there; nothing is copied where the disk has no room for it twice; what was copied by hand
into the folder under another name is left alone.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from wattle.storage.store import SqlStore

KEPT = 7
EVERY_SECONDS = 3600.0


def folder_of(database: Path) -> Path:
    """Where the copies of a database lie."""
    return database.parent / "backups"


def copies(database: Path) -> list[Path]:
    """Its copies, oldest first: their names tell when they were made."""
    return sorted(folder_of(database).glob(f"{database.name}-*Z"))


def keep_one(store: SqlStore, database: Path, now: float) -> Path | None:
    """Make a copy if the newest one is old enough and the database has changed since, and let the oldest go. `now` is
    in seconds since the epoch. Raises StorageError and OSError."""
    there = copies(database)
    newest = there[-1].stat().st_mtime if there else 0.0
    if now - newest < EVERY_SECONDS or _changed(database) <= newest:
        return None
    folder = folder_of(database)
    folder.mkdir(mode=0o700, exist_ok=True)
    if shutil.disk_usage(folder).free < 2 * database.stat().st_size:
        return None
    target = folder / f"{database.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    store.backup(target)
    os.utime(target, (now, now))
    for old in [*there, target][:-KEPT]:
        old.unlink(missing_ok=True)
    return target


def _changed(database: Path) -> float:
    """When it was written last; what is written lies in the log beside it first."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
