"""What the process table says: who a process is, who belongs to an attempt, who is alive.

Linux has `/proc`; elsewhere these answer what little they can (`ticks` 0, no descendants), and the supervisor works
with process groups alone.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

TAG = b"WATTLE_TASK="
DEAD = (b"Z", b"X")
SUBREAPER = 36


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
    """What is known of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Entry(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[19]))


def table() -> dict[int, Entry]:
    """All processes."""
    found = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            entry = look(int(name))
            if entry is not None:
                found[entry.pid] = entry
    return found


def alive(pid: int, ticks: int) -> bool:
    """Whether this very process runs: the same start time, and no zombie."""
    entry = look(pid)
    if entry is None:
        return not os.path.isdir("/proc") and _signalable(pid)
    return entry.state not in DEAD and (not ticks or entry.ticks == ticks)


def tag_of(pid: int) -> str:
    """The `WATTLE_TASK` of a process; empty when it has none or hides it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return ""
    return next((v[len(TAG):].decode() for v in variables if v.startswith(TAG)), "")


def members(nonces: Iterable[str], groups: dict[str, int]) -> dict[str, list[int]]:
    """Who belongs to each attempt, in one pass: by process group, by tag, and all that descend from these.
    `groups` maps a nonce to its process group. Zombies and this process are left out."""
    wanted = set(nonces)
    entries = table()
    me = os.getpid()
    owner: dict[int, str] = {}
    by_group = {groups[nonce]: nonce for nonce in wanted if nonce in groups}
    for entry in entries.values():
        if entry.pid == me or entry.state in DEAD:
            continue
        nonce = by_group.get(entry.group) or tag_of(entry.pid).rpartition("/")[2]
        if nonce in wanted:
            owner[entry.pid] = nonce
    for entry in entries.values():
        _inherit(entry, entries, owner, me)
    found: dict[str, list[int]] = {nonce: [] for nonce in wanted}
    for pid, nonce in owner.items():
        if nonce:
            found[nonce].append(pid)
    return found


def _inherit(entry: Entry, entries: dict[int, Entry], owner: dict[int, str], me: int) -> None:
    """A process without a tag belongs to whom its nearest owned ancestor belongs."""
    path = []
    at: Entry | None = entry
    while at is not None and at.pid not in owner and at.pid > 1 and at.pid != me:
        path.append(at.pid)
        at = entries.get(at.parent)
    nonce = owner.get(at.pid, "") if at is not None else ""
    for pid in path:
        if entries[pid].state not in DEAD:
            owner[pid] = nonce


def send(pids: Iterable[int], number: int) -> None:
    """Signal these processes; who is gone is gone."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def send_group(group: int, number: int) -> bool:
    """Signal a process group; whether there was one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def become_subreaper() -> bool:
    """Orphaned descendants become our children (Linux)."""
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


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
