"""What the result of a worker was made from, as one text: when two instances have the same identity, the result of the
one is as good as running the other. `run --stale` takes results over by it, and views mark by it what is stale.

Laws: pure, the contents of files are handed in; a text is never told apart from itself by what does not change the
result; whatever is not known (a file that was not looked at, an upstream result that is gone) has no identity, and no
identity equals none. Nothing of this is stored but the contents of files: both sides of a comparison are made anew from
the frozen documents, by this version, so that another version of this file does not make everything stale.

Field by field. **Part of it**: what is run (`command args script cell notebook lang kernel`), `parameters`, `setup`,
`python` (the selector, not what it finds), `env_vars` (of the workflow too), `working_dir`, `inputs` with what they
come from, `outputs`, `needs`, `when`; the row of `each`; params that the worker refers to, or all of them where its
source speaks of `params`; the contents of its outside files, of `files`, of the notebook, of the files that a glob of
`each` found, of source files that its command names (`python clean.py`), and of modules beside them that they, or a
cell, or a Python script import, and so on. Whatever a later version adds, until it is told otherwise. **No part**:
names and words for people (`name owner description tags`), how hard it is tried and what it may take (`retries
retry_lost timeout grace max_concurrent resources executor`), its logs (`merge_logs log_limit`), when it ends
(`service`); the values of `${env.…}` outside paths, which may be secrets.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from wattle.core import graph
from wattle.core.binding import texts
from wattle.core.errors import InvalidRequest
from wattle.core.expand import pair_root
from wattle.core.models import Feed, Instance, RunSpec, Worker, Workflow
from wattle.core.places import Places, resolve
from wattle.core.template import references
from wattle.core.together import Together
from wattle.core.words import NotWords, split

VERSION = "1"
WORDS: dict[str, str] = {
    "command": "command", "args": "command", "script": "source", "lang": "source", "cell": "source",
    "notebook": "notebook", "kernel": "kernel", "parameters": "parameters", "setup": "setup", "python": "python",
    "working_dir": "working_dir", "inputs": "inputs", "outputs": "outputs", "needs": "needs", "when": "when",
    "files": "files",
}  # fmt: skip
"""Field of a worker -> what people call it when it has changed. `env_vars` and `each` are looked at one by one."""
NO_PART = frozenset((
    "name", "owner", "description", "tags", "retries", "retry_lost", "timeout", "grace", "max_concurrent", "resources",
    "executor", "merge_logs", "log_limit", "service",
))  # fmt: skip
ONE_BY_ONE = frozenset(("env_vars", "each"))
SOURCES = (".py", ".r", ".sh", ".bash", ".zsh", ".js", ".mjs", ".ts", ".jl", ".pl", ".rb", ".lua", ".sql", ".ipynb")
"""A word of a command that ends so names a file of the worker's own source."""
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.,\t ]+))", re.MULTILINE)
SPEAKS_OF_PARAMS = "+params"
"""How the contents of a source file end that mentions params: it may read any of them (`WATTLE_PARAMS`)."""

Facets = dict[str, Any]
Files = dict[str, str]
"""What people call a file -> its absolute path."""


