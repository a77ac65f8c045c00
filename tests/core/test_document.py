"""The workflow document: what is accepted, what it becomes, and that it comes back the same."""

from __future__ import annotations

from typing import Any

import pytest

from wattle.core.document import Parsed, dump, format_of, parse, parse_document, render, unavailable
from wattle.core.models import Each, Input, Output, Resources, Retry, Source, Worker, Workflow

ORIGINAL = """
{"name": "etl", "working_dir": "/data/etl",
 "workers": [{"name": "fetch", "workflow_name": "etl", "command": "python fetch.py", "args": ["--day", "1"],
              "working_dir": null, "env_vars": {"A": "b"}, "inputs": null, "outputs": {"raw": "raw.csv"}},
             {"name": "clean", "workflow_name": "etl", "command": "python clean.py", "inputs": {"raw": "fetch/raw"}}]}
"""

COMPARE = """
name: compare
params: {rates: [0.001, 0.01, 0.1], day: null}      # null = must be given: run compare --set day=2026-11-23
python: .venv
workers:
  fetch:
    script: curl -s "$URL/$DAY" | gzip -d > "$WATTLE_OUTPUT_RAW"
    env_vars: {DAY: "${params.day}"}
    outputs: [raw.csv]
  train:
    each: {lr: "${params.rates}", seed: [1, 2, 3]}
    command: python train.py --data ${inputs.raw} --lr ${each.lr} --seed ${each.seed} --out ${outputs.model}
    inputs: {raw: fetch/raw}
    outputs: {model: {type: file, name: model.pt}, score: {type: value}}
    retries: 2
    timeout: 2h
  report:
    notebook: report.ipynb
    inputs: {scores: train/score}
    when: ended
"""

FULL = """
name: full
description: every key there is
params: {n: 3, folder: out, rows: [{a: 1, b: x}, {a: 2, b: y}]}
mode: DependencyBased
max_concurrent_workers: 4
on_failure: continue
overlap: queue
grace: 3
env_vars: {MODE: "${params.folder}", ONE: 1, ON: true}
python: conda:geo
setup: [module load gcc, ulimit -n 1000]
tags: [nightly, nightly, small]
workers:
  sim:
    command: [sim, --n, 3, --out, "${outputs.data}"]
    args: [--row, "${each.a}", "${env.HOME}", "${run.number}"]
    each: "${params.rows}"
    max_concurrent: 2
    outputs: {data: "${params.folder}/${each.a}.csv"}
    retries: {max: 3, delay: 10s, backoff: 2}
    retry_lost: true
    resources: {cpus: 1.5, memory: 512M, gpus: 0, time: 1h30m}
    log_limit: 1G
    merge_logs: true
  check:
    each: sim
    command: check ${inputs.data}
    inputs: {data: sim/data, rules: {file: rules.txt}}
    outputs: {ok: {type: value}}
    working_dir: sub
  files:
    each: {file: {glob: "data/*.csv"}}
    command: wc ${each.file}
  rows:
    each: [{a: 1, b: null}, {a: 2, b: [3]}]
    command: echo ${each.a}
  last:
    script: |
      #!/usr/bin/perl
      print 1;
    inputs: {all: [check/ok, sim/data], one: [single/x], oks: check/ok}
    needs: [rows, rows]
    when: failed
    timeout: 90
    grace: 1m
    files: [lib.pl]
    description: a script
    tags: perl
    executor: slurm
    setup: |
      one
      two
    python: kernel:geo
  single: {command: "true", outputs: {x: x.txt}}
  notebook:
    notebook: a.ipynb
    parameters: {x: 1, y: {z: "${params.n}"}}
    kernel: python3
  cell:
    cell: |
      table = raw.dropna()
      fig.write_text("x")
    each: {lr: [0.1, 1]}
    python: /opt/env/bin/python
    inputs: {raw: {object: /data/raw.parquet}, table: cell0/table, plain: {file: x.csv}}
    outputs: {table: {type: object}, fig: {type: file, name: fig.png}, score: {type: value}}
    args: ["${params.n}"]
    owner: /home/me/etl.ipynb
  cell0: {cell: table = 1, outputs: {table: {type: object}}}
"""

LIVE = """
name: live
workers:
  engine:
    command: engine
    inputs: {steer: controller/commands}
    outputs: {state: {type: stream}}
  controller:
    command: controller
    inputs: {state: engine/state}
    outputs: {commands: {type: stream}}
  watcher: {command: watch, inputs: {state: engine/state}, service: true}
  after: {command: report, needs: [engine]}
"""


def of_yaml(text: str, base_dir: str = "/base") -> Workflow:
    return parse(text, "yaml", base_dir=base_dir).workflow


