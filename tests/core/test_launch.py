"""From an instance to the process to make."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.errors import InvalidRequest
from wattle.core.expand import expand, resolve_rows
from wattle.core.launch import Launcher, describe
from wattle.core.models import Each, Input, Output, RunSpec, Source, Worker, Workflow
from wattle.core.records import Launch, OutputRef
from wattle.core.template import escape

RUN = "/data/etl/wattle-runs/etl/12"


class Made:
    """A run of a workflow, ready to launch; `values` are what value outputs hold, `failed` made nothing."""

    def __init__(self, *workers: Worker, params: Mapping[str, Any] | None = None, base: Mapping[str, str] | None = None,
                 origins: Mapping[str, RunSpec] | None = None, **fields: Any) -> None:  # fmt: skip
        document = Workflow(name="etl", working_dir="/data/etl", workers=workers, **fields)
        rows = resolve_rows(document, params or {}, lambda _: [])
        self.spec = RunSpec(id=7, workflow="etl", number=12, document=document, params=dict(params or {}), rows=rows)
        self.instances = {instance.name: instance for instance in expand(document, rows)}
        self.launcher = Launcher(self.spec, list(self.instances.values()), log_root="/logs",
                                 base_environment=base or {}, origins=origins)  # fmt: skip
        self.values: dict[str, Any] = {}
        self.failed: set[str] = set()

    def locate(self, index: int, port: str) -> OutputRef:
        instance = list(self.instances.values())[index]
        ref = self.launcher.output(instance, port, ended=instance.name not in self.failed)
        return OutputRef(ref.type, ref.path, self.values.get(instance.name)) if ref.type == "value" else ref

    def launch(self, name: str = "a", attempt: int = 1) -> Launch:
        limits = {"slots": (1.0, 2.0)}
        return self.launcher.launch(self.instances[name], attempt, "nonce", locate=self.locate, limits=limits)


def one(**fields: Any) -> Launch:
    return Made(Worker(name="a", **fields)).launch()


# ---- words ----------------------------------------------------------------------------------------------------


def test_a_trivial_command_is_just_that() -> None:
    assert one(command="/bin/true") == Launch(
        nonce="nonce", run=7, worker="a", attempt=1, argv=("/bin/true",), cwd="/data/etl", env_id="etl@12",
        env={"PYTHONUNBUFFERED": "1", "WATTLE_WORKFLOW_NAME": "etl", "WATTLE_WORKER_NAME": "a", "WATTLE_RUN": "12",
             "WATTLE_RUN_DIR": RUN, "WATTLE_ATTEMPT": "1"},
        stdout="/logs/etl/12/a/1/stdout.log", stderr="/logs/etl/12/a/1/stderr.log",
        directories=("/data/etl", "/logs/etl/12/a/1"), limits={"slots": (1, 2)},
    )  # fmt: skip


def test_a_text_is_split_as_a_shell_does_and_a_list_is_taken_as_it_is() -> None:
    assert one(command="""a 'b c' "d \\" e" f\\ g""", args=("h i",)).argv == ("a", "b c", 'd " e', "f g", "h i")
    assert one(command=("a b", "'c'"), args=("d",)).argv == ("a b", "'c'", "d")


def test_a_command_that_cannot_be_split_is_told() -> None:
    with pytest.raises(InvalidRequest, match="etl/a: the command has a ' that is not closed"):
        one(command="echo 'x")


NASTY = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from(" '\"\\\n$(){}`|;&")
)


@given(NASTY, st.sampled_from(["tool ${params.p} end", 'tool "${params.p}" end', "tool '${params.p}' end"]))
def test_a_value_is_one_argument_byte_for_byte(value: str, command: str) -> None:
    made = Made(Worker(name="a", command=command, args=("<${params.p}>",), env_vars={"P": "${params.p}"}),
                params={"p": value})  # fmt: skip
    launch = made.launch()
    assert launch.argv == ("tool", value, "end", f"<{value}>")
    assert launch.env["P"] == value


