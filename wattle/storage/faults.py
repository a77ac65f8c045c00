"""What a database's error means to a person: one sentence that names the file, and what to do next.

Law: no exception of SQLAlchemy, of a driver or of the operating system leaves the storage room; `told` is the one place
that turns them into `StorageError`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import sqlite3
from collections.abc import Iterator

import msgspec
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from wattle.core.errors import StorageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PLENTY = 256 * 1024
"""Bytes: with less than this free, an error in writing is taken for a full disk."""


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Errors inside are raised as StorageError about `place`, a path or a URL without its password."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(error, place) from error
    except msgspec.MsgspecError as error:
        raise StorageError(
            f"The database {place} holds something that this version of Wattle cannot read: {error}.",
            "it was written by a newer version, or changed by hand: install the newest Wattle",
        ) from error


def explain(error: Exception, place: str) -> StorageError:
    """The error as a sentence and a hint."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        return _of_system(cause, place)
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, place)
    return StorageError(
        f"The database {place} cannot be used: {str(cause or error).splitlines()[0]}.", "see db_url in wattle doctor"
    )


def damaged(place: str, what: str) -> StorageError:
    """The file is not what it should be. It is left as it is: it may hold what somebody needs."""
    return StorageError(
        f"The database {place} is damaged: {what}. Nothing was changed.",
        f"move {place} (and {os.path.basename(place)}-wal, if it is there) away, then {_copy_of(place)} or "
        "start without one; logs and results are not in it",
    )


def _copy_of(place: str) -> str:
    """What to do with the newest copy that `storage/backups.py` has made."""
    folder, name = map(glob.escape, os.path.split(place))
    found = sorted(glob.glob(f"{folder}/backups/{name}-*Z"))
    return f"cp {found[-1]} {place}" if found else "put a backup in its place"


def _of_system(error: OSError, place: str) -> StorageError:
    if error.errno in _FULL:
        return _full(place)
    if error.errno == errno.EROFS:
        return _read_only(place)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return StorageError(f"The database {place} may not be opened: {error.strerror}.", f"chmod 600 {place}")
    return StorageError(f"The database {place} cannot be opened: {error.strerror or error}.", "wattle doctor")


def _of_sqlite(error: sqlite3.Error, place: str) -> StorageError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                f"The database {place} is locked by another program.",
                "close the program that has it open (an SQLite browser, a backup), then try again",
            )
        case sqlite3.SQLITE_FULL:
            return _full(place)
        case sqlite3.SQLITE_READONLY:
            return _read_only(place)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(place, str(error))
        case sqlite3.SQLITE_IOERR if _is_full(place):
            return _full(place)
        case sqlite3.SQLITE_IOERR:
            return StorageError(
                f"The database {place} could not be read or written: {error}.",
                "look at the disk and at your quota; what was said to be saved is saved",
            )
        case sqlite3.SQLITE_CANTOPEN:
            return _cannot_open(place)
        case sqlite3.SQLITE_ERROR if "no such table" in str(error) or "no such column" in str(error):
            return StorageError(f"The database {place} is not one of Wattle's: {error}.", "name another with db_url")
    return StorageError(f"The database {place} refused: {error}.", "wattle doctor")


def _full(place: str) -> StorageError:
    return StorageError(
        f"There is no space left on the disk of {place}; nothing was lost.",
        "free some space: wattle prune removes old runs with their logs",
    )


def _read_only(place: str) -> StorageError:
    return StorageError(f"The database {place} cannot be written: it is read-only.",
                        "make its file and folder writable, or name another with --home or db_url")  # fmt: skip


def _cannot_open(place: str) -> StorageError:
    folder = os.path.dirname(place)
    if not os.path.isdir(folder):
        return StorageError(f"The folder of the database {place} is not there.", f"mkdir -p {folder}")
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return _read_only(place)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return StorageError(f"The folder of the database {place} may not be used.", f"chmod 700 {folder}")
    if os.path.exists(place):
        return StorageError(f"The database {place} may not be opened.", f"chmod 600 {place}")
    return StorageError(f"There is no database {place}.", "wattle run FILE makes one")


def _is_full(place: str) -> bool:
    with contextlib.suppress(OSError, AttributeError):
        found = os.statvfs(os.path.dirname(place))
        return found.f_bavail * found.f_frsize < _PLENTY
    return False
