"""The supervisor's memory: one line of JSON per fact, appended before anybody is told.

The first line names the journal: `{"journal": random, "store": id, "boot": id, "next": seq}`. Then one record per line:

    P  intent     nonce, run, worker, attempt, and what a successor needs to go on (grace, outputs, limits, timeout)
    S  started    pid, ticks, boot, ns, executable, mono (the monotonic clock)
    T  ending     why: a timeout, so that a successor ends it for the same reason
    E  leader     status: its process is about to be reaped, which can be done only once; X may take a moment longer
    X  exited     code or signal, why, cpu_user, cpu_system, max_rss, outputs
    N  not started, W withdrawn, L lost: message, reason

Nobody but a successor is told of P, T and E. Laws: numbers only grow; one `write` per batch; an unterminated last line
never happened. No fsync: the page cache outlives a killed process. After a power cut the end may be missing, so with
another boot id, or when a coordinator knows more than is here, the journal takes a new name: history has a hole. What
cannot be written (a full disk) is kept in memory and written before anything else; meanwhile nothing new is started.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from typing import Any

Record = dict[str, Any]
ENDS = frozenset({"X", "N", "W", "L"})
QUIET = frozenset({"P", "T", "E"})
COMPACT_BYTES = 8 << 20
FORGET_FROM = 2000
"""Records in memory below which forgetting is not worth the time."""


class Journal:
    """The journal in one folder. `store` is empty until the first coordinator said which store it has."""

    def __init__(self, folder: str, boot: str = "") -> None:
        self.path = os.path.join(folder, "journal.jsonl")
        self.id = secrets.token_hex(8)
        self.store = ""
        self._boot = boot
        self.seq = 0
        self.records: list[Record] = []
        """What is not acknowledged yet, and what is not over yet."""
        self.news: list[tuple[int, bytes]] = []
        """What nobody was told yet: numbers and lines of records that are not quiet."""
        self.pressing = False
        """Whether an end is among the news."""
        self.nonces: set[str] = set()
        """Every nonce that was ever accepted for a start and is not forgotten."""
        self.trouble = ""
        self.aside = ""
        self._waiting: list[bytes] = []
        self._acknowledged = 0
        self._forget_from = FORGET_FROM
        self._compact_from = COMPACT_BYTES
        self._written = 0
        self._file = -1
        self._size = 0
        self._load()

    def add(self, record: Record) -> Record:
        """Number a record and put it among those that `flush` writes."""
        self.seq += 1
        record["seq"] = self.seq
        self.records.append(record)
        self.nonces.add(record["nonce"])
        line = _line(record)
        if record["k"] not in QUIET:
            self.news.append((self.seq, line))
            self.pressing |= record["k"] in ENDS
        self._waiting.append(line)
        return record

    def flush(self) -> bool:
        """Write what was added, all or nothing; whether nothing is left to write."""
        if not self._waiting:
            return True
        data = b"".join(self._waiting)
        try:
            if self.trouble:
                os.ftruncate(self._file, self._size)  # half of a line may have come through
            _write_whole(self._file, data)
        except OSError as error:
            self.trouble = f"the journal {self.path} cannot be written: {error.strerror or error}"
            return False
        self.trouble = ""
        self._size += len(data)
        self._waiting.clear()
        self._written = self.seq
        return True

    def take_news(self) -> list[bytes]:
        """The lines of what is written and was not told yet."""
        told = [line for seq, line in self.news if seq <= self._written]
        del self.news[: len(told)]
        self.pressing = bool(self.news)
        return told

    def since(self, seq: int) -> list[Record]:
        """Written records after a number that are not quiet: what a coordinator is told."""
        return [record for record in self.records if seq < record["seq"] <= self._written and record["k"] not in QUIET]

    def acknowledge(self, seq: int) -> None:
        """A coordinator has stored everything up to this number; what is over by then may be forgotten."""
        self._acknowledged = max(self._acknowledged, seq)
        if len(self.records) < self._forget_from:
            return
        over = {record["nonce"] for record in self.records
                if record["k"] in ENDS and record["seq"] <= self._acknowledged}  # fmt: skip
        self.records = [record for record in self.records if record["nonce"] not in over]
        self.nonces -= over
        self._forget_from = max(FORGET_FROM, 2 * len(self.records))
        if self._size > self._compact_from and not self._waiting:
            with contextlib.suppress(OSError):  # a full disk: the old file is as good
                self._rewrite()
            self._compact_from = max(COMPACT_BYTES, 2 * self._size)

    def drop(self, nonces: set[str]) -> None:
        """Forget records that were never written: a full disk refused them."""
        self.records = [record for record in self.records if record["nonce"] not in nonces]
        self.nonces -= nonces
        self._waiting = [_line(record) for record in self.records if record["seq"] > self._written]

    def forget(self, nonce: str) -> None:
        """This attempt never began: whoever sends it again is right."""
        self.records = [record for record in self.records if record["nonce"] != nonce]
        self.nonces.discard(nonce)

    def belongs_to(self, store: str) -> None:
        """Begin a new journal for this store, forgetting everything; or name the one that has none yet."""
        if self.store and self.store != store:
            self.id = secrets.token_hex(8)
            self.records.clear()
            self.nonces.clear()
            self.news.clear()
            self._acknowledged = self.seq
        if self.store != store:
            self.store = store
            self._rewrite()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def rename(self) -> None:
        """History has a hole: whoever asks for what came after a mark must see that. Raises OSError."""
        self.id = secrets.token_hex(8)
        self._rewrite()

    def put_aside(self) -> None:
        """Go on under another name: this folder's journal is now another supervisor's."""
        self.aside = f"{self.path}.{self.id}"
        with contextlib.suppress(OSError):
            os.replace(self.path, self.aside)

    def forget_aside(self) -> None:
        """Everything in a journal that was put aside is over."""
        with contextlib.suppress(OSError):
            os.unlink(self.aside)

    def _load(self) -> None:
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            self._rewrite()
            return
        lines = data.split(b"\n")[:-1]
        try:
            head = json.loads(lines[0])
            self.id, self.store, self.seq = head["journal"], head["store"], int(head["next"])
            self.records = [json.loads(line) for line in lines[1:]]
            self.nonces = {record["nonce"] for record in self.records}
            self.seq = max([self.seq, *(record["seq"] for record in self.records)])
        except (ValueError, KeyError, IndexError, TypeError):
            os.replace(self.path, f"{self.path}.damaged-{secrets.token_hex(3)}")
            self.id, self.store, self.seq, self.records, self.nonces = secrets.token_hex(8), "", 0, [], set()
            self._rewrite()
            return
        self._written = self.seq
        if head.get("boot") != self._boot:
            self.rename()
            return
        self._open()
        whole = sum(len(line) + 1 for line in lines)
        if whole < len(data):
            os.ftruncate(self._file, whole)
        self._size = whole

    def _rewrite(self) -> None:
        head = {"journal": self.id, "store": self.store, "boot": self._boot, "next": self.seq}
        data = b"".join(_line(item) for item in (head, *self.records))
        fresh = f"{self.path}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_whole(descriptor, data)
        finally:
            os.close(descriptor)
        os.replace(fresh, self.path)
        self._size = len(data)
        if self._file >= 0:
            os.close(self._file)
        self._open()

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _line(item: Record) -> bytes:
    return _encode(item).encode() + b"\n"


def _write_whole(descriptor: int, data: bytes) -> None:
    """One write. Raises OSError, also when only a part went through."""
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
