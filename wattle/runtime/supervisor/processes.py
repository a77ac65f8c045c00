"""What the process table says: who a process is, who belongs to an attempt, who is alive.

Laws: a bare process id is nobody; with its start ticks it is somebody, and a signal to anyone but our own unreaped
child is sent only after that was looked at again. Linux has `/proc`; elsewhere these answer what little they can
(`ticks` 0, an empty table), and the supervisor works with process groups alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

TAG = b"WATTLE_TASK="
DEAD = (b"Z", b"X")
SUBREAPER = 36
HAS_PROC = os.path.isdir("/proc/self")


class Entry:
    """One line of the process table."""

    __slots__ = ("group", "parent", "pid", "state", "ticks")

    def __init__(self, pid: int, state: bytes, parent: int, group: int, ticks: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.group = group
        self.ticks = ticks


def look(pid: int) -> Entry | None:
    """What is known of a process, zombies included; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Entry(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[19]))


class Births:
    """When children began, mostly without a look: a child's start ticks lie between those of the moments before and
    after it was made. They are told from the clock only after it was seen that the system means the same clock."""

    def __init__(self) -> None:
        self._trusted = False
        self._clock = getattr(time, "CLOCK_BOOTTIME", None) if HAS_PROC else None
        self._tick = 10**9 // os.sysconf("SC_CLK_TCK")

    def moment(self) -> int:
        """Now, in ticks since the boot; 0 where that is not known."""
        return time.clock_gettime_ns(self._clock) // self._tick if self._clock is not None else 0

    def ticks(self, pid: int, before: int) -> int:
        """The start ticks of our unreaped child, made since `before`; 0 where that is not known."""
        same = 0 < before == self.moment()
        if same and self._trusted:
            return before
        entry = look(pid)
        if same and entry is not None:
            self._trusted = entry.ticks == before
            if not self._trusted:
                self._clock = None
        return entry.ticks if entry is not None else 0


def table() -> dict[int, Entry]:
    """All processes."""
    found = {}
    for name in os.listdir("/proc") if HAS_PROC else ():
        if name.isdigit():
            entry = look(int(name))
            if entry is not None:
                found[entry.pid] = entry
    return found


def alive(pid: int, ticks: int) -> bool:
    """Whether this very process runs: the same start time, and no zombie."""
    if not HAS_PROC:
        return _try(os.kill, pid, 0)
    entry = look(pid)
    return entry is not None and entry.state not in DEAD and (not ticks or entry.ticks == ticks)


def tag_of(pid: int) -> str:
    """The `WATTLE_TASK` of a process; empty when it has none or hides it."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            variables = b"\0" + file.readall()
    except OSError:
        return ""
    return variables.partition(b"\0" + TAG)[2].partition(b"\0")[0].decode(errors="replace")


def nonce_of(tag: str) -> str:
    """The nonce at the end of a tag."""
    return tag.rpartition("/")[2]


# ---- who belongs to an attempt --------------------------------------------------------------------------------


class Search:
    """Whose processes are looked for: its process group; with `whole` also all who carry its tag, and all that descend
    from these or from the leader, wherever they went. `known` are members seen before: (pid, ticks)."""

    __slots__ = ("group", "known", "nonce", "whole")

    def __init__(self, nonce: str, group: int, *, whole: bool, known: Collection[tuple[int, int]] = ()) -> None:
        self.nonce = nonce
        self.group = group
        self.whole = whole
        self.known = known


def members(searches: Collection[Search], spared: Collection[int]) -> dict[str, list[Entry]]:
    """Who is alive of each attempt, in one pass over the process table. `spared` never belong to anyone."""
    entries = table()
    owner = {pid: search.nonce for search in searches for pid, ticks in search.known
             if pid in entries and entries[pid].ticks == ticks}  # fmt: skip
    owner.update(dict.fromkeys(spared, ""))
    groups = {search.group: search.nonce for search in searches if search.group}
    whole = {search.nonce for search in searches if search.whole}
    for entry in entries.values():
        if entry.pid not in owner and entry.state not in DEAD and (whole or entry.group in groups):
            nonce = _marked(entry, groups, whole)
            if nonce:
                owner[entry.pid] = nonce
    for entry in entries.values() if whole else ():
        _inherit(entry, entries, owner, whole)
    found: dict[str, list[Entry]] = {search.nonce: [] for search in searches}
    for pid, nonce in owner.items():
        if nonce in found and pid in entries and entries[pid].state not in DEAD:
            found[nonce].append(entries[pid])
    return found


def _marked(entry: Entry, groups: dict[int, str], whole: set[str]) -> str:
    """Whose it is by its group or its tag; empty for nobody's."""
    tagged, of_group = nonce_of(tag_of(entry.pid)), groups.get(entry.group, "")
    if of_group and tagged in {"", of_group}:
        return of_group
    return tagged if tagged in whole else ""  # with another tag, a group's number is used again


def _inherit(entry: Entry, entries: dict[int, Entry], owner: dict[int, str], whole: set[str]) -> None:
    """A process without a mark of its own belongs to whom its nearest owned ancestor belongs."""
    path = []
    at: Entry | None = entry
    while at is not None and at.pid not in owner and at.pid > 1:
        path.append(at.pid)
        at = entries.get(at.parent)
    nonce = owner.get(at.pid, "") if at is not None else ""
    for pid in path:
        owner[pid] = nonce if nonce in whole else ""


# ---- signals --------------------------------------------------------------------------------------------------


def send(entry: Entry, number: int) -> None:
    """Signal this very process: its identity is looked at again while a descriptor holds on to it."""
    try:
        descriptor = os.pidfd_open(entry.pid)
    except (AttributeError, OSError):
        now = look(entry.pid)
        if now is not None and now.ticks == entry.ticks:
            _try(os.kill, entry.pid, number)
        return
    try:
        now = look(entry.pid)
        if now is not None and now.ticks == entry.ticks:
            _try(signal.pidfd_send_signal, descriptor, number)
    finally:
        os.close(descriptor)


def send_group(group: int, number: int) -> bool:
    """Signal a process group; whether there is one. 0 only asks."""
    return _try(os.killpg, group, number)


def _try(call: Callable[..., Any], *arguments: Any) -> bool:
    """Whether there was somebody: who may not be signalled is there."""
    try:
        call(*arguments)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ---- this machine ---------------------------------------------------------------------------------------------


def become_subreaper() -> bool:
    """Orphaned descendants become our children (Linux)."""
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


def children() -> Iterable[int]:
    """Our own children, dead ones included (Linux)."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def boot_id() -> str:
    """What tells this boot from any other."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """What tells the process ids of this container from another's."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
