"""Parts without processes: a large document read and checked, a large graph ordered."""

from __future__ import annotations

import graphlib
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Literal

import yaml

from benchmarks.machine import Bench, Row, interleaved, ratio
from wattle.core.document import parse
from wattle.core.graph import order


def documents(bench: Bench) -> None:
    """10,000 workers as JSON and as YAML, parsed and validated, against parsers that check nothing."""
    count = 1000 if bench.quick else 10_000
    content = {"name": "large", "working_dir": str(bench.scratch), "workers": [_worker(node) for node in range(count)]}
    as_json = json.dumps(content)
    as_yaml = yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def read(text: str, form: Literal["json", "yaml"]) -> Callable[[], float]:
        return _timed(lambda: parse(text, form, base_dir=str(bench.scratch)))

    bare, ours = interleaved(bench.rounds, _timed(lambda: json.loads(as_json)), read(as_json, "json"))
    what = f"document of {count:,} workers, {{}}: parsed and validated"
    bench.add(Row(what.format("JSON"), statistics.median(ours), "s", ratio(ours, bare), "json.loads", "0.3 s"))
    load = _timed(lambda: yaml.load(as_yaml, Loader=loader))
    bare, ours = interleaved(1, load, read(as_yaml, "yaml"))
    bench.add(Row(what.format("YAML"), statistics.median(ours), "s", ratio(ours, bare), "yaml.load (C)", "3 s"))


def _worker(node: int) -> dict[str, object]:
    return {
        "name": f"worker-{node}", "command": f"python step.py --index {node} ${{inputs.data}}", "args": ["--fast"],
        "env_vars": {"INDEX": str(node), "MODE": "bench"}, "retries": 2, "timeout": "10m",
        "inputs": {"data": f"worker-{(node - 1) // 2}/table"} if node else {"data": {"file": "start.csv"}},
        "outputs": {"table": f"tables/{node}.csv"},
    }  # fmt: skip


def graphs(bench: Bench) -> None:
    """100,000 nodes and 300,000 edges in order, against the standard library's sorter."""
    count = 10_000 if bench.quick else 100_000
    chance = random.Random(7)
    upstream = [tuple({chance.randrange(node) for _ in range(3)}) if node else () for node in range(count)]
    theirs, ours = interleaved(
        bench.rounds,
        _timed(lambda: list(graphlib.TopologicalSorter(dict(enumerate(upstream))).static_order())),
        _timed(lambda: order(upstream)),
    )
    what = f"graph of {count:,} nodes ordered"
    bench.add(Row(what, statistics.median(ours), "s", ratio(ours, theirs), "graphlib", "1.5 s"))


def _timed(action: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    return measure