@given(st.lists(NASTY, min_size=1))
def test_any_words_survive_being_quoted_and_escaped(words: list[str]) -> None:
    command = shlex.join(["tool", *map(escape, words)])
    assert one(command=command).argv == ("tool", *words)
    assert one(command=("tool", *map(escape, words))).argv == ("tool", *words)


def test_every_kind_of_reference_is_filled() -> None:
    made = Made(
        Worker(name="src", command="true", outputs={"o": Output(name="o.csv")}),
        Worker(name="a", command="x ${inputs.i} ${outputs.m} ${params.p} ${each.e} ${env.E} ${run.number}",
               args=("${run.dir}", "${X}"), each=Each(product={"e": [True]}),
               inputs={"i": Input(sources=(Source(worker="src", output="o"),))},
               outputs={"m": Output(path="m-${each.e}")}, env_vars={"Y": "${each.e}/${env.W}"}),
        params={"p": [1, 2]}, base={"E": "base"}, env_vars={"W": "${env.E}:${params.p}:${run.number}"},
    )  # fmt: skip
    launch = made.launch("a.1")
    assert launch.argv == ("x", f"{RUN}/src/o.csv", "/data/etl/m-true", "[1, 2]", "true", "base", "12", RUN, "${X}")
    assert launch.env["W"] == "base:[1, 2]:12"
    assert launch.env["Y"] == "true/base:[1, 2]:12"
    assert RUN in launch.directories
    assert launch.links == {"/data/etl/wattle-runs/etl/latest": "12"}


@pytest.mark.parametrize("word", ["${inputs.x}", "${outputs.x}", "${params.x}", "${each.x}", "${env.x}", "${run.x}"])
def test_what_is_not_known_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match=r"etl/a: there is no \$"):
        one(command=("tool", word))


# ---- scripts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "words", "suffix"),
    [
        ("bash", ("bash", "-euo", "pipefail"), ".sh"), ("sh", ("sh", "-eu"), ".sh"), ("python", ("python",), ".py"),
        ("node", ("node",), ".js"), ("Rscript", ("Rscript",), ".R"),
    ],
)  # fmt: skip
def test_a_script_is_kept_as_a_file_of_the_attempt(lang: str, words: tuple[str, ...], suffix: str) -> None:
    path = f"/logs/etl/12/a/1/script{suffix}"
    launch = one(script="echo ${params.x}\n", lang=lang, args=("--n", "${run.number}"))
    assert launch.argv == (*words, path, "--n", "12")
    assert launch.files == {path: "echo ${params.x}\n"}
    assert launch.scripts == ()
    assert launch.stderr is None


def test_a_script_with_a_hash_bang_line_is_run_itself() -> None:
    launch = one(script="#!/usr/bin/awk -f\n{print}\n", args=("x",))
    assert launch.argv == ("/logs/etl/12/a/1/script.sh", "x")
    assert launch.scripts == ("/logs/etl/12/a/1/script.sh",)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lang 'perl' is not known"):
        one(script="x", lang="perl")


# ---- environment ----------------------------------------------------------------------------------------------


def test_the_workers_variables_win_over_the_workflows_and_wattles_over_both() -> None:
    made = Made(Worker(name="a", command="true", env_vars={"X": "worker", "WATTLE_RUN": "mine"}),
                env_vars={"X": "workflow", "Y": "workflow"})  # fmt: skip
    env = made.launch().env
    assert (env["X"], env["Y"], env["WATTLE_RUN"]) == ("worker", "workflow", "12")


def test_a_worker_may_lengthen_a_variable_of_the_workflow_or_the_base() -> None:
    made = Made(Worker(name="a", command="true", env_vars={"PATH": "/w:${env.PATH}", "X": "${env.X}+"}),
                base={"PATH": "/bin"}, env_vars={"X": "x"})  # fmt: skip
    env = made.launch().env
    assert (env["PATH"], env["X"]) == ("/w:/bin", "x+")