class Identities:
    """The identities of all instances of a run, or of the run that a start would make now.

    `contents` is the content of each file of `wanted()`, as a text that is another one when the content is; `taken` has
    the identities of the results that the run took over, by instance name.
    """

    def __init__(self, spec: RunSpec, instances: Sequence[Instance]) -> None:
        self.spec = spec
        self.instances = instances
        self.by_name = {instance.name: instance.index for instance in instances}
        self.keys: list[str] = []
        self.contents: Mapping[str, str] = {}
        self._places = Places(spec)
        self._shared: dict[str, _Shared] = {}
        self._files: dict[int, Files] = {}

    def wanted(self) -> set[str]:
        """The absolute paths of all files whose contents matter. Cheap: every start asks."""
        return {path for instance in self.instances for path in self.files(instance).values()}

    @cached_property
    def together(self) -> Together:
        """Which instances streams join."""
        return Together(self.instances, self._places.definitions)

    def known(self, contents: Mapping[str, str], taken: Mapping[str, str]) -> Identities:
        """Work the identities out: `keys` is indexed like the instances, empty where one is not known."""
        self.contents = contents
        self.keys = [""] * len(self.instances)
        own = [b""] * len(self.instances)
        fed: dict[tuple[int, int], bytes] = {}
        for members in self.order():
            for index in members:
                own[index] = self._own(self.instances[index])
            known = all(own[index] for index in members)
            inside = b"".join(sorted(own[index] for index in members)) if len(members) > 1 else b""
            for index in members:
                name = self.instances[index].name
                if name in taken:
                    self.keys[index] = taken[name]
                    continue
                above = self._above(self.instances[index], members, fed)
                if known and above:
                    self.keys[index] = _digest(own[index], inside, above).hex()
        return self

    def same(self, instance: Instance) -> int | None:
        """The index of the instance of the same worker with the same row, whatever its number; or None."""
        return self._by_row.get(_row(instance))

    @cached_property
    def _by_row(self) -> dict[tuple[str, bytes], int]:
        return {_row(instance): instance.index for instance in self.instances}

    def key(self, name: str) -> str:
        """The identity of an instance; empty when there is no such instance, or it is not known."""
        index = self.by_name.get(name)
        return "" if index is None else self.keys[index]

    def order(self) -> list[tuple[int, ...]]:
        """The instances, each after all that it is made from; those that streams join stand together. Nothing when
        they go round in a circle."""
        gangs = self.together.gangs
        units: list[tuple[int, ...]] = []
        place = [0] * len(self.instances)
        for instance in self.instances:
            members = gangs.get(instance.index, (instance.index,))
            if members[0] == instance.index:
                for index in members:
                    place[index] = len(units)
                units.append(members)
        edges = [{place[above] for index in members for above in self.upstream(index)} - {number}
                 for number, members in enumerate(units)]  # fmt: skip
        try:
            return [units[number] for number in graph.order(edges)]
        except graph.Cycle:  # mode parallel allows them: nothing waits there
            return []

    def upstream(self, index: int) -> Sequence[int]:
        """All that an instance waits for or reads, each once."""
        if self.spec.document.mode != "parallel":
            return self.together.upstream[index]
        feeds = self.instances[index].inputs.values()
        return sorted({source for feed in feeds for source, _ in feed.sources})

    # ---- what it is made from -----------------------------------------------------------------------------------

    def _own(self, instance: Instance) -> bytes:
        """Everything but what lies above it; empty when it is not known."""
        shared = self._of(instance.worker)
        files = self.files(instance)
        found = [self.contents.get(path) for path in files.values()]
        if None in found:
            return b""
        params = self._params(shared, found)
        row = sorted(instance.row.items())
        return _digest(shared.digest, msgspec.json.encode((row, list(files), found, params)))

    def _above(self, instance: Instance, members: Sequence[int], fed: dict[tuple[int, int], bytes]) -> bytes:
        """What its inputs come from and what it waits for; empty when one of these has no identity. The instances of a
        group share both, as objects."""
        upstream = self.together.upstream[instance.index]
        shared = (id(instance.inputs), id(upstream))
        if shared in fed:
            return fed[shared]
        parts = [[port, *(self.keys[source] for source, _ in feed.sources if source not in members)]
                 for port, feed in sorted(instance.inputs.items())]  # fmt: skip
        waits = [self.keys[above] for above in upstream]
        known = all(all(keys) for keys in parts) and all(waits)
        found = _digest(msgspec.json.encode((parts, waits))) if known else b""
        if len(members) == 1:
            fed[shared] = found
        return found

    def _params(self, shared: _Shared, found: Sequence[str | None]) -> list[tuple[str, Any]]:
        params = self.spec.params
        everything = shared.reads_params or any(text and text.endswith(SPEAKS_OF_PARAMS) for text in found)
        return sorted((name, params[name]) for name in params if everything or name in shared.params)

    def _of(self, worker: str) -> _Shared:
        shared = self._shared.get(worker)
        if shared is None:
            shared = self._shared[worker] = _Shared(self.spec.document, self._places.definitions[worker])
        return shared

    def files(self, instance: Instance) -> Files:
        """The files whose contents matter to an instance, by what people call them."""
        shared = self._of(instance.worker)
        found = shared.fixed if shared.fixed is not None else self._files.get(instance.index)
        if found is None:
            found = self._named(shared, instance)
            if shared.plain:
                shared.fixed = found
            else:
                self._files[instance.index] = found
        return found

    def _named(self, shared: _Shared, instance: Instance) -> Files:
        try:
            cwd = self._places.working_dir(instance)
        except InvalidRequest:
            return {}
        row = {f"{name} {instance.row[name]}": str(instance.row[name]) for name in shared.globs if name in instance.row}
        found: Files = {}
        for label, text in (shared.files | row).items():
            try:
                found[label] = resolve(cwd, self._places.filled(text, instance))
            except InvalidRequest:  # a reference that only the attempt can fill
                found[label] = text
        return found | {label: resolve(cwd, text) for label, text in shared.sources.items()}

    # ---- for people -----------------------------------------------------------------------------------------------

    def facets(self, index: int) -> Facets:
        """What an instance is made from, each part under the name that people have for it."""
        instance = self.instances[index]
        shared = self._of(instance.worker)
        files = self.files(instance)
        found = {label: self.contents.get(path) for label, path in files.items()}
        facets = {**shared.facets, **{f"each {name}": value for name, value in instance.row.items()}, **found}
        facets |= {f"param {name}": value for name, value in self._params(shared, list(found.values()))}
        above: dict[str, list[str]] = {}
        for upstream in self.upstream(index):
            above.setdefault(self.instances[upstream].worker, []).append(self.keys[upstream])
        return facets | {f"upstream {name}": keys for name, keys in above.items()}


def difference(before: Facets, now: Facets) -> str:
    """In words, the first thing in which two instances differ; empty when nothing does."""
    for name in [*now, *(name for name in before if name not in now)]:
        if name not in before:
            return f"{name} is new"
        if name not in now:
            return f"{name} is gone"
        if before[name] != now[name]:
            return f"{name} changed"
    return ""


