"""What a worker's program reads and writes, in processes of their own and in a real run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import unmeasured, wait_until
from tests.terminal import REPOSITORY, Terminal
from wattle import worker
from wattle.core.errors import InvalidRequest, WattleError
from wattle.sdk import worker_here
from wattle.sdk.worker_values import VALUE_LIMIT, Progress

MARKS = ("WATTLE_WORKFLOW_NAME", "WATTLE_WORKER_NAME", "WATTLE_RUN_DIR", "WATTLE_PARAMS")


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No worker around the test itself."""
    for name in MARKS:
        monkeypatch.delenv(name, raising=False)
    worker_here.forget()
    yield
    worker_here.forget()


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker `etl@12/train.4`, its run folder."""
    folder = tmp_path / "wattle-runs" / "etl" / "12"
    (folder / "train.4").mkdir(parents=True)
    (tmp_path / "raw.csv").write_text("a,b\n")
    (tmp_path / "limit.json").write_text("[1, 2.5, null]")
    (tmp_path / "word.json").write_text("hello there\n")
    told = {"WORKFLOW_NAME": "etl", "WORKER_NAME": "train.4", "RUN": "12", "ATTEMPT": "2", "RUN_DIR": str(folder),
            "PARAMS": '{"rate": 0.5, "Day": "2026-11-23"}', "EACH_LR": "0.01", "EACH_MODEL": "big", "EACH_SIZES": "[1, 2]",
            "INPUT_RAW": str(tmp_path / "raw.csv"), "INPUT_LIMIT": str(tmp_path / "limit.json"), "INPUT_GONE": "",
            "INPUT_WORD": str(tmp_path / "word.json"), "OUTPUT_MODEL": str(folder / "train.4" / "model.pt"),
            "OUTPUT_SCORE": str(folder / "train.4" / "score.json")}  # fmt: skip
    for name, text in told.items():
        monkeypatch.setenv(f"WATTLE_{name}", text)
    return folder


def program(code: str, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False,
                          env={**unmeasured(), "PYTHONPATH": str(REPOSITORY), **(env or {})})  # fmt: skip


# ---- what it costs --------------------------------------------------------------------------------------------


def test_importing_it_brings_in_a_list_of_names_only() -> None:
    code = "import sys; before = set(sys.modules); from wattle import worker; print(*sorted(set(sys.modules) - before))"
    found = set(program(code).stdout.split())
    assert found <= {"__future__", "wattle", "wattle.sdk", "wattle.sdk.worker", "importlib", "importlib._bootstrap",
                     "importlib._bootstrap_external", "importlib._abc", "warnings", "_warnings"}  # fmt: skip


def test_files_values_and_progress_are_of_the_standard_library(tmp_path: Path) -> None:
    code = """
import sys
from wattle import worker
with worker.local(values={"limit": 3}, folder=sys.argv[1]):
    worker.put("score", worker.inputs["limit"].value)
    worker.progress(0.5, "half")