@pytest.mark.parametrize(
    ("base", "workflow", "worker", "seen"),
    [({}, {}, {}, "1"), ({"PYTHONUNBUFFERED": ""}, {}, {}, None), ({}, {"PYTHONUNBUFFERED": ""}, {}, ""),
     ({}, {}, {"PYTHONUNBUFFERED": "x"}, "x")],
)  # fmt: skip
def test_python_is_unbuffered_unless_somebody_says_otherwise(
    base: dict[str, str], workflow: dict[str, str], worker: dict[str, str], seen: str | None
) -> None:
    made = Made(Worker(name="a", command="true", env_vars=worker), base=base, env_vars=workflow)
    assert made.launch().env.get("PYTHONUNBUFFERED") == seen


def test_a_script_finds_its_row_and_ports_in_the_environment() -> None:
    made = Made(Worker(name="a", script="x", each=Each(product={"lr": [0.1], "tag": ["b c"], "deep": [{"k": [None]}]}),
                       outputs={"out": Output(), "score": Output(type="value"), "live": Output(type="stream")},
                       inputs={"raw": Input(file="in/${each.tag}.csv")}))  # fmt: skip
    launch = made.launch("a.1", attempt=3)
    own = {name.removeprefix("WATTLE_"): value for name, value in launch.env.items() if name.startswith("WATTLE_")}
    assert own == {
        "WORKFLOW_NAME": "etl", "WORKER_NAME": "a.1", "RUN": "12", "RUN_DIR": RUN, "ATTEMPT": "3", "EACH_LR": "0.1",
        "EACH_TAG": "b c",
        "EACH_DEEP": '{"k": [null]}', "OUTPUT_OUT": f"{RUN}/a.1/out", "OUTPUT_SCORE": f"{RUN}/a.1/score.json",
        "INPUT_RAW": "/data/etl/in/b c.csv",
    }  # fmt: skip
    assert launch.outputs == {"out": f"{RUN}/a.1/out", "score": f"{RUN}/a.1/score.json"}
    assert launch.required == ("/data/etl/in/b c.csv",)


def test_a_worker_is_told_the_parameters_as_long_as_a_variable_can_hold_them() -> None:
    given_params = {"day": "2026-11-23", "rates": [0.1, 1]}
    told = Made(Worker(name="a", command="true"), params=given_params).launch().env["WATTLE_PARAMS"]
    assert json.loads(told) == given_params
    assert "WATTLE_PARAMS" not in Made(Worker(name="a", command="true"), params={"p": "x" * 20_000}).launch().env


# ---- inputs ---------------------------------------------------------------------------------------------------


def fan_in(port: str, *sources: str, command: str = "true") -> Worker:
    found = tuple(Source(worker=worker, output=output) for worker, output in (source.split("/") for source in sources))
    return Worker(name="z", command=command, inputs={port: Input(sources=found, rows=True)})


def group(**outputs: Output) -> Worker:
    return Worker(name="train", command="true", each=Each(product={"lr": [0.1, 1], "seed": [2]}), outputs=outputs)


def test_a_fan_in_is_a_file_of_rows() -> None:
    made = Made(group(score=Output(type="value"), m=Output()), fan_in("i", "train/score"))
    made.values = {"train.1": {"auc": 0.5}, "train.2": None}
    launch = made.launch("z")
    path = "/logs/etl/12/z/1/input-i.json"
    assert launch.env["WATTLE_INPUT_I"] == path
    assert json.loads(launch.files[path]) == [
        {"lr": 0.1, "seed": 2, "score": {"auc": 0.5}}, {"lr": 1, "seed": 2, "score": None},
    ]  # fmt: skip


def test_rows_of_files_hold_paths_and_rows_without_each_the_workers_name() -> None:
    made = Made(group(m=Output()), Worker(name="a", command="true", outputs={"o": Output(path="o.csv")}),
                fan_in("i", "a/o", "train/m"))  # fmt: skip
    made.failed = {"train.2"}
    launch = made.launch("z")
    assert json.loads(launch.files["/logs/etl/12/z/1/input-i.json"]) == [
        {"worker": "a", "o": "/data/etl/o.csv"}, {"lr": 0.1, "seed": 2, "m": f"{RUN}/train.1/m"},
        {"lr": 1, "seed": 2, "m": None},
    ]  # fmt: skip