def worker(**fields: Any) -> Worker:
    """One worker as the JSON form makes it, with what it refers to around it."""
    others = [{"name": "one", "command": "x", "outputs": {"a": "a", "b": "b"}}]
    document = {"name": "w", "params": {"p": [1]}, "workers": [*others, {"name": "k", **fields}]}
    return parse_document(document, base_dir="/base").workflow.workers[1]


def test_the_form_of_the_original_clients_is_read() -> None:
    workflow = parse(ORIGINAL, "json", base_dir="/elsewhere").workflow
    fetch, clean = workflow.workers
    assert (workflow.name, workflow.working_dir) == ("etl", "/data/etl")
    assert fetch == Worker(name="fetch", command="python fetch.py", args=("--day", "1"), env_vars={"A": "b"},
                           outputs={"raw": Output(path="raw.csv")})  # fmt: skip
    assert clean.inputs == {"raw": Input(sources=(Source(worker="fetch", output="raw"),))}


def test_the_form_that_people_write_is_read() -> None:
    fetch, train, report = of_yaml(COMPARE).workers
    assert fetch.outputs == {"raw": Output(name="raw.csv")}
    assert fetch.merges_logs
    assert train.each == Each(product={"lr": "${params.rates}", "seed": [1, 2, 3]})
    assert train.outputs == {"model": Output(name="model.pt"), "score": Output(type="value")}
    assert (train.retries, train.timeout) == (Retry(max=2), 7200.0)
    assert not train.inputs["raw"].rows
    assert report.inputs["scores"].rows
    assert report.when == "ended"


def test_every_key_becomes_its_field() -> None:
    workflow = of_yaml(FULL)
    by_name = {one.name: one for one in workflow.workers}
    assert workflow.env_vars == {"MODE": "${params.folder}", "ONE": "1", "ON": "true"}
    assert (workflow.mode, workflow.on_failure, workflow.overlap) == ("dependency", "continue", "queue")
    assert (workflow.grace, workflow.max_concurrent_workers, workflow.tags) == (3.0, 4, ("nightly", "small"))
    assert workflow.setup == "module load gcc\nulimit -n 1000"
    sim = by_name["sim"]
    assert sim.command == ("sim", "--n", "3", "--out", "${outputs.data}")
    assert sim.each == Each(rows="${params.rows}")
    assert sim.resources == Resources(cpus=1.5, memory=512 << 20, gpus=0, time=5400.0)
    assert sim.retries == Retry(max=3, delay=10.0, backoff=2.0)
    assert (sim.log_limit, sim.merge_logs, sim.retry_lost, sim.max_concurrent) == (1 << 30, True, True, 2)
    assert by_name["check"].inputs["rules"] == Input(file="rules.txt")
    assert by_name["files"].each == Each(product={"file": {"glob": "data/*.csv"}})
    assert by_name["rows"].each == Each(rows=({"a": 1, "b": None}, {"a": 2, "b": [3]}))
    last = by_name["last"]
    assert (last.needs, last.timeout, last.grace, last.tags) == (("rows",), 90.0, 60.0, ("perl",))
    assert (last.setup, last.executor, last.files) == ("one\ntwo\n", "slurm", ("lib.pl",))
    cell = by_name["cell"]
    assert cell.cell == 'table = raw.dropna()\nfig.write_text("x")\n'
    assert (cell.kind, cell.owner, cell.python, cell.merges_logs) == (
        "cell", "/home/me/etl.ipynb", "/opt/env/bin/python", True)
    assert cell.inputs == {"raw": Input(file="/data/raw.parquet", object=True), "plain": Input(file="x.csv"),
                           "table": Input(sources=(Source(worker="cell0", output="table"),))}
    assert cell.outputs["table"] == Output(type="object")
    assert by_name["notebook"].outputs == {"notebook": Output(name="a.ipynb")}
    assert by_name["notebook"].parameters == {"x": 1, "y": {"z": "${params.n}"}}


def test_rows_come_from_lists_and_from_groups_that_are_not_paired() -> None:
    by_name = {one.name: one for one in of_yaml(FULL).workers}
    assert not by_name["check"].inputs["data"].rows
    assert {port: given.rows for port, given in by_name["last"].inputs.items()} == {
        "all": True,
        "one": True,
        "oks": True,
    }


def test_a_chain_of_pairs_shares_one_group() -> None:
    text = """
    name: w
    workers:
      a: {each: {x: [1, 2]}, command: a, outputs: [o]}
      b: {each: a, command: b, inputs: {i: a/o}, outputs: [o]}
      c: {each: b, command: "c ${each.x}", inputs: {i: a/o}}
      d: {each: {x: [1, 2]}, command: d, inputs: {i: a/o}}
    """
    assert [one.inputs["i"].rows for one in of_yaml(text).workers[1:]] == [False, False, True]


