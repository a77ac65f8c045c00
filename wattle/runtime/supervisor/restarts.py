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


class Restarts:
    """What a coordinator said about its restart, kept in `coordinator.json` for the next supervisor as well."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "coordinator.json")
        self._folder = folder
        self._told: dict[str, Any] = {"restart": [], "environment": {}, "on_exit": "pause"}
        self.unfinished = 0
        self.resting = False
        self._alone_since: float | None = None
        self._tries: deque[float] = deque(maxlen=MOST)
        with contextlib.suppress(OSError, ValueError, KeyError):
            with open(self._path) as file:
                self._told = json.load(file)
            self.unfinished = int(self._told["unfinished"])

    @property
    def hopeful(self) -> bool:
        """Whether another start may still be tried."""
        return bool(self._told["restart"]) and self._told["on_exit"] == "resume" and (
            len(self._tries) < MOST or time.monotonic() - self._tries[0] < WITHIN)  # fmt: skip

    def hello(self, restart: list[str], environment: dict[str, str], on_exit: str) -> None:
        """A coordinator is there, and says how to start the next one."""
        self._told = {"restart": restart, "environment": environment, "on_exit": on_exit}
        self.resting = False
        self._alone_since = None
        self._keep()

    def busy(self, unfinished: int) -> None:
        """It has so many unfinished runs."""
        before, self.unfinished = self.unfinished, unfinished
        if bool(before) != bool(unfinished):
            self._keep()

    def rest(self) -> None:
        """It leaves in good order, and has arranged what comes next."""
        self.resting = True
        self.unfinished = 0
        self._keep()

    def tick(self, *, driven: bool) -> None:
        """Start one if it is time."""
        if driven or not self.unfinished or self.resting or not self._told["restart"]:
            self._alone_since = None
            return
        now = time.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        tired = len(self._tries) == MOST and now - self._tries[0] < WITHIN
        if self._told["on_exit"] != "resume" or tired or now - self._alone_since < AFTER:
            return
        self._tries.append(now)
        self._alone_since = now + 8.0  # it gets ten seconds to come
        log = os.open(os.path.join(self._folder, "coordinator.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with contextlib.suppress(OSError):
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