def test_an_argument_that_is_exactly_a_fan_in_becomes_one_per_row() -> None:
    made = Made(group(m=Output(), v=Output(type="value")),
                fan_in("i", "train/m", command="sum ${inputs.i} --file=${inputs.i} end"))  # fmt: skip
    assert made.launch("z").argv == (
        "sum", f"{RUN}/train.1/m", f"{RUN}/train.2/m", "--file=/logs/etl/12/z/1/input-i.json", "end",
    )  # fmt: skip
    made.failed = {"train.1"}
    assert made.launch("z").argv[:3] == ("sum", f"{RUN}/train.2/m", "--file=/logs/etl/12/z/1/input-i.json")


def test_values_are_given_as_themselves_and_their_variable_is_their_path() -> None:
    source = Worker(name="v", command="true", outputs={"o": Output(type="value")})
    user = Worker(name="z", command="x ${inputs.i} ${inputs.rows}", inputs={
        "i": Input(sources=(Source(worker="v", output="o"),)),
        "rows": Input(sources=(Source(worker="v", output="o"),), rows=True),
    })  # fmt: skip
    made = Made(source, user)
    made.values = {"v": "two words"}
    assert made.launch("z").argv == ("x", "two words", "two words")
    assert made.launch("z").env["WATTLE_INPUT_I"] == f"{RUN}/v/o.json"
    made.values = {"v": 0.5}
    assert made.launch("z").argv == ("x", "0.5", "0.5")
    made.failed = {"v"}
    assert made.launch("z").argv == ("x", "")


def test_a_result_taken_over_lies_in_the_run_that_made_it() -> None:
    worker = Worker(name="a", command="true", outputs={"o": Output()})
    origin = Made(worker).spec
    earlier = RunSpec(id=3, workflow="etl", number=4, document=origin.document)
    made = Made(worker, origins={"etl@4": earlier})
    instance = made.instances["a"]
    assert made.launcher.output(instance, "o", reused_from="etl@4").path == "/data/etl/wattle-runs/etl/4/a/o"
    assert made.launcher.output(instance, "o").path == f"{RUN}/a/o"
    assert made.launcher.output(instance, "o", reused_from="etl@2") == OutputRef("file", "")
    assert made.launcher.output(instance, "o", ended=False) == OutputRef("file", "")


def test_where_nothing_waits_a_path_is_known_before_its_file() -> None:
    made = Made(Worker(name="a", command="true", outputs={"o": Output()}), mode="parallel")
    assert made.launcher.output(made.instances["a"], "o", ended=False).path == f"{RUN}/a/o"


# ---- folders and files ----------------------------------------------------------------------------------------


def test_a_place_of_wattles_is_made_on_first_need_with_its_link_and_ignore_file() -> None:
    launch = one(command="true", outputs={"o": Output(name="deep/o.csv")})
    assert launch.directories == ("/data/etl", "/logs/etl/12/a/1", f"{RUN}/a", f"{RUN}/a/deep")
    assert launch.links == {"/data/etl/wattle-runs/etl/latest": "12"}
    assert launch.files == {"/data/etl/wattle-runs/.gitignore": "*\n"}
    assert launch.set_aside == {}


def test_a_declared_path_needs_its_parents_and_no_run_folder() -> None:
    launch = one(command="true", working_dir="w", outputs={"o": Output(path="out/o.csv")})
    assert launch.cwd == "/data/etl/w"
    assert launch.directories == ("/data/etl/w", "/logs/etl/12/a/1", "/data/etl/w/out")
    assert (launch.links, launch.files, launch.set_aside) == ({}, {}, {})


def test_a_retry_starts_in_an_empty_folder_and_the_failed_one_is_kept() -> None:
    made = Made(Worker(name="a", command="true", outputs={"o": Output()}), Worker(name="b", command="true"))
    assert made.launch(attempt=3).set_aside == {f"{RUN}/a": f"{RUN}/a~2"}
    assert made.launch("b", attempt=3).set_aside == {}


def test_launches_do_not_share_what_they_hold() -> None:
    made = Made(Worker(name="a", script="x", outputs={"o": Output()}))
    first = made.launch()
    assert made.launch(attempt=2).files != first.files
    assert len(first.files) == 2