print(*sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
"""
    told = program(code.replace("sys.argv[1]", repr(str(tmp_path))), "-S")
    assert set(told.stdout.split()) == {"__main__", "wattle"}, told.stderr


# ---- what it reads --------------------------------------------------------------------------------------------


def test_a_worker_knows_who_it_is(inside: Path) -> None:
    assert (worker.workflow, worker.name, worker.run, worker.attempt) == ("etl", "train.4", 12, 2)
    assert worker.run_dir == inside
    assert dict(worker.params) == {"rate": 0.5, "Day": "2026-11-23"}
    assert worker.params["day"] == "2026-11-23"
    assert dict(worker.each) == {"lr": 0.01, "model": "big", "sizes": [1, 2]}


def test_an_input_is_a_path_that_can_hold_a_value(inside: Path) -> None:
    raw = worker.inputs["raw"]
    assert isinstance(raw, Path)
    assert raw.read_text() == "a,b\n"
    assert worker.inputs["RAW"] == raw
    assert (raw.parent / "limit.json").exists()
    assert os.fspath(raw) == str(raw)
    assert worker.inputs["limit"].value == [1, 2.5, None]
    assert worker.inputs["word"].value == "hello there"
    assert sorted(worker.inputs) == ["limit", "raw", "word"]


def test_an_input_that_was_not_made_is_not_there(inside: Path) -> None:
    assert "gone" not in worker.inputs
    assert worker.inputs.get("gone") is None
    with pytest.raises(worker.NoSuchPort, match="the input 'gone' was not made by its worker"):
        _ = worker.inputs["gone"]


@pytest.mark.parametrize(
    ("mapping", "name", "message", "hint"),
    [("inputs", "rwa", "etl@12/train.4 has no input 'rwa'", "did you mean 'raw'?"),
     ("outputs", "table", "etl@12/train.4 has no output 'table'", "outputs: model, score"),
     ("params", "rat", "etl@12/train.4 has no param 'rat'", "did you mean 'rate'?"),
     ("each", "xyz", "etl@12/train.4 has no each value 'xyz'", "each values: lr, model, sizes")],
)  # fmt: skip
def test_an_unknown_name_says_which_there_are(inside: Path, mapping: str, name: str, message: str, hint: str) -> None:
    with pytest.raises(worker.NoSuchPort) as caught:
        _ = getattr(worker, mapping)[name]
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, WattleError)


def test_rows_of_a_fan_in_have_paths_where_there_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           inside: Path) -> None:  # fmt: skip
    rows: list[dict[str, Any]] = [{"lr": 0.1, "out": "/kept", "model": "/run/a.1/model"}, {"lr": 0.2, "out": "/kept", "model": None},
                                  {"worker": "a", "score": 0.5}, {"worker": "b", "score": "word"}]  # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    monkeypatch.setenv("WATTLE_INPUT_ALL", str(tmp_path / "rows.json"))
    assert worker.inputs["all"].rows == [{**rows[0], "model": Path("/run/a.1/model")}, *rows[1:]]
    for port in ("raw", "limit"):
        with pytest.raises(worker.NotJson, match=f"{port} is not a fan-in, so it has no rows"):
            _ = worker.inputs[port].rows


def test_a_file_that_is_too_large_for_a_value_is_told(tmp_path: Path, inside: Path) -> None:
    (tmp_path / "raw.csv").write_bytes(b"x" * (VALUE_LIMIT + 1))
    with pytest.raises(worker.NotJson, match="raw is larger than 1 MiB, so it is a file and not a value"):
        _ = worker.inputs["raw"].value


# ---- what it writes -------------------------------------------------------------------------------------------


class Array:
    """What NumPy's arrays and numbers have in common."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def tolist(self) -> Any:
        return self.plain


def test_the_last_value_put_counts(inside: Path) -> None:
    score = inside / "train.4" / "score.json"
    for value in (1, {"é": [True, None, (1, 2)], "n": Array([1.5, 2])}, 0.25, "text"):
        worker.put("score", value)
    assert score.read_bytes() == b'"text"'
    worker.put("score", {"é": [True, None, (1, 2)], "n": Array([1.5, 2])})
    assert json.loads(score.read_text(encoding="utf-8")) == {"é": [True, None, [1, 2]], "n": [1.5, 2]}
    assert [path.name for path in score.parent.iterdir()] == ["score.json"]


LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "message"),
    [(math.nan, "score is not JSON: score is nan, which JSON does not know"),
     ({"loss": [0, 1, -math.inf]}, "score is not JSON: score['loss'][2] is -inf, which JSON does not know"),
     ({"a": {"b": object()}}, "score is not JSON: score['a']['b'] is of type object"),
     ({"a": [Array([1, math.nan])]}, "score is not JSON: score['a'][0][1] is nan, which JSON does not know"),
     ({"a": {(1, 2): 3}}, "score is not JSON: score['a'] has the key (1, 2)"),
     (["\ud800"], "score is not JSON: score[0] holds half a character (a lone surrogate)"),
     (b"bytes", "score is not JSON: score is of type bytes"),
     (LOOP, "score is not JSON: score[0] holds itself")],
    ids=lambda value: None if isinstance(value, str) else "value",
)  # fmt: skip
def test_what_json_cannot_hold_is_refused_by_its_place(inside: Path, value: Any, message: str) -> None:
    worker.put("score", 1)
    with pytest.raises(worker.NotJson) as caught:
        worker.put("score", value)
    assert str(caught.value) == message
    assert (inside / "train.4" / "score.json").read_bytes() == b"1", "the last good one stays"


