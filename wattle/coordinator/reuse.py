"""Which results of earlier runs a start takes over (`run --stale`), and in words why the others are made anew.

A result is taken over from the newest run in which that instance completed, by the same identity (`core/identity.py`),
from the very results of its upstreams that are taken over now, and whose files are as they were recorded. What lies
below anything that runs, runs. The taking over itself is that of a rerun: `RunOptions.reused`.

Laws: reads the store and looks at files, never changes anything; called beside the loop. How far back it looks is
bounded, by runs and by instances, so that a long history costs no more than a short one.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from wattle.coordinator.values import output_file
from wattle.core import graph
from wattle.core.errors import InvalidRequest
from wattle.core.expand import expand
from wattle.core.identity import Identities, difference, needed_ports
from wattle.core.models import Instance
from wattle.core.places import Places
from wattle.core.ports import Store
from wattle.core.progress import FINAL
from wattle.core.records import AttemptRecord, RunRecord

RUNS_SEARCHED = 50
INSTANCES_SEARCHED = 50_000
"""Instances of earlier runs that are looked at; the newest run always is."""


class Past:
    """A run that has been: the identity of each result in it, and who completed."""

    def __init__(self, record: RunRecord, identities: Identities, completed: Mapping[str, AttemptRecord]) -> None:
        self.address = record.spec.address
        self.identities = identities
        self.completed = completed
        """By instance, the attempt that made its result in this run; taken-over results were made in another."""
        self.places = Places(record.spec)
        self._reused = record.spec.options.reused

    def origin(self, name: str) -> str:
        """The run that made an instance's result."""
        return self._reused.get(name, self.address)


class Earlier:
    """The earlier runs of workflows, read when they are asked for, the newest ones kept. For any number of threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, Past] = OrderedDict()
        self._lock = threading.RLock()

    def runs(self, workflow: str, *, before: int | None = None) -> Iterator[Past]:
        """Newest first, as far back as is looked. `before` is a run id."""
        looked = 0
        for head in self._store.runs(workflow, limit=RUNS_SEARCHED, before=before):
            past = self.run(workflow, head.number)
            if past is not None:
                yield past
                looked += len(past.identities.instances)
            if looked >= INSTANCES_SEARCHED:
                return

    def run(self, workflow: str, number: int) -> Past | None:
        """One run, or None when it is gone or cannot be read any more."""
        record = self._store.run(workflow, number)
        return None if record is None else self.of(record)

    def of(self, record: RunRecord) -> Past | None:
        """The run of a record."""
        spec = record.spec
        with self._lock:
            found = self._kept.get(spec.id)
            if found is not None:
                self._kept.move_to_end(spec.id)
                return found
            try:
                instances = expand(spec.document, spec.rows)
            except (InvalidRequest, KeyError):  # by the rules of an older version it was sound
                return None
            identities = Identities(spec, instances).known(record.contents or {}, self.taken(spec.options.reused))
            completed = {seen.worker: seen for seen in self._store.attempts(spec.id)
                         if seen.phase == "completed" and seen.attempt}  # fmt: skip
            past = Past(record, identities, completed)
            if record.status in FINAL and record.contents is not None:
                self._keep(spec.id, past)
            return past

    def taken(self, reused: Mapping[str, str]) -> dict[str, str]:
        """The identities of taken-over results; empty where the run that made one is gone."""
        origins: dict[str, Past | None] = {}
        for address in set(reused.values()):
            workflow, _, number = address.rpartition("@")
            origins[address] = self.run(workflow, int(number))
        found = {name: origins[address] for name, address in reused.items()}
        return {name: past.identities.key(name) if past is not None else "" for name, past in found.items()}

    def _keep(self, run: int, past: Past) -> None:
        self._kept[run] = past
        while len(self._kept) > 1 and self._weight() > INSTANCES_SEARCHED:
            self._kept.popitem(last=False)

    def _weight(self) -> int:
        return sum(len(past.identities.instances) for past in self._kept.values())


class Decision(NamedTuple):
    """`origin` is the run whose result is taken over, empty for an instance that runs; `why` says so in words."""

    origin: str
    why: str


def decide(now: Identities, pasts: Iterable[Past]) -> list[Decision]:
    """One decision per instance of the run that is to be; `pasts` are earlier runs, newest first."""
    return _Deciding(now, pasts).all()


def taken_over(now: Identities, decisions: Sequence[Decision]) -> dict[str, str]:
    """Decisions as the `reused` of a run's options."""
    return {instance.name: decision.origin for instance, decision in zip(now.instances, decisions, strict=True)
            if decision.origin}  # fmt: skip