# ---- settings -------------------------------------------------------------------------------------------------


def test_settings_of_the_worker_stand_before_those_of_the_workflow() -> None:
    made = Made(
        Worker(name="a", command="true", setup="module load x", timeout=5, grace=0.0, log_limit=9, python="env"),
        Worker(name="b", command="true", merge_logs=True), setup="set -x", grace=3.0, python=".venv",
    )  # fmt: skip
    a, b = made.launch(), made.launch("b")
    assert (a.setup, a.timeout, a.grace, a.log_limit, a.python) == ("set -x\nmodule load x", 5, 0.0, 9, "/data/etl/env")
    assert (b.setup, b.timeout, b.grace, b.log_limit, b.python) == ("set -x", None, 3.0, None, "/data/etl/.venv")
    assert (a.stderr, b.stderr) == ("/logs/etl/12/a/1/stderr.log", None)


@pytest.mark.parametrize("python", ["conda:geo", "kernel:geo", "~/env", "/abs/env"])
def test_a_selector_that_is_no_relative_path_is_passed_on(python: str) -> None:
    assert one(command="true", python=python).python == python


# ---- describe -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"command": "python  clean.py", "args": ("--day", "a b")}, "python clean.py --day 'a b'"),
        ({"command": ("a b", "c")}, "'a b' c"),
        ({"script": "\n# comment\ncurl x |\n  gzip"}, "bash: curl x | …"),
        ({"script": "print(1)", "lang": "python"}, "python: print(1)"),
        ({"script": "# nothing"}, "bash:"),
        ({"script": "#!/usr/bin/awk -f\n{print}"}, "script: {print}"),
        ({"notebook": "report.ipynb"}, "notebook report.ipynb"),
        ({"command": "x" * 100}, "x" * 79 + "…"),
    ],
)
def test_a_worker_in_one_line(fields: dict[str, Any], text: str) -> None:
    assert describe(Worker(name="a", **fields)) == text


# ---- cells ----------------------------------------------------------------------------------------------------


def test_a_cell_is_kept_as_a_file_and_told_its_variables_as_words() -> None:
    made = Made(
        Worker(name="src", command="true", outputs={"o": Output(name="o.csv"), "v": Output(type="value"),
                                                    "t": Output(type="object")}),
        Worker(name="a", cell="table = t\n", args=("--n", "${params.p}"), each=Each(product={"lr": [0.1], "m": ["x y"]}),
               inputs={"o": Input(sources=(Source(worker="src", output="o"),)),
                       "v": Input(sources=(Source(worker="src", output="v"),)),
                       "t": Input(sources=(Source(worker="src", output="t"),)),
                       "df": Input(file="df.npy", object=True), "f": Input(file="f.csv")},
               outputs={"table": Output(type="object"), "fig": Output(name="fig.png"), "s": Output(type="value")}),
        params={"p": 3},
    )  # fmt: skip
    made.values["src"] = 7
    launch = made.launch("a.1")
    here = f"{RUN}/a.1"
    assert launch.runner == "cell"
    assert launch.argv == (
        "a", "/logs/etl/12/a.1/1/script.py", "json", "lr", "0.1", "json", "m", '"x y"', "file", "o", f"{RUN}/src/o.csv",
        "value", "v", f"{RUN}/src/v.json", "object", "t", f"{RUN}/src/t", "object", "df", "/data/etl/df.npy",
        "file", "f", "/data/etl/f.csv", "save", "table", f"{here}/table", "file", "fig", f"{here}/fig.png",
        "put", "s", f"{here}/s.json", "--", "--n", "3",
    )  # fmt: skip
    assert launch.files["/logs/etl/12/a.1/1/script.py"] == "table = t\n"
    assert launch.scripts == ()
    assert launch.stderr is None
    assert launch.required == ("/data/etl/df.npy", "/data/etl/f.csv")
    assert launch.outputs["table"] == launch.env["WATTLE_OUTPUT_TABLE"] == f"{here}/table"
    assert launch.objects == {"table": tuple(f"{here}/table.{kind}" for kind in
                                             ("parquet", "feather", "npy", "json", "txt", "bin"))}  # fmt: skip


