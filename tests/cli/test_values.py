"""Values by word: a worker's own script puts and gets them without anybody, a person puts them while a worker runs."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import unmeasured, wait_until
from tests.terminal import REPOSITORY, Terminal
from wattle.cli.main import main
from wattle.sdk import worker_here


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a worker with an input `rate`, a missing input `gone` and an output `score`."""
    (tmp_path / "rate.json").write_text('"née"')
    told = {
        "WATTLE_WORKFLOW_NAME": "etl", "WATTLE_WORKER_NAME": "clean", "WATTLE_RUN": "3", "WATTLE_ATTEMPT": "1",
        "WATTLE_INPUT_RATE": str(tmp_path / "rate.json"), "WATTLE_INPUT_GONE": "",
        "WATTLE_OUTPUT_SCORE": str(tmp_path / "score.json"), "WATTLE_HOME": str(tmp_path / "nowhere"),
    }  # fmt: skip
    for name, text in told.items():
        monkeypatch.setenv(name, text)
    worker_here.forget()
    return tmp_path


@pytest.mark.parametrize(("words", "piped", "value"), [
    (["0.93"], None, 0.93), (["née"], None, "née"), (["12", "--text"], None, "12"), (['{"a": [null]}'], None, {"a": [None]}),
    (["NaN"], None, "NaN"), (["-"], "[1, 2]\n", [1, 2]), ([], "line one\nline two\n", "line one\nline two"),
    (["--", "-1"], None, -1),
])  # fmt: skip
def test_a_script_puts_a_value_of_its_own(inside: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
                                          piped: str | None, value: object) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(piped or ""))
    assert main(["put", "score", *words]) == 0
    assert json.loads((inside / "score.json").read_text(encoding="utf-8")) == value


def test_a_script_gets_its_inputs_and_what_it_has_put(inside: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "rate"]) == 0
    assert main(["get", "RATE", "--raw"]) == 0
    assert main(["put", "score", "[1]"]) == 0
    assert main(["get", "score"]) == 0
    assert main(["get", "rate", "--json"]) == 0
    assert main(["get", "rate", "--out", str(inside / "copy")]) == 0
    told = capfd.readouterr().out.splitlines()
    assert told[:3] == ['"née"', "née", "[1]"]
    assert json.loads(told[3]) == {"port": "rate", "path": str(inside / "rate.json"), "value": "née"}
    assert (inside / "copy").read_text(encoding="utf-8") == '"née"'


@pytest.mark.parametrize(("words", "code", "told"), [
    (["put", "scor", "1"], 2, "etl@3/clean has no output 'scor'"),
    (["get", "rat"], 2, "etl@3/clean has no input 'rat'"),
    (["get", "gone"], 2, "the input 'gone' was not made by its worker"),
    (["get", "score"], 3, "nothing has been put yet"),
    (["put", "score"], 2, "The standard input is empty"),
])
def test_a_script_is_told_what_is_wrong(inside: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, told: str,
                                        capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(words) == code
    assert told in capfd.readouterr().err
    assert not (inside / "score.json").exists()


def test_a_script_says_how_far_it_is(inside: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WATTLE_RUN_DIR", str(inside))
    worker_here.forget()
    assert main(["progress", "40%", "epoch", "4"]) == 0
    assert json.loads((inside / "clean" / ".progress.json").read_text()) == {"attempt": 1, "fraction": 0.4, "text": "epoch 4"}
    assert main(["progress", "40"]) == 2
    assert main(["progress", "half"]) == 2
    monkeypatch.delenv("WATTLE_WORKER_NAME")
    worker_here.forget()
    assert main(["progress", "0.4"]) == 2
    assert "WATTLE_WORKER_NAME is not set" in capfd.readouterr().err


def test_a_script_pays_for_nothing_but_the_standard_library(inside: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "wattle", "put", "score", "1"]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=unmeasured(os.environ))
    assert told.returncode == 0, told.stderr[-2000:]
    modules = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", told.stderr, re.MULTILINE)}
    assert modules - {*sys.stdlib_module_names, "sitecustomize", "usercustomize", "_distutils_hack"} == {"wattle"}
    assert not (inside / "nowhere").exists(), "no state root is looked for"


def test_a_person_puts_a_value_while_its_worker_runs_and_not_after(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        (terminal.folder / "etl.yaml").write_text(
            "name: etl\nworkers:\n  a:\n    script: until [ -e go ]; do sleep 0.02; done\n"
            "    outputs: {score: {type: value}}\n"
            "  b: {command: 'echo got ${inputs.score}', inputs: {score: a/score}}\n")  # fmt: skip
        assert terminal.wattle("up").returncode == 0
        assert terminal.wattle("run", "etl.yaml", "-d").returncode == 0
        wait_until(lambda: '"running"' in terminal.wattle("status", "etl/a", "--json").stdout)
        assert terminal.wattle("put", "etl/a/score", "0.5").stdout == "Put etl@1/a/score: 0.5\n"
        told = json.loads(terminal.wattle("put", "etl@1/a/score", "0.93", "--json").stdout)
        assert (told["address"], told["value"]) == ("etl@1/a/score", 0.93)
        (terminal.folder / "go").touch()
        assert terminal.wattle("wait", "etl").returncode == 0
        assert terminal.wattle("logs", "etl/b").stdout.strip().endswith("got 0.93")
        late = terminal.wattle("put", "etl/a/score", "1")
        assert (late.returncode, "etl@1/a does not run now: it is completed." in late.stderr) == (1, True)
        nobody = terminal.wattle("put", "score", "1")
        assert (nobody.returncode, "whose value is it?" in nobody.stderr) == (2, True)
        audit = [json.loads(line) for line in (terminal.home / "audit.log").read_text().splitlines()]
        assert [(line["operation"], line["address"], line["outcome"]) for line in audit if line["operation"] == "put_output"] == [
            ("put_output", "etl/a", "ok"), ("put_output", "etl@1/a", "ok"), ("put_output", "etl/a", "not-running")]
    finally:
        terminal.close()
