"""Where saved variables lie, and that all who must agree on it do."""

from __future__ import annotations

from wattle.core.models import Instance, Output, RunSpec, Worker, Workflow
from wattle.core.objects import SUFFIXES, candidates
from wattle.core.places import collisions
from wattle.runtime import cell_values


def test_the_runner_that_knows_no_wattle_has_the_same_suffixes() -> None:
    assert cell_values.SUFFIXES == SUFFIXES
    assert tuple(cell_values._READERS) == SUFFIXES


def test_the_files_of_a_stem_are_told() -> None:
    assert candidates("/a/table")[:2] == ("/a/table.parquet", "/a/table.feather")


def test_a_file_that_an_object_could_take_is_a_collision() -> None:
    workers = (Worker(name="a", cell="1", outputs={"t": Output(type="object")}),
               Worker(name="b", command="x", outputs={"o": Output(path="wattle-runs/w/1/a/t.json")}))  # fmt: skip
    spec = RunSpec(id=1, workflow="w", number=1, document=Workflow(name="w", working_dir="/d", workers=workers))
    instances = [Instance(index=number, name=worker.name, worker=worker.name) for number, worker in enumerate(workers)]
    assert collisions(spec, instances) == ["/d/wattle-runs/w/1/a/t.json is the output of a/t and b/o"]