def test_a_value_too_deep_or_too_large_is_refused(inside: Path) -> None:
    with pytest.raises(worker.NotJson, match="is nested too deep"):
        worker.put("score", DEEP)
    with pytest.raises(worker.NotJson, match=r"score is 1\.5 MiB of JSON; a value has at most 1 MiB"):
        worker.put("score", "x" * (VALUE_LIMIT * 3 // 2))
    worker.put("score", "x" * (VALUE_LIMIT - 2))


def test_a_reader_never_sees_half_a_value(inside: Path) -> None:
    score = inside / "train.4" / "score.json"
    code = """
from wattle import worker
for number in range(400):
    worker.put("score", [number] * 5000)
"""
    worker.put("score", [])
    writer = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    seen = set()
    while writer.poll() is None:
        seen.add(len(json.loads(score.read_bytes())))
    assert writer.returncode == 0
    assert seen <= {0, 5000}
    assert 5000 in {*seen, len(json.loads(score.read_bytes()))}


# ---- progress -------------------------------------------------------------------------------------------------


def progress_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / ".progress.json").read_bytes()))


def test_progress_is_a_file_whose_last_word_always_arrives(inside: Path) -> None:
    (inside / "train.4").rmdir()
    for number in range(1001):
        worker.progress(number / 1000, f"epoch\n {number}")
    wait_until(lambda: progress_of(inside / "train.4")
               == {"attempt": 2, "fraction": 1.0, "text": "epoch 1000"})  # fmt: skip
    assert (inside.parents[1] / ".gitignore").read_text() == "*\n"


def test_progress_is_written_a_few_times_a_second_only(tmp_path: Path) -> None:
    written: list[bytes] = []
    progress = Progress(tmp_path, 1)
    progress.tell = written.append
    for number in range(200):
        progress.report(number / 1000, "")
    assert len(written) <= 3, "unless 200 reports take as long as three writes"


def test_the_last_report_before_the_end_is_written(inside: Path) -> None:
    code = "from wattle import worker\nworker.progress(0.1)\nworker.progress(0.9, 'nearly')\nraise SystemExit(3)"
    assert program(code).returncode == 3
    assert progress_of(inside / "train.4") == {"attempt": 2, "fraction": 0.9, "text": "nearly"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_reports_too(inside: Path) -> None:
    code = """
import os, time
from wattle import worker
worker.progress(0.0)
worker.progress(0.05, "parent")
if not os.fork():
    time.sleep(0.2)
    worker.progress(0.1, "child")
    worker.progress(0.7, "child at its end")
    time.sleep(0.3)
    os._exit(0)
os.wait()
print(open(worker.run_dir / worker.name / ".progress.json").read())
"""
    told = program(code, "-W", "ignore")
    assert json.loads(told.stdout)["text"] == "child at its end", told.stderr


@pytest.mark.parametrize(("given", "kept"), [(1.01, 1.0), (-0.1, 0.0), (True, 1.0), (None, None)])
def test_a_fraction_a_little_off_is_put_right(inside: Path, given: float | None, kept: float | None) -> None:
    worker.progress(given, "x" * 1000)
    wait_until(lambda: progress_of(inside / "train.4")["fraction"] == kept)
    assert len(progress_of(inside / "train.4")["text"]) == 200


@pytest.mark.parametrize("given", [40, math.nan, "half"])
def test_what_is_no_fraction_is_refused(inside: Path, given: Any) -> None:
    with pytest.raises(InvalidRequest, match="takes a fraction between 0 and 1"):
        worker.progress(given)


def test_progress_never_fails_a_worker_for_want_of_a_disk(inside: Path) -> None:
    (inside / "train.4").rmdir()
    (inside / "train.4").write_text("in the way")
    worker.progress(0.5)


# ---- alone ----------------------------------------------------------------------------------------------------


def test_outside_a_worker_every_name_says_what_to_write() -> None:
    for name in ("name", "inputs", "outputs", "params", "run_dir"):
        with pytest.raises(worker.NotInWorker, match="does not run as a worker: WATTLE_WORKER_NAME is not set") as caught:
            getattr(worker, name)
        assert "with worker.local(" in caught.value.hint
    told = program("from wattle import worker\nworker.put('score', 1)")
    assert told.stderr.splitlines()[-2:] == [
        "wattle.sdk.worker_errors.NotInWorker: This program does not run as a worker: WATTLE_WORKER_NAME is not set.",
        '  run it in a workflow (wattle run), or alone: with worker.local(inputs={"raw": "a.csv"}):',
    ]  # fmt: skip


def test_an_environment_that_is_half_a_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_WORKER_NAME", "a")
    with pytest.raises(worker.NotInWorker, match="The environment is not that of a worker: 'WATTLE_WORKFLOW_NAME'"):
        _ = worker.name


def test_a_script_runs_alone_with_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.csv").write_text("1\n2\n")
    rows = [{"lr": 0.1, "model": tmp_path / "m"}]
    with worker.local(inputs={"raw": "raw.csv", "all": rows}, values={"limit": "3"}, params={"p": 1},
                      each={"lr": 2}) as alone:  # fmt: skip
        assert worker.inputs["raw"].read_text() == "1\n2\n"
        assert worker.inputs["all"].rows == rows
        assert worker.inputs["limit"].value == "3"
        assert (worker.params["p"], worker.each["lr"], worker.name, worker.run) == (1, 2, "local", 0)
        worker.outputs["model"].write_text("m")
        worker.put("score", [1])
        worker.progress(0.5, "half")
        with worker.local(values={"limit": 4}):
            assert worker.inputs["limit"].value == 4
        assert worker.inputs["raw"].exists()
    folder = tmp_path / "wattle-local"
    assert alone.values == {"score": [1]}
    assert (folder / "model").read_text() == "m"
    assert progress_of(folder)["text"] == "half"
    assert (folder / ".gitignore").read_text() == "*\n"
    with pytest.raises(worker.NotInWorker):
        _ = worker.name


def test_local_with_declared_outputs_knows_no_others(tmp_path: Path) -> None:
    with worker.local(outputs={"model": "deep/model.pt", "score": tmp_path / "s.json"}, folder=tmp_path / "f"):
        worker.outputs["model"].write_text("m")
        worker.put("score", 1)
        with pytest.raises(worker.NoSuchPort, match="local has no output 'scores'"):
            worker.put("scores", 1)
    assert (tmp_path / "f" / "deep" / "model.pt").exists()
    assert (tmp_path / "s.json").read_text() == "1"
    with worker.local(outputs=["model"], folder=tmp_path):
        assert worker.outputs["model"] == tmp_path / "model"


def test_local_refuses_inputs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the input 'raw' is not there"), worker.local({"raw": "no.csv"}):
        pass
    with pytest.raises(worker.NotJson, match="is neither a path nor a list of rows"), worker.local(
            {"n": 3}, folder=tmp_path):  # fmt: skip
        pass


def test_local_steps_aside_in_a_real_worker(inside: Path) -> None:
    with worker.local(inputs={"raw": "not there"}) as real:
        assert (worker.name, real.name) == ("train.4", "train.4")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"wattle\.worker has no 'input'; it has: "):
        _ = worker.input  # type: ignore[attr-defined]
    assert set(worker.__all__) <= set(dir(worker))
    assert list(worker.__all__) == sorted(worker.__all__, key=lambda name: (name[0].islower(), name))


