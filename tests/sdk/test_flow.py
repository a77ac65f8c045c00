"""Workflows in plain Python: functions, commands and scripts as workers, and runs as objects."""

from __future__ import annotations

import functools
import json as j
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wattle
from tests.helpers import unmeasured
from tests.terminal import REPOSITORY, Terminal
from wattle.core.errors import InvalidRequest, NotFound
from wattle.sdk.flow import Flow
from wattle.sdk.functions import cell_of
from wattle.sdk.runs import RunFailed

LIMIT = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    made = Terminal(tmp_path_factory.mktemp("flows"))
    assert made.wattle("up").returncode == 0
    yield made
    made.close()


@pytest.fixture
def flow(place: Terminal, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Flow]:
    monkeypatch.setenv("WATTLE_HOME", str(place.home))
    monkeypatch.chdir(place.folder)
    made = wattle.flow(request.node.originalname.removeprefix("test_")[:60], params={"day": 7})
    yield made
    made.client.close()


def test_functions_commands_and_scripts_are_workers_of_one_run(flow: Flow) -> None:
    flow.script("fetch", "echo b a $DAY > $WATTLE_OUTPUT_RAW", env_vars={"DAY": "${params.day}"}, outputs=["raw.txt"])

    @flow.worker(inputs={"raw": "fetch/raw"}, outputs=["words", "count"])
    def clean(raw: Path) -> dict[str, Any]:
        words = j.loads(j.dumps(raw.read_text().split()))
        return {"words": words, "count": len(words)}

    @flow.worker(inputs={"words": "clean/words"}, outputs=["report.txt"], each={"sep": [",", ";"]})
    def report(words: list[str], sep: str, report: Path, *, end: str = "!") -> None:
        report.write_text(sep.join(words) + end)

    flow.command("show", ["cat", "${inputs.all}"], inputs={"all": "report/report"}, needs=["clean"])
    run = flow.run(day=8).wait()
    assert run.status == "completed"
    assert run.result("clean/count") == 3
    assert run.result("report.2/report").read_text() == "b;a;8!"
    assert "b,a,8!b;a;8!" in run.logs("show")
    assert clean(Path(__file__))["count"] > 100, "a function stays one that can be called"


def test_a_run_is_waited_for_told_of_and_run_again(flow: Flow) -> None:
    @flow.worker(outputs=["n"])
    def make() -> int:
        sys.stderr.write("making\n")
        raise SystemExit(3)

    run = flow.run()
    with pytest.raises(RunFailed, match="failed: make exit") as caught:
        run.wait()
    assert caught.value.run is run
    assert caught.value.hint == f"wattle logs {run.address}/make"
    assert run.wait(check=False).workers == {"make": "failed"}
    assert "making" in run.logs()
    assert next(iter(run.follow_logs("make"))).startswith("making")
    assert run.rerun().wait(check=False).number == 2
    assert flow.latest().number == 2
    assert repr(run).startswith(f"<Run {run.address} failed, 0 of 1")
    with pytest.raises(RunFailed):
        run.result("make/n")
    with pytest.raises(NotFound, match="has no worker 'nosuch'"):
        run.wait_for("nosuch")


def test_a_run_of_what_is_stale_takes_over_what_holds(flow: Flow) -> None:
    flow.script("one", "echo 1 > $WATTLE_OUTPUT_N", outputs=["n.txt"])
    flow.script("two", "cat $WATTLE_INPUT_N", inputs={"n": "one/n"})
    first = flow.run().wait()
    flow.script("two", "cat $WATTLE_INPUT_N; echo 2", inputs={"n": "one/n"})
    again = flow.run(stale=True).wait()
    assert [state["reused_from"] for state in again.detail["workers"]] == [first.address, ""]
    assert again.logs("two").strip() == "1\n2"


def test_a_wait_has_a_limit_and_leaves_the_run_alone(flow: Flow) -> None:
    flow.command("nap", ["sleep", "60"])
    run = flow.run()
    with pytest.raises(TimeoutError, match=r"is still running after 0\.1 s"):
        run.wait(timeout=0.1)
    assert run.status == "running"
    assert run.stop().wait(check=False).status == "cancelled"


def test_a_saved_workflow_is_run_by_its_name(place: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_HOME", str(place.home))
    (place.folder / "named.yaml").write_text("name: named\nworkers: {a: {script: echo hi}}\n")
    place.wattle("create", "named.yaml")
    named = wattle.flow("named")
    assert named.run().wait().logs("a") == "hi\n"
    assert named.document()["workers"][0]["name"] == "a"
    named.client.close()


# ---- what a function takes along ------------------------------------------------------------------------------------


def test_modules_and_what_can_be_imported_are_imported_again() -> None:
    def work(path: Path) -> Any:
        return functools.reduce(lambda a, b: a + b, [os.sep, j.dumps(path.name)])

    assert cell_of(work, "work", ["path"], {"x": {"type": "object"}}) == (
        "import functools\nimport json as j\nimport os\n"
        "def work(path):\n    return functools.reduce(lambda a, b: a + b, [os.sep, j.dumps(path.name)])\n"
        "x = work(path=path)\n"
    )  # fmt: skip


def outer() -> list[Any]:
    there = 1

    def closes() -> int:
        return there

    def constant() -> int:
        return LIMIT

    def unknown() -> Any:
        return nosuch  # type: ignore[name-defined]  # noqa: F821

    def stranger(frame: Any) -> Any:
        return frame

    def everything(*args: Any) -> Any:
        return args

    short = lambda: 1  # noqa: E731
    return [(closes, "uses there of the function around it"), (constant, "uses LIMIT, a int that lives in this program"),
            (unknown, "uses nosuch, which is not defined"), (stranger, "its argument frame is no input"),
            (everything, r"\*args takes whatever comes"), (len, "source of .* cannot be found"),
            (short, "is no plain function")]  # fmt: skip


@pytest.mark.parametrize(("function", "said"), outer())
def test_what_cannot_be_taken_along_is_refused_by_name(function: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        cell_of(function, "w", [], {})


def test_it_is_there_without_ipython() -> None:
    code = "import sys, wattle; wattle.flow('x').command('a', 'true'); print([n for n in sys.modules if n in ('IPython', 'jupyter_wattle')])"
    told = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env=unmeasured())
    assert told.stdout.strip() == "[]"
