"""Starting the coordinator again when it died with runs unfinished."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections import deque
from typing import Any

AFTER = 2.0
MOST, WITHIN = 3, 600.0
PATIENCE = 10.0
"""Seconds that a coordinator has to come once it was started."""


class Restarts:
    """What a coordinator said about its restart, kept in `coordinator.json` for the next supervisor as well."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "coordinator.json")
        self._folder = folder
        self._told: dict[str, Any] = {"restart": [], "environment": {}, "on_exit": "pause"}
        self.unfinished = 0
        self._alone_since: float | None = None
        self._tries: deque[float] = deque(maxlen=MOST)
        with contextlib.suppress(OSError, ValueError, KeyError):
            with open(self._path) as file:
                self._told = json.load(file)
            self.unfinished = int(self._told["unfinished"])

    @property
    def waiting(self) -> bool:
        """Whether another coordinator may still be started, or has been and may still come."""
        return bool(self.unfinished and self._told["restart"] and self._told["on_exit"] == "resume" and (
            not self._tired or time.monotonic() - self._tries[-1] < PATIENCE))  # fmt: skip

    @property
    def _tired(self) -> bool:
        return len(self._tries) == MOST and time.monotonic() - self._tries[0] < WITHIN

    def hello(self, restart: list[str], environment: dict[str, str], on_exit: str) -> None:
        """A coordinator is there, and says how to start the next one."""
        self._told = {"restart": restart, "environment": environment, "on_exit": on_exit}
        self._alone_since = None
        self._keep()

    def busy(self, unfinished: int) -> None:
        """It has so many unfinished runs."""
        before, self.unfinished = self.unfinished, unfinished
        if bool(before) != bool(unfinished):
            self._keep()

    def rest(self) -> None:
        """It leaves in good order, and has arranged what comes next."""
        self.unfinished = 0
        self._keep()

    def tick(self, *, driven: bool) -> None:
        """Start one if it is time."""
        if driven or not self.unfinished or not self.waiting:
            self._alone_since = None
            return
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        if self._tired or now - self._alone_since < AFTER:
            return
        self._tries.append(now)
        self._alone_since = now + PATIENCE - AFTER
        log = os.open(os.path.join(self._folder, "coordinator.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with contextlib.suppress(OSError, ValueError):
            subprocess.Popen(self._told["restart"], env=self._told["environment"], stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log, cwd="/", start_new_session=True).returncode = 0  # fmt: skip
        os.close(log)

    def _keep(self) -> None:
        fresh = f"{self._path}.new"
        with contextlib.suppress(OSError):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({**self._told, "unfinished": self.unfinished}, file)
            os.replace(fresh, self._path)