class _Deciding:
    def __init__(self, now: Identities, pasts: Iterable[Past]) -> None:
        self._now = now
        self._loaded: list[Past] = []
        self._more = iter(pasts)
        self._needed = needed_ports(now.instances)
        self._found = [Decision("", "its edges go round in a circle")] * len(now.instances)

    def all(self) -> list[Decision]:
        for members in self._now.order():
            self._unit(members)
        self._services()
        return self._found

    def _pasts(self) -> Iterator[Past]:
        """All earlier runs; each is read once, when it is first needed."""
        yield from self._loaded
        for past in self._more:
            self._loaded.append(past)
            yield past

    def _unit(self, members: tuple[int, ...]) -> None:
        """Decide for an instance, or for all that streams join."""
        above = {index for member in members for index in self._now.upstream(member)}.difference(members)
        running = sorted(index for index in above if not self._found[index].origin)
        spoilt = ""
        if not running:
            for past in self._pasts():
                fault = self._fault(past, members, above)
                if fault == "":
                    for member in members:
                        self._found[member] = Decision(past.address, f"same as {past.address}")
                    return
                spoilt = spoilt or fault or ""
        for member in members:
            self._found[member] = Decision("", self._why(member, running, above, spoilt))

    def _fault(self, past: Past, members: tuple[int, ...], above: Collection[int]) -> str | None:
        """Empty when the results of that run are as good as new ones; None when they are others; else what has
        happened to them since."""
        names = [self._now.instances[member].name for member in members]
        for member, name in zip(members, names, strict=True):
            key = self._now.keys[member]
            if not key or name not in past.completed or past.identities.key(name) != key:
                return None
        for index in above:
            if past.origin(self._now.instances[index].name) != self._found[index].origin:
                return None
        faults = (spoilt(past.places, past.identities.instances[past.identities.by_name[name]], past.completed[name],
                         self._needed[member]) for member, name in zip(members, names, strict=True))  # fmt: skip
        return next(filter(None, faults), "")

    def _why(self, index: int, running: Sequence[int], above: Collection[int], spoilt_: str) -> str:
        name = self._now.instances[index].name
        last = next((past for past in self._pasts() if name in past.completed), None)
        if last is None:
            tried = any(name in past.identities.by_name for past in self._pasts())
            return "not completed yet" if tried else "never ran"
        if not last.identities.key(name):
            return f"what {last.address} made it from is not known"
        there = last.identities.by_name[name]
        different = difference(last.identities.facets(there), self._now.facets(index))
        if different and not different.startswith("upstream "):
            return different
        if running:
            return different or f"upstream {self._now.instances[running[0]].worker} runs again"
        if spoilt_ or different:
            return spoilt_ or different
        newer = [i for i in above if last.origin(self._now.instances[i].name) != self._found[i].origin]
        return f"upstream {self._now.instances[min(newer, default=index)].worker} has another result by now"

    def _services(self) -> None:
        """Who serves the others runs as long as any of these does, and so does what comes after a service."""
        together, definitions = self._now.together, {w.name: w for w in self._now.spec.document.workers}
        if not any(ordinary and not self._found[i].origin for i, ordinary in enumerate(together.ordinary)):
            return
        serving = [instance.index for instance in self._now.instances if definitions[instance.worker].service]
        for index in serving:
            if self._found[index].origin:
                self._found[index] = Decision("", "it serves those that run")
        for index in graph.descendants(together.upstream, serving):
            if self._found[index].origin:
                self._found[index] = Decision("", "it comes after a service")


def spoilt(places: Places, instance: Instance, recorded: AttemptRecord, needed: Collection[str] = ()) -> str:
    """In words, what has happened to the files of a result since they were recorded; empty when nothing has. `needed`
    are the ports that must be there although their worker could do without."""
    for port, seen in recorded.outputs.items():
        if seen is None:
            if port in needed:
                return f"output {port} was not written"
            continue
        try:
            found = os.stat(output_file(places, instance, port))
        except OSError:
            return f"output {port} is gone"
        if (found.st_size, found.st_mtime_ns) != tuple(seen):
            return f"output {port} has changed since"
    return ""
