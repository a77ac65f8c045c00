"""The contents of files as short texts, for the identity of what is made from them (`core/identity.py`).

Laws: a text is another one when the content is; a file that was read is not read again while its size and time stay;
nothing here runs on the event loop. A notebook's outputs and counters are no part of its content: running it does not
change what it says. A folder is its files; a pattern is what it finds.
"""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from wattle.core.identity import SOURCES, SPEAKS_OF_PARAMS

ABSENT = "absent"
REMEMBERED = 100_000
"""Files whose contents are kept in mind."""
NOTEBOOK_LIMIT = 64 << 20
SOURCE_LIMIT = 1 << 20
"""Bytes of a source file that is looked through for params."""
AT_ONCE = 8 << 20
"""Bytes that a start reads before it goes on; the rest is read beside the run."""

Stamp = tuple[int, int, int]
"""Size, time in ns, and inode."""


class Contents:
    """Reads files and remembers what it read. For any number of threads."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[Stamp, str]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """The contents of all of them, however long that takes. A path that is not absolute is left out."""
        return {path: self._token(path) for path in sorted(paths) if os.path.isabs(path)}

    def stamps(self, paths: Iterable[str]) -> dict[str, Stamp | None]:
        """What tells cheaply that a file has not changed."""
        return {path: _stamp(path) for path in paths}

    def quickly(self, paths: Iterable[str]) -> dict[str, str] | None:
        """As `of`, or None when there is too much to read while somebody waits."""
        paths = list(paths)
        unread = 0
        for path in paths:
            stamp = _stamp(path)
            if stamp is None:
                continue
            if os.path.isdir(path):
                return None
            unread += 0 if self._remembered(path, stamp) else stamp[0]
        return self.of(paths) if unread <= AT_ONCE else None

    def _remembered(self, path: str, stamp: Stamp) -> str:
        with self._lock:
            known = self._seen.get(path)
        return known[1] if known is not None and known[0] == stamp else ""

    def _token(self, path: str) -> str:
        stamp = _stamp(path)
        if stamp is None:
            return _many(path, glob.glob(path, recursive=True), self._token) if glob.has_magic(path) else ABSENT
        if os.path.isdir(path):
            return _many(path, _below(path), self._token)
        known = self._remembered(path, stamp)
        if known:
            return known
        try:
            found = _read(path, stamp[0])
        except OSError:
            return ABSENT
        if _stamp(path) == stamp:
            with self._lock:
                self._seen[path] = (stamp, found)
                self._seen.move_to_end(path)
                while len(self._seen) > REMEMBERED:
                    self._seen.popitem(last=False)
        return found


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _below(folder: str) -> list[str]:
    """The files of a folder and of all below it; what a version control or Python keeps there is not its content."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in {".git", "__pycache__", "wattle-runs"})
        found += [os.path.join(parent, name) for name in names]
    return found


def _many(root: str, paths: Iterable[str], token: Callable[[str], str]) -> str:
    made = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        if not os.path.isdir(path):
            made.update(msgspec.json.encode((os.path.relpath(path, root), token(path))))
    return made.hexdigest()


def _read(path: str, size: int) -> str:
    with open(path, "rb") as file:
        if path.endswith(".ipynb") and size <= NOTEBOOK_LIMIT:
            return _notebook(file.read())
        made = hashlib.blake2b(digest_size=16)
        mentions = False
        looked_through = path.lower().endswith(SOURCES) and size <= SOURCE_LIMIT
        while block := file.read(1 << 20):
            made.update(block)
            mentions = mentions or (looked_through and b"params" in block.lower())
    return made.hexdigest() + (SPEAKS_OF_PARAMS if mentions else "")


def _notebook(data: bytes) -> str:
    """What its cells say, and which kernel runs them."""
    made = hashlib.blake2b(digest_size=16)
    try:
        book = msgspec.json.decode(data)
        said = [[cell["cell_type"], cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]),
                 cell.get("metadata", {}).get("tags", [])] for cell in book["cells"]]  # fmt: skip
        kernel = book.get("metadata", {}).get("kernelspec", {}).get("name", "")
        made.update(msgspec.json.encode((said, kernel)))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        made.update(data)
    return made.hexdigest()
