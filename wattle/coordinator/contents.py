"""The contents of files as short texts, for the identity of what is made from them (`core/identity.py`).

Laws: a text is another one when the content is; a file that was read is not read again while its size and time stay;
nothing here runs on the event loop. A notebook's outputs and counters are no part of its content: running it does not
change what it says. A folder is its files, a pattern is what it finds; a Python program is also the modules beside it
that it imports, and those that they import.
"""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import chain

import msgspec

from wattle.core.identity import SOURCES, SPEAKS_OF_PARAMS, imported

ABSENT = "absent"
REMEMBERED = 100_000
"""Files whose contents are kept in mind."""
NOTEBOOK_LIMIT = 64 << 20
SOURCE_LIMIT = 1 << 20
"""Bytes of a source file that is looked through for params."""
AT_ONCE = 8 << 20
"""Bytes that a start reads before it goes on; the rest is read beside the run."""

LOOKED_AT = 20_000
"""Files that are looked at while somebody waits."""
MODULES = 2000
"""Modules of one program that are looked at."""
IMPORTING = (".py", ".ipynb")

Stamp = tuple[int, int, int]
"""Size, time in ns, and inode."""
_Seen = tuple[Stamp, str, list[str]]
_NOTHING: _Seen = ((0, 0, 0), ABSENT, [])


class Contents:
    """Reads files and remembers what it read. For any number of threads."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._reading = False
        self._lock = threading.Lock()

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """The contents of all of them, however long that takes. A path that is not absolute is left out."""
        return {path: self._token(path) for path in sorted(paths) if os.path.isabs(path)}

    def stamps(self, paths: Iterable[str]) -> dict[str, Stamp | None]:
        """What tells cheaply that a file has not changed."""
        return {path: _stamp(path) for path in paths}

    def quickly(self, paths: Iterable[str]) -> dict[str, str] | None:
        """As `of`, or None when there is too much to look at while somebody waits."""
        paths = list(paths)
        unread = looked = 0
        for file in chain.from_iterable(map(_files, paths)):
            stamp, looked = _stamp(file), looked + 1
            if stamp is not None and not self._remembered(file, stamp):
                unread += stamp[0]
            if unread > AT_ONCE or looked > LOOKED_AT:
                return None
        return self.of(paths)

    def beside(self, paths: Iterable[str]) -> None:
        """Read them in a thread of their own, for whoever asks later. One at a time: the others ask again."""
        with self._lock:
            if self._reading:
                return
            self._reading = True
        threading.Thread(target=self._read_all, args=(list(paths),), name="wattle-contents", daemon=True).start()

    def _read_all(self, paths: list[str]) -> None:
        try:
            self.of(paths)
        finally:
            self._reading = False

    def _token(self, path: str) -> str:
        stamp = _stamp(path)
        if stamp is None:
            return _many(path, glob.glob(path, recursive=True), self._own) if glob.has_magic(path) else ABSENT
        if os.path.isdir(path):
            return _many(path, _below(path), self._own)
        own = self._own(path)
        parts = self._modules(path) if path.endswith(IMPORTING) else {}
        if not parts:
            return own
        speaks = any(part.endswith(SPEAKS_OF_PARAMS) for part in (own, *parts.values()))
        made = hashlib.blake2b(msgspec.json.encode((own, sorted(parts.items()))), digest_size=16).hexdigest()
        return made + SPEAKS_OF_PARAMS * speaks

    def _modules(self, path: str) -> dict[str, str]:
        """The modules beside a program that it imports, and those that they import: what each holds, by its name."""
        folder, found = os.path.dirname(path), dict[str, str]()
        todo = [path]
        while todo and len(found) < MODULES:
            for name in self._look(todo.pop())[2]:
                module = os.path.join(folder, name)
                files = [f"{module}.py"] if os.path.isfile(f"{module}.py") else []
                if os.path.isfile(os.path.join(module, "__init__.py")):
                    files = [file for file in _below(module) if file.endswith(".py")]
                for file in files:
                    label = os.path.relpath(file, folder)
                    if label not in found and file != path:
                        found[label] = self._own(file)
                        todo.append(file)
        return found

    def _own(self, path: str) -> str:
        """What one file holds."""
        return self._look(path)[1]

    def _remembered(self, path: str, stamp: Stamp) -> bool:
        with self._lock:
            known = self._seen.get(path)
        return known is not None and known[0] == stamp

    def _look(self, path: str) -> _Seen:
        """What one file holds and imports; it is read when it has changed."""
        stamp = _stamp(path)
        if stamp is None:
            return _NOTHING
        with self._lock:
            known = self._seen.get(path)
        if known is not None and known[0] == stamp:
            return known
        try:
            found, imports = _read(path, stamp[0])
        except OSError:
            return _NOTHING
        seen = (stamp, found, imports)
        if _stamp(path) == stamp:
            with self._lock:
                self._seen[path] = seen
                self._seen.move_to_end(path)
                while len(self._seen) > REMEMBERED:
                    self._seen.popitem(last=False)
        return seen


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _files(path: str) -> Iterable[str]:
    """The files that a path means."""
    if os.path.isdir(path):
        return _below(path)
    return glob.iglob(path, recursive=True) if glob.has_magic(path) and not os.path.exists(path) else (path,)


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


def _read(path: str, size: int) -> tuple[str, list[str]]:
    """What a file holds, and the modules that it imports if it is Python."""
    with open(path, "rb") as file:
        if path.endswith(".ipynb") and size <= NOTEBOOK_LIMIT:
            return _notebook(file.read())
        if path.lower().endswith(SOURCES) and size <= SOURCE_LIMIT:
            source = file.read()
            mark = SPEAKS_OF_PARAMS if b"params" in source.lower() else ""
            imports = imported(source.decode(errors="replace")) if path.endswith(".py") else []
            return hashlib.blake2b(source, digest_size=16).hexdigest() + mark, imports
        made = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            made.update(block)
    return made.hexdigest(), []


def _notebook(data: bytes) -> tuple[str, list[str]]:
    """What its cells say, and which kernel runs them."""
    try:
        book = msgspec.json.decode(data)
        said = [[cell["cell_type"], cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]),
                 cell.get("metadata", {}).get("tags", [])] for cell in book["cells"]]  # fmt: skip
        kernel = book.get("metadata", {}).get("kernelspec", {}).get("name", "")
        imports = imported("\n".join(source for kind, source, _ in said if kind == "code"))
        return hashlib.blake2b(msgspec.json.encode((said, kernel)), digest_size=16).hexdigest(), imports
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return hashlib.blake2b(data, digest_size=16).hexdigest(), []