class _Shared:
    """What the instances of one worker have in common; most of it is worked out when it is asked for."""

    def __init__(self, document: Workflow, worker: Worker) -> None:
        self._document = document
        self._worker = worker
        self.files = {f"pushed {port}" if given.object else f"input file {given.file}": given.file
                      for port, given in worker.inputs.items() if given.file is not None}  # fmt: skip
        if worker.files:
            self.files |= {f"file {path}": path for path in worker.files}
        if worker.notebook is not None:
            self.files[f"notebook {worker.notebook}"] = worker.notebook
        self.globs = _globs(document, worker) if worker.each is not None else []
        self.sources = _sources(worker) if worker.command is not None else _modules(worker)
        own = (*self.files.values(), worker.working_dir or "")
        self.plain = not self.globs and not any("${" in text for text in own)
        """The files of all instances are the same."""
        self.fixed: Files | None = None if self.files or self.sources or self.globs else {}

    @cached_property
    def facets(self) -> Facets:
        """Every part but rows, params, files and upstreams."""
        document, worker = self._document, self._worker
        facets: Facets = {}
        for name in worker.__struct_fields__:
            if name not in NO_PART and name not in ONE_BY_ONE:
                facets.setdefault(WORDS.get(name, name), []).append(msgspec.to_builtins(getattr(worker, name)))
        for given in facets["inputs"][0].values():  # of a pushed variable a cell sees what it holds, not where it lies
            if given.get("object"):
                given.pop("file", None)
        facets["python"].append(document.python)
        facets["setup"].append(document.setup)
        facets["working_dir"].append(document.working_dir)
        return facets | {f"variable {name}": value for name, value in {**document.env_vars, **worker.env_vars}.items()}

    @cached_property
    def digest(self) -> bytes:
        """Of these parts."""
        return _digest(VERSION.encode(), msgspec.json.encode(sorted(self.facets.items())))

    @cached_property
    def params(self) -> frozenset[str]:
        """The params that it refers to."""
        return frozenset(found.name for text in self._texts() for found in references(text) if found.kind == "params")

    @cached_property
    def reads_params(self) -> bool:
        """Whether it may read any param, whatever it refers to."""
        sources = [text for text in (self._worker.script, self._worker.cell) if text]
        inline = [*sources, self._worker.setup, *self._texts()]
        return any("WATTLE_PARAMS" in text for text in inline) or any("params" in text for text in sources)

    def _texts(self) -> list[str]:
        return [*texts(self._worker), *self._document.env_vars.values()]


def _row(instance: Instance) -> tuple[str, bytes]:
    return instance.worker, msgspec.json.encode(sorted(instance.row.items())) if instance.row else b""


def _globs(document: Workflow, worker: Worker) -> list[str]:
    """The names of `each` whose values are files that a pattern found."""
    assert worker.each is not None
    each = {other.name: other.each for other in document.workers if other.each is not None}
    product = each[pair_root(each, worker.name)].product or {}
    return [name for name, values in product.items() if isinstance(values, Mapping)]


def _sources(worker: Worker) -> Files:
    """The files of its own source that a command names, as far as its words tell."""
    words = worker.command or ()
    if isinstance(words, str):
        if "/" not in words and not any(end in words.lower() for end in SOURCES) and not worker.args:
            return {}
        try:
            words = tuple(split(words))
        except NotWords:
            return {}
    program = {words[0]} if words and "/" in words[0] and not words[0].startswith("/") else set()
    named = [word for word in (*words, *worker.args)
             if word in program or (word.lower().endswith(SOURCES) and not word.startswith("-"))]  # fmt: skip
    return {word: word for word in named if "${" not in word}


def _modules(worker: Worker) -> Files:
    """The modules in its folder that its own source may mean by what it imports."""
    source = worker.cell if worker.cell is not None else worker.script if worker.lang == "python" else None
    found = imported(source or "")
    return {f"{name}.py": f"{name}.py" for name in found} | {f"{name}/": f"{name}/**/*.py" for name in found}


def imported(source: str) -> list[str]:
    """The modules that Python source imports by name, without those that come with Python; the first part of each."""
    if "import" not in source:
        return []
    found: dict[str, None] = {}
    for match in _IMPORT.finditer(source):
        names = [match[1]] if match[1] else match[2].split(",")
        found.update(dict.fromkeys(name.split()[0].partition(".")[0] for name in names if name.strip()))
    return [name for name in found if name.isidentifier() and name not in sys.stdlib_module_names]


def _digest(*parts: bytes) -> bytes:
    """Each part with its length before it, so that no two lists of parts look alike."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


def needed_ports(instances: Sequence[Instance]) -> list[set[str]]:
    """Per instance, the output ports that others read."""
    needed: list[set[str]] = [set() for _ in instances]
    feeds: list[Feed] = [feed for instance in instances for feed in instance.inputs.values()]
    for feed in feeds:
        for source, port in feed.sources:
            needed[source].add(port)
    return needed
