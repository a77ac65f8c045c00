"""Where a test may kill the supervisor: around every write of the journal, and around a process's birth and death.

`WATTLE_FAILPOINT=name` or `name:n` (the n-th time) in the environment of whoever starts the pair. The keeper clears it
before it starts a successor, so that only one is killed.
"""

from __future__ import annotations

import os
import signal

FAILPOINTS = (
    "before-intent", "after-intent", "after-spawn", "before-start-record", "after-start-record", "before-reap",
    "after-reap", "before-exit-record", "after-exit-record",
)  # fmt: skip


class Failpoint:
    """Kills this process when the named point is reached for the n-th time."""

    def __init__(self, setting: str) -> None:
        self._name, _, count = setting.partition(":")
        self._left = int(count) if count.isdigit() else 1

    @property
    def armed(self) -> bool:
        """Whether any point is named: then records are written one by one."""
        return bool(self._name)

    def reach(self, name: str) -> None:
        """Here is this point."""
        if name == self._name:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
