"""Line magics: the verbs of the command line, with objects for answers and sentences for mistakes."""

from __future__ import annotations

import re

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from tests.kernel.conftest import Run
from tests.terminal import Terminal

SPACED = """\
name: spaced
params: {a: null}
workers: {w: {script: 'echo "$A"', env_vars: {A: "${params.a}"}}}
"""


def completed(typed: str) -> list[str]:
    """The last word as it may go on."""
    with provisionalcompleter():
        found = list(InteractiveShell.instance().Completer.completions(typed, len(typed)))
    return [(typed[: one.start] + one.text).split()[-1] for one in found]


def test_loading_says_who_coordinates_and_what_runs(cell: Run, place: Terminal) -> None:
    cell("%unload_ext wattle")
    said = cell("%load_ext wattle").text
    assert re.fullmatch(r"Wattle \S+: coordinated in the background \(process \d+\); nothing runs\.\n", said)
    assert str(place.coordinator()) in said


def test_run_gives_a_run_at_once_which_can_be_waited_for(cell: Run) -> None:
    ran = cell("run = %wattle run etl.yaml")
    assert ran.error is None
    assert cell("run.wait().status").result == "completed"
    run = cell("run").shown[0]["text/plain"]
    assert re.search(r"✔ count .*\netl@\d+ completed in", run)


