"""The supervisor's memory: one line of JSON per fact, appended before anybody is told.

The first line names the journal: `{"journal": random, "store": id, "next": seq}`. Then one record per line:

    P  intent     nonce, run, worker, attempt, and what a successor needs to go on (deadline, grace, outputs, limits)
    S  started    pid, ticks, boot, ns, executable
    X  exited     code or signal, why, cpu_user, cpu_system, max_rss, outputs
    N  not started, W withdrawn, L lost: message, reason

Laws: records are numbered without gaps; one `write` per batch; an unterminated last line never happened. No fsync: the
page cache outlives a killed process, and after a power cut the boot id says that everything is lost anyway. What cannot
be written (a full disk) is kept in memory and written before anything else; meanwhile nothing new is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any

Record = dict[str, Any]
ENDS = frozenset({"X", "N", "W", "L"})
COMPACT_BYTES = 8 << 20


class Journal:
    """The journal in one folder. `store` is empty until the first coordinator said which store it has."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "journal.jsonl")
        self.id = secrets.token_hex(8)
        self.store = ""
        self.seq = 0
        self.records: list[Record] = []
        """What is not acknowledged yet, and what is not over yet."""
        self.news: list[Record] = []
        """What nobody was told yet: records other than intents."""
        self.nonces: set[str] = set()
        """Every nonce that was ever accepted for a start and is not forgotten."""
        self.trouble = ""
        self._waiting: list[bytes] = []
        self._acknowledged = 0
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
        if record["k"] != "P":
            self.news.append(record)
        self._waiting.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        return record

    def flush(self) -> bool:
        """Write what was added; whether it is all on the disk's side now."""
        if not self._waiting:
            return not self.trouble
        data = b"".join(self._waiting)
        try:
            whole = os.write(self._file, data) == len(data)
            self.trouble = "" if whole else "the disk is full"
        except OSError as error:
            self.trouble = f"the journal cannot be written: {error}"
        if self.trouble:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            return False
        self._size += len(data)
        self._waiting.clear()
        self._written = self.seq
        return True

    def since(self, seq: int) -> list[Record]:
        """Records after a number, without intents: what a coordinator is told."""
        return [record for record in self.records if record["seq"] > seq and record["k"] != "P"]

    def acknowledge(self, seq: int) -> None:
        """A coordinator has stored everything up to this number; what is over by then may be forgotten."""
        self._acknowledged = max(self._acknowledged, seq)
        if len(self.records) < 2000:
            return
        over = {record["nonce"] for record in self.records
                if record["k"] in ENDS and record["seq"] <= self._acknowledged}  # fmt: skip
        self.records = [record for record in self.records if record["nonce"] not in over]
        self.nonces -= over
        if self._size > COMPACT_BYTES and not self._waiting:
            self._rewrite()

    def drop(self, nonces: set[str]) -> None:
        """Forget records that were never written: a full disk refused them."""
        self.records = [record for record in self.records if record["nonce"] not in nonces]
        self.nonces -= nonces
        self._waiting = [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in self.records
                         if record["seq"] > self._written]  # fmt: skip

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
        except (ValueError, KeyError, IndexError, TypeError):
            os.replace(self.path, f"{self.path}.damaged-{secrets.token_hex(3)}")
            self.id, self.store, self.seq, self.records = secrets.token_hex(8), "", 0, []
            self._rewrite()
            return
        self.seq = max([self.seq, *(record["seq"] for record in self.records)])
        self._written = self.seq
        self.nonces = {record["nonce"] for record in self.records}
        self._open()
        whole = sum(len(line) + 1 for line in lines)
        if whole < len(data):
            os.ftruncate(self._file, whole)
        self._size = whole

    def _rewrite(self) -> None:
        head = {"journal": self.id, "store": self.store, "next": self.seq}
        lines = [json.dumps(item, separators=(",", ":")).encode() + b"\n" for item in (head, *self.records)]
        fresh = f"{self.path}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"".join(lines))
        finally:
            os.close(descriptor)
        os.replace(fresh, self.path)
        self._size = sum(map(len, lines))
        if self._file >= 0:
            os.close(self._file)
        self._open()

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
