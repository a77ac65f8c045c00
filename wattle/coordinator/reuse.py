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

import msgspec

from wattle.coordinator.values import output_file
from wattle.core import graph
from wattle.core.errors import InvalidRequest
from wattle.core.expand import expand
from wattle.core.identity import Identities, difference, needed_ports
from wattle.core.models import Instance, RunOptions
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
        self._options = record.spec.options

    def origin(self, index: int) -> tuple[str, str]:
        """The run that made an instance's result, and what the instance was called there."""
        name = self.identities.instances[index].name
        return self._options.reused.get(name, self.address), self._options.renamed.get(name, name)


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
            identities = Identities(spec, instances).known(record.contents or {}, self._taken(spec.options))
            completed = {seen.worker: seen for seen in self._store.attempts(spec.id)
                         if seen.phase == "completed" and seen.attempt}  # fmt: skip
            past = Past(record, identities, completed)
            if record.status in FINAL and record.contents is not None:
                self._keep(spec.id, past)
            return past

    def _taken(self, options: RunOptions) -> dict[str, str]:
        """The identities of taken-over results; empty where the run that made one is gone."""
        origins: dict[str, Past | None] = {}
        for address in set(options.reused.values()):
            workflow, _, number = address.rpartition("@")
            origins[address] = self.run(workflow, int(number))
        found = {name: origins[address] for name, address in options.reused.items()}
        return {name: past.identities.key(options.renamed.get(name, name)) if past is not None else ""
                for name, past in found.items()}  # fmt: skip

    def _keep(self, run: int, past: Past) -> None:
        self._kept[run] = past
        while len(self._kept) > 1 and self._weight() > INSTANCES_SEARCHED:
            self._kept.popitem(last=False)

    def _weight(self) -> int:
        return sum(len(past.identities.instances) for past in self._kept.values())


class Decision(NamedTuple):
    """`origin` is the run whose result is taken over, empty for an instance that runs; `why` says so in words; `name`
    is what the instance is called there."""

    origin: str
    why: str
    name: str = ""


def decide(now: Identities, pasts: Iterable[Past]) -> list[Decision]:
    """One decision per instance of the run that is to be; `pasts` are earlier runs, newest first."""
    return _Deciding(now, pasts).all()


def taken_over(options: RunOptions, now: Identities, decisions: Sequence[Decision]) -> RunOptions:
    """The options of the run that takes over what was decided."""
    found = [(instance.name, decision) for instance, decision in zip(now.instances, decisions, strict=True)
             if decision.origin]  # fmt: skip
    return msgspec.structs.replace(
        options, origin="only what was stale", reused={name: decision.origin for name, decision in found},
        renamed={name: decision.name for name, decision in found if decision.name != name},
    )  # fmt: skip


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
            origins = {(self._found[index].origin, self._found[index].name) for index in above}
            for past in self._pasts():
                there = self._there(past, members, origins)
                fault = there and self._fault(past, members, there)
                if there and not fault:
                    for member, index in zip(members, there, strict=True):
                        name = past.identities.instances[index].name
                        self._found[member] = Decision(past.address, f"same as {past.address}", name)
                    return
                spoilt = spoilt or fault or ""
        for member in members:
            self._found[member] = Decision("", self._why(member, running, above, spoilt))

    def _there(self, past: Past, members: tuple[int, ...], origins: set[tuple[str, str]]) -> list[int] | None:
        """The results of that run which are as good as new ones: of the same identity, made from these very results of
        their upstreams. None when there are none."""
        found: list[int] = []
        for member in members:
            index = past.identities.same(self._now.instances[member])
            key = self._now.keys[member]
            if index is None or not key or past.identities.keys[index] != key:
                return None
            if past.identities.instances[index].name not in past.completed:
                return None
            found.append(index)
        above = {before for index in found for before in past.identities.upstream(index)}.difference(found)
        return found if {past.origin(index) for index in above} == origins else None

    def _fault(self, past: Past, members: tuple[int, ...], there: Sequence[int]) -> str:
        """What has happened to the files of these results since they were made; empty when nothing has."""
        instances = [past.identities.instances[index] for index in there]
        faults = (spoilt(past.places, instance, past.completed[instance.name], self._needed[member])
                  for member, instance in zip(members, instances, strict=True))  # fmt: skip
        return next(filter(None, faults), "")

    def _why(self, index: int, running: Sequence[int], above: Collection[int], spoilt_: str) -> str:
        tried = False
        for past in self._pasts():
            there = past.identities.same(self._now.instances[index])
            if there is None:
                continue
            if past.identities.instances[there].name in past.completed:
                break
            tried = True
        else:
            return "not completed yet" if tried else "never ran"
        if not past.identities.keys[there]:
            return f"what {past.address} made it from is not known"
        different = difference(past.identities.facets(there), self._now.facets(index))
        if different and not different.startswith("upstream "):
            return different
        if running:
            return different or f"upstream {self._now.instances[running[0]].worker} runs again"
        if spoilt_ or different:
            return spoilt_ or different
        then = {past.origin(before) for before in past.identities.upstream(there)}
        newer = [i for i in above if (self._found[i].origin, self._found[i].name) not in then]
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