@pytest.mark.parametrize("text", [ORIGINAL, COMPARE, FULL, LIVE], ids=["original", "compare", "full", "live"])
def test_a_workflow_comes_back_the_same_from_its_json_form(text: str) -> None:
    workflow = of_yaml(text)  # JSON is YAML, too
    assert parse_document(dump(workflow), base_dir="/elsewhere").workflow == workflow


@pytest.mark.parametrize("text", [ORIGINAL, COMPARE, FULL, LIVE], ids=["original", "compare", "full", "live"])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_workflow_comes_back_the_same_from_what_people_read(text: str, form: Any) -> None:
    workflow = of_yaml(text)
    assert parse(render(workflow, form), form, base_dir="/elsewhere").workflow == workflow
    assert parse(render(workflow, form, relative_to="/base"), form, base_dir="/base").workflow == workflow


def test_toml_comes_back_the_same_where_nothing_is_null() -> None:
    for text in (ORIGINAL, LIVE, COMPARE.replace("day: null", "day: monday"), FULL.replace("b: null", "b: 0")):
        workflow = of_yaml(text)
        assert parse(render(workflow, "toml"), "toml", base_dir="/elsewhere").workflow == workflow


def test_export_reads_well() -> None:
    text = render(of_yaml(COMPARE), "yaml", relative_to="/base")
    assert "working_dir" not in text
    assert "outputs: [raw.csv]" in text
    assert "timeout: 2h" in text
    assert "retries: 2\n" in text
    assert "workflow_name" not in text


def test_the_fixed_form_always_has_its_first_keys() -> None:
    first = dump(of_yaml(COMPARE))["workers"][0]
    assert list(first)[:8] == [
        "name",
        "workflow_name",
        "command",
        "args",
        "working_dir",
        "env_vars",
        "inputs",
        "outputs",
    ]
    assert (first["workflow_name"], first["command"], first["args"], first["inputs"]) == ("compare", None, [], None)


def test_an_export_is_relative_only_below_the_folder_where_it_will_lie() -> None:
    workflow = of_yaml("name: w\nworking_dir: sub/dir\nworkers: {a: {command: x}}\n")
    assert workflow.working_dir == "/base/sub/dir"
    assert "working_dir: sub/dir\n" in render(workflow, "yaml", relative_to="/base")
    assert "working_dir: /base/sub/dir\n" in render(workflow, "yaml", relative_to="/base/other")


def test_the_working_directory_is_the_documents_folder_unless_it_says_another() -> None:
    line = "workers: {a: {command: x}}"
    assert of_yaml(f"name: w\n{line}").working_dir == "/base"
    assert of_yaml(f"name: w\nworking_dir: sub/./x\n{line}").working_dir == "/base/sub/x"
    assert of_yaml(f"name: w\nworking_dir: /abs\n{line}").working_dir == "/abs"


def test_a_name_may_be_given_from_outside() -> None:
    assert parse(ORIGINAL, "json", base_dir="/", name="other").workflow.name == "other"
    assert parse("workers: {a: {command: x}}", "yaml", base_dir="/", name="cell").workflow.name == "cell"


def test_null_is_as_if_the_key_were_not_there() -> None:
    keys = ("args", "working_dir", "env_vars", "inputs", "outputs", "retries", "timeout", "each", "script", "tags")
    assert worker(command="x", **dict.fromkeys(keys)) == Worker(name="k", command="x")


def test_values_of_variables_and_arguments_arrive_as_they_were_typed() -> None:
    typed = "[007, 1.50, 1e-3, yes, True, 0x1F, 2026-11-24, 1_000, .5, ~x, 12:30]"
    one = of_yaml(f"name: w\nworkers: {{a: {{command: x, args: {typed}, env_vars: {{A: 007, B: 1.0}}}}}}").workers[0]
    assert one.args == ("007", "1.50", "1e-3", "yes", "True", "0x1F", "2026-11-24", "1_000", ".5", "~x", "12:30")
    assert one.env_vars == {"A": "007", "B": "1.0"}


