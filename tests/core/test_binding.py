"""Environment variables in the paths of a run."""

from __future__ import annotations

import pytest

from wattle.core.binding import bind_environment
from wattle.core.errors import InvalidRequest
from wattle.core.models import Each, Input, Output, Worker, Workflow


def workflow(worker: Worker, **env_vars: str) -> Workflow:
    return Workflow(name="etl", working_dir="/data", workers=(worker,), env_vars=env_vars)


def test_paths_are_bound_and_everything_else_keeps_its_reference() -> None:
    worker = Worker(
        name="a", command="tool ${env.KEY}", args=("${env.KEY}",), env_vars={"K": "${env.KEY}"},
        working_dir="${env.SCRATCH}/w", inputs={"raw": Input(file="${env.SCRATCH}/in")},
        outputs={"o": Output(path="${env.SCRATCH}/${params.day}"), "n": Output(name="${env.SCRATCH}")},
        each=Each(product={"f": {"glob": "${env.SCRATCH}/*"}, "x": ["${env.SCRATCH}"]}),
    )  # fmt: skip
    bound = bind_environment(workflow(worker), {"SCRATCH": "/s", "KEY": "secret"}).workers[0]
    assert bound == Worker(
        name="a", command="tool ${env.KEY}", args=("${env.KEY}",), env_vars={"K": "${env.KEY}"},
        working_dir="/s/w", inputs={"raw": Input(file="/s/in")},
        outputs={"o": Output(path="/s/${params.day}"), "n": Output(name="/s")},
        each=Each(product={"f": {"glob": "/s/*"}, "x": ["${env.SCRATCH}"]}),
    )  # fmt: skip


def test_the_place_of_a_notebook_is_bound_and_its_parameters_keep_their_references() -> None:
    worker = Worker(name="a", notebook="${env.BOOKS}/a.ipynb", parameters={"x": [{"y": "${env.KEY}"}]})
    bound = bind_environment(workflow(worker), {"BOOKS": "/b", "KEY": "secret"}).workers[0]
    assert (bound.notebook, bound.parameters) == ("/b/a.ipynb", {"x": [{"y": "${env.KEY}"}]})
    with pytest.raises(InvalidRequest, match=r"not set: KEY \(in a\)"):
        bind_environment(workflow(worker), {"BOOKS": "/b"})


def test_a_variable_of_the_workflow_wins_and_may_use_the_base_and_params() -> None:
    worker = Worker(name="a", command="true", outputs={"o": Output(path="${env.DIR}/x")})
    bound = bind_environment(workflow(worker, DIR="${env.DIR}/${params.day}"), {"DIR": "/${params.not}"})
    assert bound.workers[0].outputs["o"].path == "/$${params.not}/${params.day}/x"


def test_a_workflow_without_such_paths_is_left_as_it_is() -> None:
    document = workflow(Worker(name="a", command="${env.HOME}"))
    assert bind_environment(document, {"HOME": "/h"}) == document


def test_all_variables_that_are_not_set_are_told_at_once() -> None:
    worker = Worker(name="a", command="x ${env.ONE}", outputs={"o": Output(path="${env.TWO}")})
    with pytest.raises(InvalidRequest) as caught:
        bind_environment(workflow(worker, X="${env.THREE} ${env.HOME}"), {"HOME": "/h"})
    assert caught.value.message == (
        "etl refers to environment variables that are not set: THREE (in env_vars), ONE (in a), TWO (in a)"
    )
    assert caught.value.hint == "export THREE=… first, or set it under env_vars"
