"""Cells that are workflows, workers and runs of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_wattle.kernel.session import Desk
from tests.kernel.conftest import Run
from tests.terminal import Terminal
from wattle.sdk.client import Client

CLEAN = "%%wattle worker {flow}/clean --in raw=fetch/raw --out table\ntable = open(raw).read().split()\n"
FETCH = "%%wattle worker {flow}/fetch --out raw.txt\nraw.write_text('b a')\n"
REPORT = "%%wattle worker {flow}/report --in table=clean/table --out text\ntext = ', '.join(sorted(table))\n"


def workers(place: Terminal, flow: str) -> dict[str, dict[str, Any]]:
    return {worker["name"]: worker for worker in place.ask("show", flow)["document"]["workers"]}


def desk_of(cell: Run) -> Desk:
    found: Desk = cell("get_ipython().magics_manager.registry['WattleMagics'].desk").result
    return found


def elsewhere(cell: Run) -> Client:
    """A client as another notebook has it."""
    desk = desk_of(cell)
    assert desk.last is not None
    return desk.another(desk.last)


def add_theirs(client: Client, flow: str) -> None:
    """What another notebook does to a workflow."""
    found = client.ask("get_workflow", workflow=flow)
    document = found["document"]
    document["workers"].append({"name": "theirs", "workflow_name": flow, "script": "true", "owner": "/x.ipynb"})
    client.ask("replace_workflow", workflow=flow, document=document, source=found["source"])


def test_a_workflow_cell_is_saved_and_drawn_and_not_started(cell: Run, place: Terminal) -> None:
    ran = cell("%%wattle workflow drawn\nworkers:\n  a: {script: echo, outputs: [x.txt]}\n  b: {script: echo, needs: [a]}\n")
    assert ran.shown[0]["text/plain"] == " ○ a ─ ○ b"
    assert place.ask("show", "drawn")["run"] is None


def test_with_run_it_is_started_with_variables_of_the_kernel_in_it(cell: Run) -> None:
    cell("words, name = ['x', 'y z'], 'ann'")
    cell("%%wattle workflow filled --run\n"
         "params: {words: {{ words }}}\n"
         "workers: {a: {each: {w: '${params.words}'}, script: 'echo {{ name }} says $WATTLE_EACH_W'}}\n")  # fmt: skip
    logs = cell("r = %wattle attach filled\nr.wait()\nr.logs()").result
    assert "ann says x\n" in logs
    assert "ann says y z\n" in logs


def test_every_problem_of_a_workflow_cell_is_shown_at_once_with_the_cells_line_marked(cell: Run) -> None:
    ran = cell("%%wattle workflow bad\nworkers:\n  a: {comand: x}\n  b: {command: x | y}\n")
    assert "this cell:3:7  workers.a.comand: unknown key 'comand'\n      a: {comand: x}\n          ^" in ran.text
    assert "this cell:4:16  workers.b.command" in ran.text
    assert "nothing was saved" in ran.text
    assert "Traceback" not in ran.text


def test_an_expression_that_cannot_be_filled_in_says_its_line(cell: Run) -> None:
    assert "line 2: {{ nosuch }} cannot be filled in: NameError" in cell("%%wattle workflow bad\nname: {{ nosuch }}\n").text


def test_worker_cells_hand_variables_on_and_pull_brings_the_last(cell: Run, place: Terminal) -> None:
    for text in (FETCH, CLEAN, REPORT):
        assert cell(text.format(flow="chain")).error is None
    assert workers(place, "chain")["clean"]["python"] == sys.executable
    cell("%wattle run chain")
    assert "text = str" in cell("%wattle pull chain/report/text").text
    assert cell("text").result == "a, b"
    assert cell("%wattle attach chain").shown[0]["text/plain"].count("✔") == 3


def test_cells_may_come_in_any_order_and_a_worker_says_whom_it_waits_for(cell: Run, place: Terminal) -> None:
    assert "upside/report waits for clean" in cell(REPORT.format(flow="upside")).text
    assert "upside/clean waits for fetch" in cell(CLEAN.format(flow="upside")).text
    assert place.wattle("show", "upside").returncode == 3
    assert "waits" not in cell(FETCH.format(flow="upside")).text
    assert set(workers(place, "upside")) == {"fetch", "clean", "report"}


def test_a_worker_that_is_defined_again_takes_its_place_and_says_what_is_stale(cell: Run, place: Terminal) -> None:
    for text in (FETCH, CLEAN, REPORT):
        cell(text.format(flow="again"))
    cell("r = %wattle run again\nr.wait()")
    assert "Stale" not in cell(CLEAN.format(flow="again")).text
    assert "Stale since the last run: clean, report." in cell(CLEAN.format(flow="again") + "table += ['c']\n").text
    assert list(workers(place, "again")) == ["fetch", "clean", "report"]
    cell("r = %wattle run again --stale\nr.wait()")
    assert cell("r.result('report/text')").result == "a, b, c"
    assert cell("r.detail['workers'][0]['reused_from']").result == "again@1"


def test_a_new_session_begins_the_notebooks_part_anew(cell: Run, place: Terminal) -> None:
    """What the notebook no longer says is gone after restart and run all, what others say stays."""
    cell(FETCH.format(flow="anew") + "# old")
    cell("%%wattle worker anew/gone\npass\n")
    with elsewhere(cell) as client:
        add_theirs(client, "anew")
    cell("%unload_ext wattle\n%load_ext wattle")
    cell(FETCH.format(flow="anew"))
    assert set(workers(place, "anew")) == {"fetch", "theirs"}
    assert "# old" not in workers(place, "anew")["fetch"]["cell"]


@pytest.mark.parametrize(("body", "mend"), [
    ("table = frame\n", "--push frame"),
    ("table = math.pi\n", "import math"),
    ("table = j.dumps(1)\n", "import json as j"),
    ("table = helper()\n", "define helper in the cell"),
    ("table = nobody\n", "nobody defines"),
    ("other = 1\n", "assign it: table = …"),
    ("table = (1\n", "was never closed"),
    ("%time table = 1\n", "is for IPython"),
])  # fmt: skip
def test_what_would_fail_in_the_worker_is_refused_with_the_line_that_mends_it(cell: Run, body: str, mend: str) -> None:
    cell("import math\nimport json as j\nframe = [1]\ndef helper(): return 1")
    ran = cell(f"%%wattle worker refused/a --out table\n{body}")
    assert mend in ran.text
    assert "Traceback" not in ran.text
    assert "There is no workflow" in cell("%wattle show refused").text


def test_pushed_variables_are_there_as_they_were_and_named_by_what_they_hold(cell: Run, place: Terminal) -> None:
    cell("rows = [{'a': 1}]")
    text = "%%wattle worker pushed/w --push rows --out n\nn = rows[0]['a'] + len(rows)\n"
    cell(text)
    (first,) = (place.folder / "wattle-runs" / "pushed" / "pushed").iterdir()
    assert json.loads(first.read_text()) == [{"a": 1}]
    cell("rows.append({})")
    cell("r = %wattle run pushed\nr.wait()")
    assert cell("r.result('w')").result == 2
    cell(text)
    assert len(list(first.parent.iterdir())) == 2
    cell("rows.pop()")
    cell(text)
    assert workers(place, "pushed")["w"]["inputs"]["rows"]["object"] == str(first)
    assert (place.folder / "wattle-runs" / ".gitignore").read_text() == "*\n"


def test_what_cannot_be_kept_is_not_pushed(cell: Run) -> None:
    cell("thing = object()")
    ran = cell("%%wattle worker odd/w --push thing\nprint(thing)\n")
    assert "--push thing" in ran.text
    assert "Traceback" not in ran.text


def test_options_may_follow_as_lines_of_the_body(cell: Run, place: Terminal) -> None:
    cell("rates = [0.5, 0.25]")
    cell("%%wattle worker tuned/fit\n"
         "#| each: rate={{ rates }} seed=1,2\n"
         "#| out: score\n"
         "#| timeout: 90s\n"
         "#| retries: 2\n"
         "#| tags: [nightly]\n"
         "\n"
         "score = rate * seed\n")  # fmt: skip
    fit = workers(place, "tuned")["fit"]
    assert fit["each"] == {"rate": [0.5, 0.25], "seed": [1, 2]}
    assert (fit["timeout"], fit["retries"]["max"], fit["tags"]) == (90, 2, ["nightly"])
    assert fit["cell"] == "#\n#\n#\n#\n#\n\nscore = rate * seed\n"
    cell("r = %wattle run tuned\nr.wait()")
    assert cell("r.result('fit.1/score'), r.result('fit/score')").result == (0.5, [0.5, 1.0, 0.25, 0.5])
    cell("%wattle pull tuned/fit/score")
    assert cell("score").result == [0.5, 1.0, 0.25, 0.5]


def test_a_cell_may_be_of_another_language(cell: Run, place: Terminal) -> None:
    cell("%%wattle worker shell/w --lang bash --out said.txt --env WHO=you\necho hello $WHO > $WATTLE_OUTPUT_SAID\n")
    assert workers(place, "shell")["w"]["script"] == "echo hello $WHO > $WATTLE_OUTPUT_SAID\n"
    assert cell("r = %wattle run shell\nr.wait()\nr.result('w').read_text()").result == "hello you\n"


def test_a_workflow_that_a_file_defines_is_not_changed_from_a_notebook(cell: Run, place: Terminal) -> None:
    (place.folder / "own.yaml").write_text("name: own\nworkers: {a: {script: 'true'}}\n")
    place.wattle("create", "own.yaml")
    assert f"is that of {place.folder / 'own.yaml'}" in cell("%%wattle worker own/b\npass\n").text


def test_two_notebooks_define_into_one_workflow_at_the_same_time(cell: Run, place: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's change between the look and the write is seen, and nothing of it is lost."""
    cell("%%wattle worker shared/a\npass\n")
    client = elsewhere(cell)
    desk = desk_of(cell)
    assert desk.last is not None
    kept = desk.kept(desk.last, "write")
    ask = kept.ask
    interfered: list[bool] = []

    def between(operation: str, **fields: Any) -> Any:
        if operation == "replace_workflow" and not interfered:
            interfered.append(True)
            add_theirs(client, "shared")
        return ask(operation, **fields)

    monkeypatch.setattr(kept, "ask", between)
    cell("%%wattle worker shared/b\npass\n")
    assert interfered
    assert list(workers(place, "shared")) == ["a", "theirs", "b"]
    client.close()


