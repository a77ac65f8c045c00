"""Where everything of a run lies on disk. Every path rule of Wattle is in this file.

    <working_dir>/wattle-runs/<workflow>/<n>/<instance>/    what a worker leaves where Wattle picks the place
    <working_dir>/wattle-runs/<workflow>/latest -> <n>
    <log_root>/<workflow>/<n>/<instance>/<attempt>/         stdout.log, stderr.log, script.sh, input-<port>.json
    <log_root>/<workflow>/<n>/.environment.json             the base environment; no instance can have that name

Laws: pure, nothing is looked up on a disk; the answer follows from the run's frozen spec alone, so that a later
coordinator, a rerun and a reader find the same files. `${env.…}` was put into paths when the run was created
(`core/binding.py`), therefore.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from wattle.core.models import Instance, RunSpec, Worker, Workflow
from wattle.core.objects import candidates
from wattle.core.template import among, as_text, fill

RUNS = "wattle-runs"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def resolve(base: str, path: str) -> str:
    """The path, made absolute against `base`. `..` stays: behind a symbolic link only the disk knows what it means."""
    joined = path if _DRIVE.match(path) else posixpath.join(base, path)
    return joined if ".." in joined else posixpath.normpath(joined)


def runs_dir(document: Workflow) -> str:
    """The folder of all run folders of a working directory."""
    return posixpath.join(document.working_dir, RUNS)


def run_dir(document: Workflow, workflow: str, number: int) -> str:
    """The run folder."""
    return posixpath.join(document.working_dir, RUNS, workflow, str(number))


def worker_dir(spec: RunSpec, instance: Instance) -> str:
    """The folder of one instance in the run folder."""
    return posixpath.join(run_dir(spec.document, spec.workflow, spec.number), instance.name)


def run_log_dir(log_root: str, workflow: str, number: int) -> str:
    """The folder of all logs of a run."""
    return posixpath.join(log_root, workflow, str(number))


def log_dir(log_root: str, workflow: str, number: int, instance: str, attempt: int) -> str:
    """The folder of one attempt's logs."""
    return posixpath.join(log_root, workflow, str(number), instance, str(attempt))


def log_paths(log_root: str, spec: RunSpec, instance: Instance, attempt: int) -> dict[str, str]:
    """Stream -> log file; `stdout` alone when the worker's logs are merged."""
    folder = log_dir(log_root, spec.workflow, spec.number, instance.name, attempt)
    merged = Places.of(spec).definitions[instance.worker].merges_logs
    return {stream: f"{folder}/{stream}.log" for stream in (("stdout",) if merged else ("stdout", "stderr"))}


def environment_file(log_root: str, workflow: str, number: int) -> str:
    """The file that keeps a run's base environment."""
    return posixpath.join(log_root, workflow, str(number), ".environment.json")


def output_path(spec: RunSpec, instance: Instance, port: str) -> str:
    """Where an output lies. Raises InvalidRequest when its path refers to what is not known there, KeyError when there
    is no such port."""
    return Places.of(spec).output(instance, port)


def collisions(spec: RunSpec, instances: Iterable[Instance]) -> list[str]:
    """One sentence per path that several outputs would write. Raises InvalidRequest as `output_path` does."""
    places = Places.of(spec)
    if not any(output.path for worker in spec.document.workers for output in worker.outputs.values()):
        return []
    writers: dict[str, list[str]] = {}
    for instance in instances:
        for port, output in places.definitions[instance.worker].outputs.items():
            if output.type != "stream":
                path = posixpath.normpath(places.output(instance, port))
                for file in candidates(path) if output.type == "object" else (path,):
                    writers.setdefault(file, []).append(f"{instance.name}/{port}")
    return [
        f"{path} is the output of {names[0]} and {names[1]}" + (f" and {len(names) - 2} more" if names[2:] else "")
        for path, names in writers.items() if len(names) > 1
    ]  # fmt: skip


class Places:
    """The paths of one run, with what all of them share worked out once."""

    _newest: Places | None = None

    @classmethod
    def of(cls, spec: RunSpec) -> Places:
        """The places of a spec. The newest answer is kept: people ask for all outputs of one run in a row."""
        newest = cls._newest
        if newest is None or newest.spec is not spec:
            newest = cls._newest = cls(spec)
        return newest

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.definitions: dict[str, Worker] = {worker.name: worker for worker in spec.document.workers}
        self.run_dir = run_dir(spec.document, spec.workflow, spec.number)
        self.params = {name: as_text(value) for name, value in spec.params.items()}
        self.run = {"number": str(spec.number), "dir": self.run_dir}

    def scopes(self, instance: Instance) -> dict[str, Mapping[str, str]]:
        """What may be substituted in a path of this instance, by kind."""
        each = {name: as_text(value) for name, value in instance.row.items()}
        return {"params": self.params, "each": each, "run": self.run}

    def filled(self, text: str, instance: Instance) -> str:
        """A path of this instance with its references filled in. Raises InvalidRequest."""
        if "${" not in text:
            return text
        return fill(text, among(self.scopes(instance), f"{self.spec.workflow}/{instance.name}: {text}"))

    def working_dir(self, instance: Instance) -> str:
        """The absolute folder in which an instance runs. Raises InvalidRequest."""
        own = self.definitions[instance.worker].working_dir
        base = self.spec.document.working_dir
        return base if own is None else resolve(base, self.filled(own, instance))

    def output(self, instance: Instance, port: str) -> str:
        """As `output_path`; of an object the stem of its file (`core/objects.py`)."""
        output = self.definitions[instance.worker].outputs[port]
        if output.path is not None:
            return resolve(self.working_dir(instance), self.filled(output.path, instance))
        name = self.filled(output.name, instance) if output.name else f"{port}.json" if output.type == "value" else port
        return f"{self.run_dir}/{instance.name}/{name}"
