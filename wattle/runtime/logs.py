"""Bytes that the workers wrote: read by offset, followed while they grow.

Laws: nobody writes here but the workers themselves, straight into their files; a reader names an offset and gets what
lies there, so nothing about a reader is remembered; watching costs nothing unless somebody watches. On a local file
system of Linux the kernel tells of changes (one inotify instance, one watch per file, told at most every 20 ms);
elsewhere, for files that do not exist yet, and where inotify has reached its limits, a look every 50 ms serves.

A file may be deleted, truncated or replaced under a reader: it sees a smaller size and decides itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import struct
from collections.abc import AsyncGenerator, Iterable, Sequence

from wattle.core.errors import StorageError
from wattle.settings import file_system, is_network

COALESCE = 0.02
POLL = 0.05
_BLOCK = 1 << 16
_TAIL_REACH = 16 << 20
"""How far back a tail is looked for: a file of one endless line is not read whole."""

_MODIFY, _ATTRIB, _DELETE_SELF, _MOVE_SELF = 0x2, 0x4, 0x400, 0x800
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_GONE = _ATTRIB | _DELETE_SELF | _MOVE_SELF | _IGNORED


class FileLogs:
    """`core.ports.Logs` over plain files. `changes` belongs to the running event loop; the rest blocks briefly.

    A file that does not exist is an empty one. Any other refusal of the system is a `StorageError`.
    """

    def __init__(self) -> None:
        self._inotify: _Inotify | None = None

    def size(self, path: str) -> int:
        """Bytes in the file; 0 when there is none."""
        try:
            return os.stat(path).st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            raise _unreadable(path, error) from None

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`."""
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                return file.read(limit) or b""
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise _unreadable(path, error) from None

    def tail_offset(self, path: str, lines: int) -> int:
        """Where the last `lines` lines begin, at most 16 MiB before the end. An unfinished last line counts."""
        end = self.size(path)
        if lines <= 0 or end == 0:
            return end
        wanted = lines + 1 if self.read(path, end - 1, 1) == b"\n" else lines
        position, lowest = end, max(0, end - _TAIL_REACH)
        while position > lowest:
            start = max(lowest, position - _BLOCK)
            block = self.read(path, start, position - start)
            newlines = block.count(b"\n")
            if newlines >= wanted:
                at = len(block)
                for _ in range(wanted):
                    at = block.rfind(b"\n", 0, at)
                return start + at + 1
            wanted -= newlines
            position = start
        return lowest

    async def changes(self, paths: Sequence[str]) -> AsyncGenerator[None, None]:
        """Yields at once, then whenever one of the files may have grown, at most every 20 ms."""
        wake = asyncio.Event()
        try:
            polled = self._watch(paths, wake)
            stamps = _stamps(polled)
            yield
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL if polled else None):
                        await wake.wait()
                changed = wake.is_set()
                wake.clear()
                before, polled = polled, self._watch(paths, wake)
                seen = _stamps({*before, *polled})
                changed = changed or any(seen[path] != stamps.get(path) for path in before)
                stamps = {path: seen[path] for path in polled}
                if changed:
                    yield
        finally:
            self._unwatch(wake)

    def _watch(self, paths: Sequence[str], wake: asyncio.Event) -> list[str]:
        """Let the kernel tell `wake` of these files; returns those that must be looked at instead."""
        if self._inotify is None:
            self._inotify = _Inotify.open()
        if self._inotify is None:
            return list(paths)
        watching = self._inotify
        return [path for path in paths if not watching.add(path, wake)]

    def _unwatch(self, wake: asyncio.Event) -> None:
        if self._inotify is not None and not self._inotify.remove(wake):
            self._inotify.close()
            self._inotify = None


def _unreadable(path: str, error: OSError) -> StorageError:
    return StorageError(f"The log {path} cannot be read: {error.strerror}", "wattle doctor looks at the state root")


def _stamps(paths: Iterable[str]) -> dict[str, tuple[int, int, int] | None]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Inotify:
    """One inotify instance on the running loop: which events to set when which file changes."""

    def __init__(self, libc: ctypes.CDLL, descriptor: int) -> None:
        self._libc = libc
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._watch_of: dict[str, int] = {}
        self._listeners: dict[int, set[asyncio.Event]] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(descriptor, self._readable)

    @classmethod
    def open(cls) -> _Inotify | None:
        """None where the system has no inotify, or no instance left for this user."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, OSError, TypeError):
            return None
        return cls(libc, descriptor) if descriptor >= 0 else None

    def add(self, path: str, wake: asyncio.Event) -> bool:
        """Whether the kernel will tell of this file: it exists, on a local disk, and a watch was left."""
        known = self._watch_of.get(path)
        if known is None:
            if not os.path.exists(path) or _is_remote(os.path.dirname(path)):
                return False
            mask = _MODIFY | _ATTRIB | _DELETE_SELF | _MOVE_SELF
            known = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
            if known < 0:
                return False
            self._watch_of[path] = known
        self._listeners.setdefault(known, set()).add(wake)
        return True

    def remove(self, wake: asyncio.Event) -> bool:
        """Forget a listener; whether any is left."""
        for watch, listeners in list(self._listeners.items()):
            listeners.discard(wake)
            if not listeners:
                self._drop(watch)
        return bool(self._listeners)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _drop(self, watch: int) -> None:
        self._listeners.pop(watch, None)
        self._watch_of = {path: known for path, known in self._watch_of.items() if known != watch}
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def _readable(self) -> None:
        """Tell at once, then let what follows gather: a busy writer costs fifty wake-ups a second."""
        self._drain()
        self._loop.remove_reader(self._descriptor)
        self._pause = self._loop.call_later(COALESCE, self._listen)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _drain(self) -> None:
        try:
            data = os.read(self._descriptor, _BLOCK)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _, length = struct.unpack_from("iIII", data, position)
            position += struct.calcsize("iIII") + length
            for told in list(self._listeners) if mask & _OVERFLOW else [watch]:
                for wake in self._listeners.get(told, ()):
                    wake.set()
            if mask & _GONE and watch in self._listeners:
                self._drop(watch)


@functools.lru_cache(maxsize=256)
def _is_remote(folder: str) -> bool:
    """Whether other hosts may write here without our kernel knowing."""
    kind = file_system(folder)
    return kind is not None and is_network(kind)