def test_a_fan_in_says_of_each_row_what_its_output_is() -> None:
    cells = {kind: Worker(name=f"{kind}s", cell="x = 1", each=Each(product={"n": [1, 2]}), outputs={"x": Output(type=kind)})
             for kind in ("object", "value", "file")}  # fmt: skip
    one = Input(sources=(Source(worker="objects", output="x"),))
    two = Input(sources=tuple(Source(worker=f"{kind}s", output="x") for kind in cells), rows=True)
    made = Made(*cells.values(), Worker(name="a", cell="1", inputs={"one": one, "two": two}))
    words = made.launch("a").argv
    assert words[2:8] == ("rows:o", "one", "/logs/etl/12/a/1/input-one.json",
                          "rows:oovvff", "two", "/logs/etl/12/a/1/input-two.json")  # fmt: skip


def test_an_input_that_its_worker_did_not_make_has_no_path() -> None:
    made = Made(Worker(name="src", cell="1", outputs={"t": Output(type="object")}),
                Worker(name="a", cell="1", inputs={"t": Input(sources=(Source(worker="src", output="t"),))}, when="ended"))  # fmt: skip
    made.failed.add("src")
    assert made.launch("a").argv[2:] == ("object", "t", "", "--")


def test_an_object_may_be_the_output_of_any_worker_and_its_path_is_a_stem() -> None:
    launch = one(command="save ${outputs.t}", outputs={"t": Output(type="object")})
    assert launch.argv == ("save", f"{RUN}/a/t")
    assert launch.runner == ""
    assert launch.objects["t"][0] == f"{RUN}/a/t.parquet"


def test_a_cell_is_described_by_its_first_telling_line() -> None:
    assert describe(Worker(name="a", cell="# all\n\nimport os\nx = 1\ny = 2\n")) == "cell: x = 1 …"


# ---- notebooks ------------------------------------------------------------------------------------------------


def test_a_notebook_is_told_its_kernel_its_folder_and_its_variables() -> None:
    made = Made(
        Worker(name="src", command="true", outputs={"v": Output(type="value")}),
        Worker(name="a", notebook="books/${each.b}.ipynb", each=Each(product={"b": ["r"]}), kernel="geo",
               parameters={"n": 3, "p": "${params.p}", "deep": [{"v": "${inputs.v}", "t": "<${each.b}>"}], "no": None},
               inputs={"v": Input(sources=(Source(worker="src", output="v"),))}, env_vars={"P": "${params.p}"},
               outputs={"notebook": Output(name="r.ipynb"), "t": Output(type="object")}),
        params={"p": [1, None]},
    )  # fmt: skip
    made.values["src"] = {"x": 1}
    launch = made.launch("a.1")
    logs, here = "/logs/etl/12/a.1/1", f"{RUN}/a.1"
    assert (launch.runner, launch.whole) == ("notebook", True)
    assert launch.argv == (
        "a", "/data/etl/books/r.ipynb", "geo", "/data/etl/books", "json", "b", '"r"', "value", "v", f"{RUN}/src/v.json",
        "parameter", "n", f"{logs}/parameter-n.json", "parameter", "p", f"{logs}/parameter-p.json",
        "parameter", "deep", f"{logs}/parameter-deep.json", "parameter", "no", f"{logs}/parameter-no.json",
        "file", "notebook", f"{here}/r.ipynb", "save", "t", f"{here}/t",
    )  # fmt: skip
    assert [launch.files[f"{logs}/parameter-{name}.json"] for name in ("n", "p", "deep", "no")] == [
        "3", "[1,null]", '[{"v":{"x":1},"t":"<r>"}]', "null"]  # fmt: skip
    assert launch.env["P"] == "[1, null]"
    assert launch.required == ("/data/etl/books/r.ipynb",)


def test_a_notebook_works_where_its_worker_says() -> None:
    launch = one(notebook="a.ipynb", working_dir="sub", outputs={"notebook": Output(name="a.ipynb")})
    assert launch.argv[1:4] == ("/data/etl/sub/a.ipynb", "", "/data/etl/sub")