def test_a_run_gets_the_kernels_environment_its_python_first(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_WHO", "of the kernel")
    cell("run = %wattle run etl.yaml\nrun.wait()")
    assert "of the kernel" in cell("run.logs('count')").result


def test_run_stale_takes_over_what_still_holds_and_the_plan_says_so(cell: Run) -> None:
    cell("run = %wattle run etl.yaml\nrun.wait()")
    assert "same as etl@" in str(cell("%wattle plan etl --stale").result)
    cell("again = %wattle run etl --stale")
    assert cell("again.wait()\n[w['reused_from'] != '' for w in again.detail['workers']]").result == [True, True]


def test_wait_blocks_to_the_end_and_shows_the_run(cell: Run) -> None:
    cell("%wattle run etl.yaml")
    assert "completed in" in cell("%wattle wait etl").shown[-1]["text/plain"]


def test_pull_brings_a_value_and_a_path(cell: Run) -> None:
    cell("r = %wattle run etl.yaml")
    cell("%wattle pull etl/count/lines as n\n%wattle pull etl/fetch")
    assert cell("n, raw.read_text(), r.result('fetch/raw') == raw").result == (1, "raw\n", True)


def test_pull_refuses_what_is_no_name_and_what_is_no_output(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    assert "'2x' is not the name of a variable" in cell("%wattle pull etl/count/lines as 2x").text
    assert "no output" in cell("%wattle pull etl/count/liens").text
    assert "an output is meant" in cell("%wattle pull etl").text


@pytest.mark.parametrize(("line", "said"), [
    ("%wattle statsu", "did you mean: wattle status"),
    ("%wattle run nosuch", "There is no workflow nosuch"),
    ("%wattle run --job 3", "did you mean: --jobs"),
    ("%wattle status 'etl", "close the quotes"),
    ("%wattle serve", "is for a terminal"),
    ("%%wattle status\nx", "takes no cell"),
    ("%wattle run etl --set day={{ nosuch }}", "NameError"),
    ("%wattle wait etl/count", "is a worker, and a run is meant"),
])  # fmt: skip
def test_a_mistake_is_a_sentence_and_no_traceback(cell: Run, line: str, said: str) -> None:
    ran = cell(line)
    assert ran.error is not None
    assert said in ran.text
    assert "Traceback" not in ran.text
    assert ".py" not in ran.text


def test_answers_are_tables_in_text_and_html_and_their_data_is_there(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    said = cell("%wattle list").result
    assert said["workflows"][0]["name"] == "etl"
    bundle = said._repr_mimebundle_()
    assert "✔  etl" in bundle["text/plain"]
    assert re.search(r"<td[^>]*>etl</td>", bundle["text/html"])
    assert cell("%wattle list --json").result["total"] >= 1


def test_a_helps_question_mark_is_that_of_the_verb(cell: Run) -> None:
    assert "usage: %wattle run" in cell("%wattle run?").text
    assert "usage: %wattle pull" in cell("%wattle pull?").text
    assert "usage: wattle VERB" in cell("%wattle?").text
    assert "%%wattle worker" in cell("%%wattle?").text
    assert "usage: %%wattle workflow" in cell("%%wattle workflow?").text
    above = cell("%%wattle run?").text
    assert "usage: %%wattle run" in above
    assert "--push NAME" in above
    assert cell("%wattle logs --help").error is None


def test_variables_of_the_kernel_enter_option_lines_as_one_word(cell: Run, place: Terminal) -> None:
    (place.folder / "spaced.yaml").write_text(SPACED)
    cell("value, flow = 'two words', 'spaced.yaml'")
    cell("r = %wattle run {{ flow }} --set a={{ value }}\nr.wait()")
    assert cell("r.logs('w')").result == "two words\n"


@pytest.mark.parametrize(("typed", "expected"), [
    ("%wattle st", {"status", "stop", "start"}),
    ("%wattle pul", {"pull"}),
    ("%%wattle wo", {"workflow", "worker"}),
    ("%wattle run et", {"etl", "etl.yaml"}),
    ("%wattle run --se", {"--set"}),
    ("%wattle logs etl/", {"etl/fetch", "etl/count"}),
    ("%wattle pull etl/count/", {"etl/count/lines"}),
])  # fmt: skip
def test_the_tabulator_completes_verbs_flags_and_names(cell: Run, typed: str, expected: set[str]) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    found = completed(typed)
    assert expected <= set(found)


@pytest.mark.parametrize(("typed", "expected"), [
    ("%%wattle worker et", {"etl/"}),
    ("%%wattle worker etl/new --in raw=", {"raw=fetch/raw", "raw=count/lines"}),
    ("%%wattle worker etl/new --in l", {"lines=count/lines"}),
    ("%%wattle worker etl/new --needs fe", {"fetch"}),
    ("%%wattle worker etl/new --push own_", {"own_frame"}),
    ("%%wattle worker etl/new --ti", {"--timeout"}),
    ("%%wattle run --pu", {"--push"}),
])  # fmt: skip
def test_the_line_of_a_cell_is_completed_too(cell: Run, typed: str, expected: set[str]) -> None:
    cell("own_frame = 1\nr = %wattle run etl.yaml\nr.wait()")
    assert expected <= set(completed(typed))


def test_runs_are_completed_by_their_numbers(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    number = cell("r.number").result
    assert f"etl@{number}" in completed("%wattle status etl@")


def test_attach_without_a_name_finds_the_newest_run(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    found = cell("%wattle attach").shown
    assert f"etl@{cell('r.number').result}" in found[0]["text/plain"]


def test_logs_are_printed(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    assert "fetch | fetched" in cell("%wattle logs etl").text


def test_events_are_printed_and_are_values_when_asked_for(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    assert "worker-launched    etl@1/fetch" in cell("%wattle events etl").text
    assert cell("%wattle events etl --json").result[0]["type"] == "run-opened"


def test_several_answers_are_one(cell: Run, place: Terminal) -> None:
    (place.folder / "other.yaml").write_text("name: other\nworkers: {a: {script: 'true'}}\n")
    said = cell("%wattle validate etl.yaml other.yaml").result
    assert repr(said) == "✔ etl.yaml: etl, 2 workers\n✔ other.yaml: other, 1 worker"
    assert [one["name"] for one in said.data] == ["etl", "other"]


@pytest.mark.parametrize("line", ["%wattle run -", "%wattle get etl/fetch/raw --out -", "%wattle pipe"])
def test_what_needs_a_terminals_streams_is_refused(cell: Run, line: str) -> None:
    ran = cell(line)
    assert "kernel" in ran.text or "terminal" in ran.text
    assert "Traceback" not in ran.text


def test_json_gives_values_of_a_run_too(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    assert cell("%wattle wait etl --json").result["status"] == "completed"
