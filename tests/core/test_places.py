"""Where everything of a run lies."""

from __future__ import annotations

from typing import Any

import pytest

from wattle.core.errors import InvalidRequest
from wattle.core.expand import expand
from wattle.core.models import Each, Instance, Output, RunSpec, Worker, Workflow
from wattle.core.places import (
    collisions,
    environment_file,
    log_dir,
    log_paths,
    output_path,
    resolve,
    run_dir,
    run_log_dir,
    runs_dir,
    worker_dir,
)  # fmt: skip


def run_of(*workers: Worker, rows: dict[str, Any] | None = None, **params: Any) -> tuple[RunSpec, tuple[Instance, ...]]:
    document = Workflow(name="etl", working_dir="/data/etl", workers=workers)
    spec = RunSpec(id=1, workflow="etl", number=12, document=document, params=params, rows=rows or {})
    return spec, expand(document, spec.rows)


def path_of(output: Output, working_dir: str | None = None, **params: Any) -> str:
    worker = Worker(name="a", command="true", working_dir=working_dir, outputs={"raw": output})
    spec, (instance,) = run_of(worker, **params)
    return output_path(spec, instance, "raw")


def test_folders_of_a_run() -> None:
    spec, (instance,) = run_of(Worker(name="clean", command="true"))
    assert runs_dir(spec.document) == "/data/etl/wattle-runs"
    assert run_dir(spec.document, "etl", 12) == "/data/etl/wattle-runs/etl/12"
    assert worker_dir(spec, instance) == "/data/etl/wattle-runs/etl/12/clean"
    assert run_log_dir("/logs", "etl", 12) == "/logs/etl/12"
    assert log_dir("/logs", "etl", 12, "clean", 2) == "/logs/etl/12/clean/2"
    assert environment_file("/logs", "etl", 12) == "/logs/etl/12/.environment.json"


def test_a_working_directory_of_root_makes_no_double_slash() -> None:
    assert run_dir(Workflow(name="etl", working_dir="/", workers=()), "etl", 1) == "/wattle-runs/etl/1"


def test_commands_have_two_logs_and_scripts_have_one() -> None:
    spec, (command, script) = run_of(Worker(name="a", command="true"), Worker(name="b", script="true"))
    assert log_paths("/logs", spec, command, 1) == {
        "stdout": "/logs/etl/12/a/1/stdout.log", "stderr": "/logs/etl/12/a/1/stderr.log",
    }  # fmt: skip
    assert log_paths("/logs", spec, script, 3) == {"stdout": "/logs/etl/12/b/3/stdout.log"}


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (Output(), "/data/etl/wattle-runs/etl/12/a/raw"),
        (Output(name="raw.csv"), "/data/etl/wattle-runs/etl/12/a/raw.csv"),
        (Output(name="${params.day}.csv"), "/data/etl/wattle-runs/etl/12/a/monday.csv"),
        (Output(type="value"), "/data/etl/wattle-runs/etl/12/a/raw.json"),
        (Output(type="value", name="v"), "/data/etl/wattle-runs/etl/12/a/v"),
        (Output(type="object"), "/data/etl/wattle-runs/etl/12/a/raw"),
        (Output(path="out/raw.csv"), "/data/etl/out/raw.csv"),
        (Output(path="./raw.csv"), "/data/etl/raw.csv"),
        (Output(path="/abs/${params.day}-${run.number}.csv"), "/abs/monday-12.csv"),
        (Output(path="${run.dir}/x"), "/data/etl/wattle-runs/etl/12/x"),
        (Output(path="a$${params.day}b"), "/data/etl/a${params.day}b"),
    ],
)
def test_where_an_output_lies(output: Output, path: str) -> None:
    assert path_of(output, day="monday") == path


@pytest.mark.parametrize(
    ("working_dir", "path"), [("sub", "/data/etl/sub/o"), ("/else", "/else/o"), ("${params.d}", "/data/etl/x y/o")]
)
def test_a_declared_path_is_relative_to_the_workers_directory(working_dir: str, path: str) -> None:
    assert path_of(Output(path="o"), working_dir, d="x y") == path


def test_parent_steps_are_left_to_the_disk_because_of_links() -> None:
    assert resolve("/data/link", "../x") == "/data/link/../x"
    assert resolve("/data", "C:\\x") == "C:\\x"


@pytest.mark.parametrize("path", ["${env.SCRATCH}/x", "${inputs.raw}.out", "${each.x}", "${params.typo}"])
def test_a_path_that_refers_to_what_is_not_known_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match=r"etl/a: .* there is no \$\{"):
        path_of(Output(path=path))


def group(path: str) -> tuple[RunSpec, tuple[Instance, ...]]:
    each = Each(product={"x": [1, 2, 3]})
    worker = Worker(name="t", command="true", each=each, outputs={"m": Output(path=path), "own": Output()})
    return run_of(worker, rows={"t": ({"x": 1}, {"x": 2}, {"x": 3})})


def test_instances_that_would_write_one_path_are_told() -> None:
    assert collisions(*group("m.pt")) == ["/data/etl/m.pt is the output of t.1/m and t.2/m and 1 more"]
    assert collisions(*group("m-${each.x}.pt")) == []
    assert [output_path(*group("m-${each.x}.pt")[:1], one, "m") for one in group("m-${each.x}.pt")[1]] == [
        "/data/etl/m-1.pt", "/data/etl/m-2.pt", "/data/etl/m-3.pt",
    ]  # fmt: skip


def test_workers_collide_through_different_spellings_and_folders() -> None:
    spec, instances = run_of(
        Worker(name="a", command="true", outputs={"o": Output(path="x/../y")}),
        Worker(name="b", command="true", working_dir="y", outputs={"o": Output(path="../${params.p}")}),
        Worker(name="c", command="true", outputs={"o": Output(type="stream", path="y")}), p="y",
    )  # fmt: skip
    assert collisions(spec, instances) == ["/data/etl/y is the output of a/o and b/o"]


def test_places_of_one_run_are_not_taken_for_anothers() -> None:
    first, (instance,) = run_of(Worker(name="a", command="true", outputs={"o": Output(path="${params.p}")}), p="1")
    second, _ = run_of(Worker(name="a", command="true", outputs={"o": Output(path="${params.p}")}), p="2")
    found = [output_path(spec, instance, "o") for spec in (first, second, first)]
    assert found == ["/data/etl/1", "/data/etl/2", "/data/etl/1"]