def test_what_was_typed_comes_through_aliases_and_merge_keys() -> None:
    text = """
    name: w
    workers:
      a: &a {command: x, env_vars: &e {N: 007, M: 1}}
      b: {<<: *a, env_vars: {<<: *e, M: 2}}
      c: {command: y, env_vars: *e}
    """
    a, b, c = of_yaml(text).workers
    assert (a.env_vars, b.env_vars, c.env_vars) == (
        {"N": "007", "M": "1"},
        {"M": "2", "N": "007"},
        {"N": "007", "M": "1"},
    )
    assert b.command == "x"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("one/a", Input(sources=(Source(worker="one", output="a"),))),
        (
            ["one/a", "one/b"],
            Input(sources=(Source(worker="one", output="a"), Source(worker="one", output="b")), rows=True),
        ),
        ({"file": "data/${params.p}.csv"}, Input(file="data/${params.p}.csv")),
    ],
)
def test_the_forms_of_an_input(given: Any, expected: Input) -> None:
    assert worker(command="x", inputs={"i": given}).inputs == {"i": expected}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["raw.csv", "model"], {"raw": Output(name="raw.csv"), "model": Output()}),
        (["data.tar.gz"], {"data": Output(name="data.tar.gz")}),
        ({"x": "out/x.csv"}, {"x": Output(path="out/x.csv")}),
        ({"x": {"path": "x"}}, {"x": Output(path="x")}),
        ({"x": {"name": "x.pt"}}, {"x": Output(name="x.pt")}),
        ({"x": {"type": "value"}, "y": {"type": "object"}}, {"x": Output(type="value"), "y": Output(type="object")}),
    ],
)
def test_the_forms_of_outputs(given: Any, expected: dict[str, Output]) -> None:
    assert worker(command="x", outputs=given).outputs == expected


def test_dates_of_toml_are_texts() -> None:
    dates = "{ day = 2026-11-24, at = 2026-11-24T10:00:00Z, t = [10:00:00] }"
    text = f'name = "w"\nparams = {dates}\n[workers.a]\ncommand = "x"'
    params = parse(text, "toml", base_dir="/").workflow.params
    assert params == {"day": "2026-11-24", "at": "2026-11-24T10:00:00+00:00", "t": ["10:00:00"]}


def test_a_script_that_holds_a_port_reference_is_warned_about() -> None:
    text = "name: w\nworkers: {a: {script: 'cat ${inputs.x} > $Y', inputs: {x: {file: x}}}}"
    (warning,) = parse(text, "yaml", base_dir="/").warnings
    assert "WATTLE_INPUT_X" in warning


def test_what_does_nothing_is_warned_about() -> None:
    text = "name: w\nmode: parallel\nworkers: {a: {command: x, when: failed, max_concurrent: 2}}"
    parsed = parse(text, "yaml", base_dir="/")
    assert isinstance(parsed, Parsed)
    assert [warning.split()[1] for warning in parsed.warnings] == ["parallel", "when:", "max_concurrent"]


def test_the_executed_copy_of_a_notebook_is_an_output_where_none_is_declared() -> None:
    assert worker(notebook="books/a.ipynb").outputs == {"notebook": Output(name="a.ipynb")}
    assert worker(notebook="${params.p}.ipynb").outputs == {"notebook": Output(name="notebook.ipynb")}
    own = worker(notebook="a.ipynb", outputs={"x": "x.csv", "notebook": "out/b.ipynb"})
    assert own.outputs == {"x": Output(path="x.csv"), "notebook": Output(path="out/b.ipynb")}
    assert "outputs" not in render(of_yaml("name: w\nworkers: {a: {notebook: a.ipynb}}"), "yaml")


def test_what_looks_wrong_in_a_cell_is_warned_about() -> None:
    cells = {
        "syntax": {"cell": "x = 1\ny = = 2"},
        "names": {"cell": "import os\nout = raw + lr + mine + fig\nprint(os)", "each": {"lr": [1]},
                  "inputs": {"raw": {"file": "x"}}, "outputs": {"out": {"type": "object"}, "fig": {"name": "f"}}},
        "unset": {"cell": "tabel = 1", "outputs": {"table": {"type": "object"}, "score": {"type": "value"}}},
        "star": {"cell": "from numpy import *\narray", "outputs": {"x": {"type": "object"}}},
        "unsure": {"cell": "lr", "each": "${params.rows}"},
    }  # fmt: skip
    document = {"name": "w", "params": {"rows": None}, "workers": cells}
    assert parse_document(document, base_dir="/").warnings == [
        "syntax, line 2: invalid syntax: y = = 2",
        "names, line 2: mine is neither assigned in the cell nor given to it.",
        "unset: the output table is never assigned in the cell.",
    ]  # fmt: skip


def test_what_this_version_cannot_run_is_named_with_its_place() -> None:
    assert unavailable(of_yaml(ORIGINAL)) == []
    paths = {problem.path for text in (COMPARE, FULL, LIVE) for problem in unavailable(of_yaml(text))}
    assert paths == {
        "workers.last.executor",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "form"),
    [("a/b.json", "json"), ("x.YML", "yaml"), ("x.yaml", "yaml"), ("x.toml", "toml"), ("x.txt", None), ("yaml", None)],
)
def test_the_suffix_tells_the_format(path: str, form: str | None) -> None:
    assert format_of(path) == form
