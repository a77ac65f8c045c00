"""What running attempts take now: one pass over the process table for all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from wattle.core.records import Usage

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class UsageMeter:
    """Remembers the CPU time of the last reading, since a percentage is a difference."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def read(self, leaders: Mapping[str, tuple[int, int]]) -> dict[str, Usage]:
        """Usage by nonce; `leaders` maps a nonce to (process group, start ticks of its leader). Empty without /proc."""
        groups = {pid: nonce for nonce, (pid, _) in leaders.items()}
        sums = {nonce: [0.0, 0, 0] for nonce in leaders}
        for name in os.listdir("/proc") if groups and os.path.isdir("/proc") else ():
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            nonce = groups.get(int(fields[2]))
            if nonce is not None:
                found = sums[nonce]
                found[0] += (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
                found[1] += int(fields[21]) * PAGE
                found[2] += 1
        now = time.monotonic()
        usage = {}
        for nonce, (cpu, rss, count) in sums.items():
            then, before = self._last.get(nonce, (now, cpu))
            passed = now - then
            percent = 100 * (cpu - before) / passed if passed > 0 else 0.0
            usage[nonce] = Usage(cpu_percent=round(max(0.0, percent), 1), rss=int(rss), processes=int(count))
            self._last[nonce] = (now, cpu)
        self._last = {nonce: seen for nonce, seen in self._last.items() if nonce in leaders}
        return usage