def test_a_workflow_cell_leaves_what_worker_cells_have_defined(cell: Run, place: Terminal) -> None:
    text = "%%wattle workflow mixed\nworkers: {fetch: {script: 'echo b a > $WATTLE_OUTPUT_RAW', outputs: [raw.txt]}}\n"
    for again in (text, CLEAN.format(flow="mixed"), text):
        assert cell(again).error is None
    assert set(workers(place, "mixed")) == {"fetch", "clean"}
    cell("%wattle delete mixed/clean")
    cell(text)
    assert set(workers(place, "mixed")) == {"fetch"}


def test_a_workflow_cell_brings_in_who_waited_for_it(cell: Run, place: Terminal) -> None:
    assert "waits for fetch" in cell(CLEAN.format(flow="late")).text
    cell("%%wattle workflow late\nworkers: {fetch: {script: 'echo b a > $WATTLE_OUTPUT_RAW', outputs: [raw.txt]}}\n")
    assert set(workers(place, "late")) == {"fetch", "clean"}


def test_what_a_workflow_cell_said_is_gone_with_it(cell: Run, place: Terminal) -> None:
    cell("%%wattle workflow without\non_failure: continue\nworkers: {old: {script: 'true'}}\n")
    cell("%unload_ext wattle\n%load_ext wattle")
    cell("%%wattle worker without/new\npass\n")
    assert set(workers(place, "without")) == {"new"}
    assert "on_failure" not in place.ask("show", "without")["document"]


