"""Which process a number means: a pid is given again, its start is not. Standard library only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def started(pid: int) -> str:
    """When a process started, in whatever words the system has for it; empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _asked(pid)
    if fields[0] in {b"Z", b"X"}:
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{boot} {fields[19].decode()}"


def _asked(pid: int) -> str:
    if os.name == "nt":
        return ""
    try:
        told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True,
                              check=False, timeout=5.0).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    state, _, when = told.partition(" ")
    return "" if state.startswith("Z") else when.strip()


def is_process(pid: int, start: str) -> bool:
    """Whether this pid is the process that started then."""
    return pid > 0 and bool(start) and started(pid) == start