# ---- a real run -----------------------------------------------------------------------------------------------

MAKE = """
from wattle import worker
worker.outputs["table"].write_text(f"{worker.workflow}@{worker.run}/{worker.name} {worker.params['day']}")
worker.put("score", {"lr": worker.each["lr"], "attempt": worker.attempt})
worker.progress(1, "made")
"""
USE = """
from wattle import worker
tables = [row["table"].read_text() for row in worker.inputs["tables"].rows]
scores = [row["score"] for row in worker.inputs["scores"].rows]
worker.put("all", {"tables": tables, "scores": scores, "first": worker.inputs["first"].value})
"""


def test_two_workers_of_a_run_exchange_files_and_values(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    (tmp_path / "make.py").write_text(MAKE)
    (tmp_path / "use.py").write_text(USE)
    python = sys.executable
    document = terminal.write("etl.json", {"name": "etl", "params": {"day": "monday"}, "workers": {
        "make": {"command": [python, "make.py"], "each": {"lr": [0.1, 2]},
                 "outputs": {"table": {"type": "file"}, "score": {"type": "value"}}},
        "one": {"script": 'echo 41 > "$WATTLE_OUTPUT_SCORE"', "outputs": {"score": {"type": "value"}}},
        "use": {"command": [python, "use.py"], "outputs": {"all": {"type": "value"}},
                "inputs": {"tables": "make/table", "scores": "make/score", "first": "one/score"}}}})  # fmt: skip
    try:
        done = terminal.wattle("run", document)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        terminal.close()
    folder = tmp_path / "wattle-runs" / "etl" / "1"
    assert json.loads((folder / "use" / "all.json").read_text()) == {
        "tables": ["etl@1/make.1 monday", "etl@1/make.2 monday"], "first": 41,
        "scores": [{"lr": 0.1, "attempt": 1}, {"lr": 2, "attempt": 1}]}  # fmt: skip
    assert progress_of(folder / "make.1") == {"attempt": 1, "fraction": 1.0, "text": "made"}