def test_a_cell_runs_alone_in_the_background(cell: Run) -> None:
    cell("x = 20")
    ran = cell("%%wattle run --name alone --push x --out y\nprint('at work')\ny = x + 1\n")
    assert "alone@1" in ran.shown[0]["text/plain"]
    cell("%wattle pull alone/cell/y")
    assert cell("y").result == 21
    assert "    at work" in cell("r = %wattle attach alone\nr.aspect, r.focus = 'logs', 'cell'\nr").shown[0]["text/plain"]


def test_nobody_there_means_waiting_and_a_failed_run_fails_the_cell(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_WAIT", "1")
    assert "completed in" in cell("%wattle run etl.yaml").shown[0]["text/plain"]
    ran = cell("%%wattle run --name broken\nraise ValueError('no such thing')\n")
    assert type(ran.error).__name__ == "RunFailed"
    assert "✗ broken@1/cell  failed: exit 1" in str(ran.error)
    assert "cell, line 1:  raise ValueError('no such thing')" in str(ran.error)
    assert "magics.py" not in ran.text


def test_a_file_that_is_written_is_a_path_before_the_body(cell: Run) -> None:
    cell("%%wattle worker paths/w --out fig.png\nfig.write_bytes(b'png')\n")
    found = cell("r = %wattle run paths\nr.wait()\nr.result('w/fig')").result
    assert isinstance(found, Path)
    assert found.name == "fig.png"


def test_what_is_exported_holds_nothing_of_this_machine(cell: Run, place: Terminal) -> None:
    cell(FETCH.format(flow="told"))
    text = place.wattle("export", "told").stdout
    assert "raw.write_text" in text
    assert str(place.folder) not in text
    assert sys.executable not in text


def test_a_workflow_of_thousands_is_told_in_a_line(cell: Run) -> None:
    ran = cell("%%wattle workflow large\nworkers:\n" + "".join(f"  w{number}: {{command: 'true'}}\n" for number in range(2500)))
    assert ran.shown[0]["text/plain"] == "large: 2,500 workers. %wattle graph large --out large.svg draws them all."


def test_a_workflow_that_lacks_workers_says_so_and_fails_where_nobody_sees_it(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cell(FETCH.format(flow="lacking"))
    waits = cell(CLEAN.format(flow="lacking").replace("fetch/raw", "fetsh/raw")).text
    assert "lacking/clean waits for fetsh: it is saved when that is defined. Did you mean fetch?" in waits
    assert "not in it: lacking/clean" in cell("r = %wattle run lacking\nr.wait()").text
    monkeypatch.setenv("WATTLE_WAIT", "1")
    ran = cell("%wattle run lacking")
    assert "lacking is not complete" in ran.text
    assert ran.error is not None
