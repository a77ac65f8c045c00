"""Every verb for real, against a live coordinator and without one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import unmeasured
from tests.terminal import Terminal
from wattle.cli.main import main

FLOW = """\
name: etl
workers:
  fetch:
    script: printf 'one\\ntwo\\n' > "$WATTLE_OUTPUT_RAW"; echo fetched; echo careful >&2
    outputs: [raw.txt]
  count:
    command: python3 -c "import sys; print(open(sys.argv[1]).read().count('o'))" ${inputs.raw}
    inputs: {raw: fetch/raw}
"""
BAD = "name: bad\nworkers:\n  a: {comand: x}\n  b: {command: x | y}\n"


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A state root with one completed run of `etl` and one failed run of `broken`, and a coordinator."""
    made = Terminal(tmp_path_factory.mktemp("cli"))
    (made.folder / "wattle.yaml").write_text(FLOW)
    (made.folder / "bad.yaml").write_text(BAD)
    (made.folder / "broken.yaml").write_text("name: broken\nworkers:\n  a: {script: echo oh no; exit 3, merge_logs: false}\n")
    assert made.wattle("up").returncode == 0
    assert made.wattle("run").returncode == 0
    yield made
    made.close()


@pytest.fixture
def here(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The same command line within this process, as a client of that coordinator."""
    monkeypatch.chdir(terminal.folder)
    monkeypatch.setenv("WATTLE_HOME", str(terminal.home))
    return Here(terminal, capsys)


class Here:
    def __init__(self, terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
        self.terminal = terminal
        self.folder = terminal.folder
        self._capsys = capsys

    def wattle(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        code = main(words)
        told = self._capsys.readouterr()
        return subprocess.CompletedProcess(words, code, told.out, told.err)


def said(terminal: Terminal | Here, *words: str, code: int = 0) -> str:
    done = terminal.wattle(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def test_a_failed_run_ends_with_its_block_and_exit_code_one(here: Here) -> None:
    text = said(here, "run", "broken.yaml", code=1)
    assert re.search(r"✗ broken@\d+/a  failed: exit 3 after .*\n    oh no\n  log   wattle logs broken@\d+/a", text)
    assert re.search(r"broken@\d+ failed in .* \(a\) · Wattle itself \d+ ms · 0 warnings", text)


def test_status_of_all_of_a_run_and_of_a_worker(here: Here) -> None:
    assert "etl@1" in said(here, "status")
    assert re.search(r"✔ count +\d+ ?.*s\netl@1 completed in", said(here, "status", "etl"))
    assert "attempt 1  completed" in said(here, "status", "etl@1/count")


@pytest.mark.parametrize(("words", "expected"), [
    ("list", "etl"), ("show etl", "count"), ("runs etl", "etl@1"), ("runs", "etl@1"), ("plan etl", "2 processes in 2 levels"),
    ("plan", "2 processes in 2 levels"), ("graph etl", "fetch ─ ✔ count"), ("graph", "fetch ─ ○ count"),
    ("gantt etl", "critical path"), ("get etl/fetch", "raw.txt"), ("get etl/fetch/raw", "wattle-runs/etl/1/fetch/raw.txt"),
    ("get etl/fetch/raw --out -", "one\ntwo"), ("events etl", "worker-exited"), ("events", "run-opened"),
    ("logs etl/fetch", "fetched"), ("logs etl", "count | 2"), ("logs etl/count -f", "2"), ("logs etl -f", "fetch | fetched"),
    ("logs etl/fetch --tail 1", "careful"), ("wait etl", "completed in"), ("attach etl", "etl@1 completed"),
    ("validate", "✔ wattle.yaml: etl, 2 workers"), ("export etl", "name: etl"), ("prune", "Would forget"),
    ("doctor", "✔ database"), ("up", "Coordinating in the background"),
])  # fmt: skip
def test_what_the_verbs_say(here: Here, words: str, expected: str) -> None:
    assert expected in said(here, *words.split())


@pytest.mark.parametrize("words", ["list", "status", "status etl", "show etl", "show etl/fetch", "runs etl", "plan etl", "plan",
                                   "graph etl", "gantt etl", "get etl/fetch", "get etl/fetch/raw", "validate", "doctor", "up",
                                   "prune", "version", "wait etl", "attach etl"])  # fmt: skip
def test_json_is_the_reply_as_it_is(here: Here, words: str) -> None:
    assert json.loads(said(here, *words.split(), "--json"))


def test_only_what_is_stale_is_run_again_and_the_plan_says_why(here: Here) -> None:
    lazy = here.folder / "lazy.yaml"
    lazy.write_text(FLOW.replace("name: etl", "name: lazy"))
    said(here, "run", "lazy.yaml")
    lazy.write_text(lazy.read_text().replace("count('o')", "count('t')"))
    text = said(here, "plan", "lazy.yaml", "--stale")
    assert "1 of 2 processes run, the results of 1 are taken over" in text
    assert re.search(r"✔ 1 +fetch +reuse +same as lazy@1 .*\n +○ 2 +count +run +command changed", text)
    text = said(here, "run", "lazy.yaml", "--stale")
    assert "fetch  taken over from lazy@1" in text
    assert said(here, "logs", "lazy@2/count").strip() == "1", "it read what fetch had left in lazy@1"
    again = json.loads(said(here, "run", "lazy", "--stale", "--json"))
    assert {worker["name"]: worker["reused_from"] for worker in again["workers"]} == {"fetch": "lazy@1", "count": "lazy@2"}


def test_lines_of_json_for_what_comes_bit_by_bit(here: Here) -> None:
    for words in ("events etl", "logs etl/fetch"):
        lines = said(here, *words.split(), "--json").strip().split("\n")
        assert all(isinstance(json.loads(line), dict) for line in lines)


@pytest.mark.parametrize(("words", "code", "expected"), [
    ("status nope", 3, "nope"), ("status etl@99", 3, "99"), ("logs etl/nope", 3, "nope"), ("show nope", 3, "nope"),
    ("run nope.yaml", 3, "no file nope.yaml"), ("run nope", 3, "nope"), ("run bad.yaml", 2, "3 problems in bad.yaml"),
    ("stop etl", 1, "etl"), ("start etl", 2, "a worker is meant"), ("attach etl/fetch", 2, "a run is meant"),
    ("stauts", 2, "did you mean: wattle status"), ("get etl/fetch/nope", 3, "nope"), ("run --set day=1", 2, "day"),
    ("graph bad.yaml", 2, "comand"), ("export nope", 3, "nope"), ("rerun etl --from nope", 3, "nope"),
    ("delete nope", 3, "nope"), ("init", 1, "There is a wattle.yaml here already"), ("new a --command x --in b", 2, "PORT="),
    ("new b --command x --in raw=nope/x", 2, "nope"), ("export etl wattle.yaml", 1, "already"),
])  # fmt: skip
def test_mistakes_get_a_sentence_and_an_exit_code(here: Here, words: str, code: int, expected: str) -> None:
    before = (here.folder / "wattle.yaml").read_text()
    assert expected in said(here, *words.split(), code=code)
    assert (here.folder / "wattle.yaml").read_text() == before


def test_errors_are_json_too(here: Here) -> None:
    done = here.wattle("status", "nope", "--json")
    assert done.stdout == ""
    assert json.loads(done.stderr)["code"] == "not-found"
    found = json.loads(here.wattle("run", "bad.yaml", "--json").stderr)
    assert [problem["line"] for problem in found["problems"]] == [3, 3, 4]


def test_a_document_from_the_standard_input_runs(terminal: Terminal) -> None:
    done = terminal.wattle("run", "-", "--name", "piped", stdin='{"name": "x", "workers": [{"name": "a", "command": "true"}]}')
    assert done.returncode == 0
    assert "piped@1 completed" in done.stdout


def test_a_run_left_alone_is_waited_for_and_stopped(here: Here) -> None:
    here.terminal.write("slow.json", {"name": "slow", "workers": [{"name": "a", "command": "sleep 60"}]})
    assert "Started slow@1.  wattle attach slow@1" in said(here, "run", "slow.json", "-d")
    assert "run-active" in here.wattle("run", "slow", "--json").stderr
    assert "Stopping slow@1" in said(here, "stop", "slow")
    assert "slow@1 cancelled" in said(here, "wait", "slow", code=1)


def test_start_restart_and_rerun(here: Here) -> None:
    assert re.search(r"etl@\d+ completed", said(here, "start", "etl/count"))
    assert "start of etl/count" in said(here, "status", "etl")
    assert "taken over from etl@1" in said(here, "rerun", "etl@1", "--from", "count")
    assert re.search(r"Restarting count in etl@\d+", said(here, "restart", "etl@1/count"))
    said(here, "wait", "etl")


def test_documents_come_and_go(here: Here) -> None:
    said(here, "export", "etl", "copy.toml")
    assert "Saved other: 2 workers" in said(here, "create", "copy.toml", "--name", "other")
    assert "count" not in said(here, "delete", "other/count")
    said(here, "delete", "other")
    assert "other" not in said(here, "list")


def test_pictures_go_into_files(here: Here) -> None:
    for words in ("graph wattle.yaml --out dag.svg", "gantt etl@1 --out bars.svg"):
        said(here, *words.split())
        assert "<svg" in (here.folder / words.split()[-1]).read_text()


def test_control_characters_reach_a_file_and_not_a_terminal(here: Here) -> None:
    here.terminal.write("red.json", {"name": "red", "workers": [{"name": "a", "command": ["printf", "\\033[31mred\\n"]}]})
    said(here, "run", "red.json")
    assert said(here, "logs", "red/a") == "\033[31mred\n"


def test_a_reader_that_leaves_early_is_no_error(terminal: Terminal) -> None:
    script = f"{sys.executable} -m wattle events --json | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=terminal.folder, env=terminal.environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_init_and_new_make_a_workflow_that_runs(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "my flow", tmp_path / "home")
    terminal.folder.mkdir()
    try:
        said(terminal, "init")
        said(terminal, "new", "end", "--command", "cat ${inputs.s}", "--in", "s=shout/shout")
        assert re.search(r"my-flow@1 completed in .*warnings\n", said(terminal, "run"))
        assert "HELLO FROM" in said(terminal, "logs", "my-flow/end")
    finally:
        terminal.close()


def test_the_demo_runs_twice_and_is_never_written_over(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        text = said(terminal, "demo")
        assert text.startswith("Wrote wattle-demo/ (wattle.yaml and 5 scripts). Running it")
        assert "stdlib@1 completed in" in text
        assert "  results   wattle-demo/wattle-runs/stdlib/latest/report/report.md\n" in text
        assert "Imported most" in (tmp_path / "wattle-demo/wattle-runs/stdlib/latest/report/report.md").read_text()
        assert "Found wattle-demo/" in said(terminal, "demo", "--detach")
        (tmp_path / "wattle-demo" / "chart.py").write_text("mine")
        assert "chart.py" in said(terminal, "demo", code=1)
    finally:
        terminal.close()


def test_the_overview_the_version_and_an_empty_state_root(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert "First steps: wattle demo" in said(terminal)
    assert said(terminal, "--version").startswith("Wattle ")
    assert "No runs yet" in said(terminal, "status")
    terminal.close()


def test_a_bug_is_one_line_and_a_file_for_this_person_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("WATTLE_HOME", str(tmp_path))
    monkeypatch.setattr("wattle.cli.main.parse", lambda _words: 1 / 0)
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    path = Path(re.findall(r"The story is in (\S+)", told)[0])
    assert path.parent == tmp_path
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in path.read_text()
    assert "Traceback" not in told


@pytest.mark.parametrize("words", ["status", "status etl", "list", "logs etl/fetch", "run wattle.yaml", "events"])
def test_verbs_against_a_live_coordinator_stay_light(terminal: Terminal, words: str) -> None:
    """Each of these would be felt: a whole command may take a tenth of a second."""
    command = [sys.executable, "-X", "importtime", "-m", "wattle", *words.split()]
    environment = unmeasured(terminal.environment)
    done = subprocess.run(command, cwd=terminal.folder, env=environment, capture_output=True, text=True, check=False)
    modules = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    heavy = {"asyncio", "dataclasses", "email", "http.client", "matplotlib", "msgspec", "networkx", "sqlalchemy", "ssl",
             "tornado", "yaml"}  # fmt: skip
    assert "wattle.cli.main" in modules
    assert not heavy & modules


def test_a_description_does_not_drive_the_terminal(terminal: Terminal) -> None:
    path = terminal.write("hostile.json", {"name": "hostile", "description": "red \033[31mand\a loud", "workers": {
        "a": {"command": "true"}}})  # fmt: skip
    assert terminal.wattle("create", path).returncode == 0
    for words in (["list"], ["show", "hostile"]):
        said = terminal.wattle(*words).stdout
        assert "\033" not in said
        assert "and loud" in said
