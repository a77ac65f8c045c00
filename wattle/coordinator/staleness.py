"""Which results of a run are stale: the definition of today, the files that it reads or anything upstream would make
something else than what is there.

Laws: lazy and remembered. As long as neither the definition nor a file has changed, a look costs one small query and
one `stat` per file; identities are worked out only when something has, once. What cannot be told, or not yet because
large files are being read, is not called stale.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from wattle.coordinator.contents import Contents
from wattle.coordinator.reuse import Earlier
from wattle.core.binding import bind_environment
from wattle.core.errors import WattleError
from wattle.core.expand import Glob, Rows, expand, resolve_params, resolve_rows
from wattle.core.identity import Identities
from wattle.core.models import RunSpec, Workflow
from wattle.core.ports import Store
from wattle.core.records import RunRecord

T = TypeVar("T")
KEPT = 16
NOTHING: frozenset[str] = frozenset()


class _Now(NamedTuple):
    """What a run of today's definition would be, seen from a run that has been."""

    revision: int
    document: Workflow
    params: dict[str, Any]
    rows: dict[str, Rows]
    identities: Identities | None
    """None when it is the very run: nothing but the contents of files can differ."""
    wanted: Collection[str]


class Staleness:
    """Answers for one store. `environment_of` gives the base environment of a run. For any number of threads."""

    def __init__(self, store: Store, contents: Contents, earlier: Earlier, glob: Glob,
                 environment_of: Callable[[RunSpec], Mapping[str, str]]) -> None:  # fmt: skip
        self._store = store
        self._contents = contents
        self._earlier = earlier
        self._glob = glob
        self._environment_of = environment_of
        self._now: OrderedDict[int, _Now] = OrderedDict()
        self._lock = threading.Lock()
        self._answers: OrderedDict[int, tuple[int, dict[str, str], frozenset[str]]] = OrderedDict()

    def of(self, record: RunRecord) -> frozenset[str]:
        """The names of the instances whose result, if they have one in this run, is not what would be made today."""
        if record.contents is None:
            return NOTHING
        try:
            now = self._today(record.spec, record.contents)
        except (WattleError, KeyError):  # today's definition could not be run: nothing is said about yesterday's
            return NOTHING
        if now is None:
            return NOTHING
        contents = self._contents.quickly(now.wanted)
        if contents is None:
            self._contents.beside(now.wanted)
            return NOTHING
        if now.identities is None and not record.spec.options.reused and contents == record.contents:
            return NOTHING
        known = self._answers.get(record.spec.id)
        if known is not None and known[0] == now.revision and known[1] == contents:
            return known[2]
        with self._lock:
            found = self._compare(record, now, contents)
            _keep(self._answers, record.spec.id, (now.revision, contents, found))
        return found

    def _today(self, spec: RunSpec, contents: Mapping[str, str]) -> _Now | None:
        revision = self._store.revision(spec.workflow)
        if not revision:
            return None
        known = self._now.get(spec.id)
        if known is not None and known.revision == revision:
            if not _has_globs(known.document) or resolve_rows(known.document, known.params, self._glob) == known.rows:
                return known
            document = known.document
        else:
            definition = self._store.workflow(spec.workflow)
            if definition is None:
                return None
            document = self._bound(definition.document, spec)
        params = resolve_params(document, _given(spec, document))
        rows = resolve_rows(document, params, self._glob)
        if document == spec.document and params == spec.params and rows == spec.rows:
            now = _Now(revision, spec.document, params, rows, None, list(contents))
        else:
            there = msgspec.structs.replace(spec, document=document, params=params, rows=rows)
            identities = Identities(there, expand(document, rows))
            now = _Now(revision, document, params, rows, identities, identities.wanted())
        with self._lock:
            _keep(self._now, spec.id, now)
        return now

    def _bound(self, document: Workflow, spec: RunSpec) -> Workflow:
        """The definition as a run keeps it."""
        if b"${env." not in msgspec.json.encode(document):
            return document
        return bind_environment(document, self._environment_of(spec))

    def _compare(self, record: RunRecord, now: _Now, contents: dict[str, str]) -> frozenset[str]:
        past = self._earlier.of(record)
        if past is None:
            return NOTHING
        then = past.identities
        today = (now.identities or Identities(record.spec, then.instances)).known(contents, {})
        return frozenset(
            instance.name for instance, key in zip(then.instances, then.keys, strict=True)
            if key and (now_at := today.same(instance)) is not None and today.keys[now_at] not in {"", key}
        )  # fmt: skip


def _given(spec: RunSpec, document: Workflow) -> dict[str, Any]:
    """The params that somebody gave the run: those that are not what its own document says."""
    defaults = spec.document.params
    return {name: value for name, value in spec.params.items()
            if name in document.params and value != defaults.get(name)}  # fmt: skip


def _has_globs(document: Workflow) -> bool:
    return any(isinstance(values, Mapping) for worker in document.workers if worker.each is not None
               for values in (worker.each.product or {}).values())  # fmt: skip


def _keep(kept: OrderedDict[int, T], key: int, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
