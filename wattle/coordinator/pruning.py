"""Forgetting old runs: their rows, their logs and their run folders, and nothing that Wattle did not make."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator

from wattle.core.errors import InvalidRequest
from wattle.core.places import run_dir, run_log_dir
from wattle.core.ports import Store
from wattle.core.progress import FINAL
from wattle.core.records import RunHead
from wattle.core.replies import Pruned
from wattle.core.requests import PruneRuns

PAGE = 500


class Pruner:
    """Prunes ended runs of one store; `active` are the ids of runs that must stay. `forget` deletes rows, in the
    thread that writes to the store."""

    def __init__(self, store: Store, log_root: str, now: float, active: set[int],
                 forget: Callable[[list[int]], None]) -> None:  # fmt: skip
        self._store = store
        self._log_root = log_root
        self._now = now
        self._active = active
        self._forget = forget

    def prune(self, request: PruneRuns) -> Pruned:
        """List what would go, or (`dry_run` false) let it go: rows first, so that a kill leaves only files.

        Raises InvalidRequest when a number makes no sense.
        """
        if request.keep < 0 or request.older_than < 0:
            raise InvalidRequest("how many runs are kept, and how old the others are, cannot be negative",
                                 "give 0 or more")  # fmt: skip
        chosen = self._choose(request)
        folders = {head.id: self._folders(head) for head in chosen}
        size = sum(_size(folder) for paths in folders.values() for folder in paths)
        if not request.dry_run and chosen:
            self._forget([head.id for head in chosen])
            for paths in folders.values():
                for path in paths:
                    shutil.rmtree(path, ignore_errors=True)
        return Pruned(runs=[f"{head.workflow}@{head.number}" for head in chosen], bytes=size, dry_run=request.dry_run)

    def _choose(self, request: PruneRuns) -> list[RunHead]:
        """What may go; a run whose results another one took over stays as long as that one."""
        seen: dict[str, int] = defaultdict(int)
        chosen: dict[str, RunHead] = {}
        staying: list[RunHead] = []
        for head in self._heads(request.workflow):
            seen[head.workflow] += 1
            old = head.completed_at is not None and self._now - head.completed_at >= request.older_than
            ended = head.status in FINAL and head.id not in self._active
            if ended and old and seen[head.workflow] > request.keep:
                chosen[f"{head.workflow}@{head.number}"] = head
            else:
                staying.append(head)
        while staying:
            needed = set(staying.pop().options.reused.values())
            staying += [chosen.pop(address) for address in needed if address in chosen]
        return list(chosen.values())

    def _heads(self, workflow: str | None) -> Iterator[RunHead]:
        """All runs, newest first."""
        before: int | None = None
        while True:
            page = self._store.runs(workflow, limit=PAGE, before=before)
            yield from page
            if len(page) < PAGE:
                return
            before = page[-1].id

    def _folders(self, head: RunHead) -> list[str]:
        record = self._store.run(head.workflow, head.number)
        folders = [run_log_dir(self._log_root, head.workflow, head.number)]
        if record is not None:
            folders.append(run_dir(record.spec.document, head.workflow, head.number))
        return [folder for folder in folders if os.path.isdir(folder) and not os.path.islink(folder)]


def _size(folder: str) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total
