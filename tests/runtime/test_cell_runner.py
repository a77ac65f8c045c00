"""A cell as its own process: what it finds, what it leaves, and that everything else is plain Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import unmeasured, wait_until
from wattle.core.runners import fed, given
from wattle.runtime import cell_values
from wattle.runtime.resolver import RUNNERS

RUNNER = os.path.join(RUNNERS, "cell_runner.py")


class Cell:
    """A folder in which cells run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words: list[str] = []

    def object(self, port: str, value: Any) -> Cell:
        """An input that is a saved variable."""
        self.words += fed({port: ("object", cell_values.save(value, str(self.folder / f"in-{port}")))})
        return self

    def save(self, *ports: str) -> Cell:
        """Outputs that are variables."""
        for port in ports:
            self.words += ["save", port, str(self.folder / port)]
        return self

    def command(self, source: str, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
        (self.folder / "script.py").write_text(source, encoding="utf-8")
        return [sys.executable, *flags, RUNNER, "clean", str(self.folder / "script.py"), *self.words, "--", *arguments]

    def run(self, source: str, *arguments: str, flags: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(source, *arguments, flags=flags), capture_output=True, text=True, check=False,
                              cwd=self.folder, env={**unmeasured(), "NO_COLOR": "1", **env}, timeout=60)  # fmt: skip

    def left(self, port: str) -> Any:
        """What the cell saved."""
        (path,) = self.folder.glob(f"{port}.*")
        return cell_values.load(str(path))


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


# ---- what it finds --------------------------------------------------------------------------------------------


def test_inputs_are_variables_and_outputs_are_saved(cell: Cell) -> None:
    told = cell.object("raw", [1, 2]).save("table").run("table = {'sum': sum(raw)}\nprint('done')")
    assert (told.returncode, told.stdout, told.stderr) == (0, "done\n", "")
    assert cell.left("table") == {"sum": 3}


def test_each_kind_of_input_is_what_it_should_be(cell: Cell) -> None:
    folder = cell.folder
    (folder / "day.json").write_text('{"d": 1}')
    (folder / "echo").write_text("text\n")
    cell_values.save((1, 2), str(folder / "one"))
    rows = [{"n": 1, "x": str(folder / "one.json")}, {"n": 2, "x": None}, {"worker": "w", "score": 0.5},
            {"worker": "v", "plot": "/p.png"}]  # fmt: skip
    (folder / "rows.json").write_text(json.dumps(rows))
    cell.words += [*given({"lr": 0.1, "m": {"a": [None]}}),
                   *fed({"f": ("file", "/a b"), "none": ("file", ""), "v": ("value", str(folder / "day.json")),
                         "t": ("value", str(folder / "echo")), "gone": ("object", ""),
                         "all": ("rows:oovf", str(folder / "rows.json")), "live": ("stream", "engine/state")})]  # fmt: skip
    told = cell.save("seen").run("seen = {k: repr(v) for k, v in sorted(vars().items()) if not k.startswith('_')}")
    assert told.returncode == 0, told.stderr
    assert cell.left("seen") == {
        "all": "[{'n': 1, 'x': [1, 2]}, {'n': 2, 'x': None}, {'worker': 'w', 'score': 0.5}, "
               "{'worker': 'v', 'plot': PosixPath('/p.png')}]",
        "f": "PosixPath('/a b')", "gone": "None", "live": "'engine/state'", "lr": "0.1", "m": "{'a': [None]}",
        "none": "None", "t": "'text'", "v": "{'d': 1}",
    }  # fmt: skip


def test_it_is_the_main_program_of_its_folder(cell: Cell) -> None:
    (cell.folder / "mine.py").write_text("import __main__\nx = __main__.y\n")
    source = """
import sys, __main__
y = 7
import mine
assert __name__ == "__main__" and vars(__main__) is globals()
class A: pass
assert A.__module__ == "__main__"
print(mine.x, sys.argv[1:], sys.argv[0] == __file__, sys.path[0])
print(sorted(name for name in sys.modules if "cell" in name or "wattle" in name))
"""
    told = cell.run(source, "--n", "3")
    assert told.stderr == ""
    assert told.stdout.splitlines() == [f"7 ['--n', '3'] True {os.path.realpath(cell.folder)}", "[]"]


def test_it_runs_under_a_python_that_has_nothing_but_its_standard_library(cell: Cell) -> None:
    told = cell.object("raw", {"a": 1}).save("x").run("x = raw", flags=("-I", "-S"))
    assert (told.returncode, told.stderr) == (0, "")
    assert cell.left("x") == {"a": 1}


OTHERS = [found for minor in range(8, 16) if minor != sys.version_info[1] and (found := shutil.which(f"python3.{minor}"))]


@pytest.mark.parametrize("python", OTHERS or [pytest.param("", marks=pytest.mark.skip(reason="no other Python is here"))])
def test_it_runs_under_older_and_newer_pythons(python: str, cell: Cell) -> None:
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} is not what it says")
    words = cell.object("raw", {"a": 1}).save("x", "y").command("import asyncio\nx = await asyncio.sleep(0, raw)\ny = b'b'\n")
    told = subprocess.run([python, *words[1:]], capture_output=True, text=True, check=False, env=unmeasured())
    assert (told.returncode, told.stderr) == (0, "")
    assert (cell.left("x"), cell.left("y")) == ({"a": 1}, b"b")
    bad = subprocess.run([python, *cell.command("def f(): return 1 / 0\nf()\n")[1:]], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stderr.splitlines()[1:3]) == (1, ['  File "clean", line 2, in <module>', "    f()"])


def test_a_module_of_the_cells_own_may_have_any_name(cell: Cell) -> None:
    (cell.folder / "cell_values.py").write_text("mine = 5\n")
    told = cell.save("x").run("import cell_values\nx = cell_values.mine")
    assert told.returncode == 0, told.stderr
    assert cell.left("x") == 5


def test_it_may_await_at_its_top(cell: Cell) -> None:
    told = cell.save("x").run("import asyncio\nx = await asyncio.sleep(0, 5)\n")
    assert told.returncode == 0, told.stderr
    assert cell.left("x") == 5


def test_processes_that_it_starts_find_its_functions(cell: Cell) -> None:
    source = """
import multiprocessing
def twice(x): return 2 * x
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        out = pool.map(twice, raw)
"""
    told = cell.object("raw", [1, 2]).save("out").run(source)
    assert (told.returncode, told.stderr) == (0, "")
    assert cell.left("out") == [2, 4]


def test_display_prints(cell: Cell) -> None:
    assert cell.run("display([1], 'x')").stdout == "[1]\nx\n"


def test_the_sdk_works_inside(cell: Cell) -> None:
    source = "from wattle import worker\nworker.put('score', 3)\nprint(worker.name, worker.each['lr'])"
    cell.words += ["json", "lr", "0.5", "put", "score", str(cell.folder / "score.json")]
    told = cell.run(source, WATTLE_WORKFLOW_NAME="etl", WATTLE_WORKER_NAME="clean", WATTLE_RUN="1", WATTLE_ATTEMPT="1",
                    WATTLE_RUN_DIR=str(cell.folder), WATTLE_EACH_LR="0.5", PYTHONPATH=str(Path(RUNNERS).parents[1]),
                    WATTLE_OUTPUT_SCORE=str(cell.folder / "score.json"))  # fmt: skip
    assert (told.returncode, told.stdout, told.stderr) == (0, "clean 0.5\n", "")
    assert (cell.folder / "score.json").read_text() == "3"


def test_an_input_that_cannot_be_loaded_ends_it_before_it_begins(cell: Cell) -> None:
    path = cell.folder / "raw.json"
    path.write_text("{")
    cell.words += ["object", "raw", str(path)]
    told = cell.run("print('began')")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"clean: the input raw cannot be loaded: {path} does not hold what its name says")


# ---- how it fails -----------------------------------------------------------------------------------------------


def test_a_traceback_shows_the_lines_of_the_cell_and_no_others(cell: Cell) -> None:
    (cell.folder / "clean").mkdir()  # a folder of its name is not its source
    told = cell.object("raw", {"a": 1}).save("x").run("x = 1\ndef price(row):\n    return row['pricee']\nprice(raw)\n")
    assert told.returncode == 1
    lines = [line for line in told.stderr.splitlines() if set(line) - set(" ^~")]
    assert lines == [
        "Traceback (most recent call last):",
        '  File "clean", line 4, in <module>', "    price(raw)",
        '  File "clean", line 3, in price', "    return row['pricee']",
        "KeyError: 'pricee'",
    ]  # fmt: skip
    assert list(cell.folder.glob("x.*")) == []


def test_the_lines_are_those_that_python_counts(cell: Cell) -> None:
    told = cell.run("x = 'a\u2028b'\r\n# \x0c\ry = 1\nraise KeyError(y)")
    assert told.stderr.splitlines()[1:3] == ['  File "clean", line 4, in <module>', "    raise KeyError(y)"]


@pytest.mark.parametrize("source", [
    "raise ValueError('a')", "x = = 1", "import sys; sys.exit(3)", "raise SystemExit('words')", "raise SystemExit([1])", "import os; os._exit(4)",
    "import signal, os; os.kill(os.getpid(), signal.SIGTERM)", "import signal, os; os.kill(os.getpid(), signal.SIGINT)",
    "raise KeyboardInterrupt", "try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise KeyError('x') from e",
    "import sys\nsys.excepthook = lambda k, v, t: print('mine', k, t.tb_frame.f_code.co_name, file=sys.stderr)\n1/0",
    "raise ExceptionGroup('g', [ValueError('a')])", "import sys; sys.exit()", "import sys; sys.exit(0)",
    "print('x', end='')", "import atexit; atexit.register(print, 'bye')\nraise ValueError",
])  # fmt: skip
def test_it_ends_as_the_same_program_run_by_plain_python(source: str, cell: Cell) -> None:
    told = cell.run(source)
    plain = subprocess.run([sys.executable, str(cell.folder / "script.py")], capture_output=True, text=True, check=False,
                           cwd=cell.folder, env={**unmeasured(), "NO_COLOR": "1"})  # fmt: skip
    said = plain.stderr.replace(str(cell.folder / "script.py"), "clean")
    assert (told.returncode, told.stdout, told.stderr) == (plain.returncode, plain.stdout, said)


def test_a_stop_ends_it_as_it_ends_any_program(cell: Cell) -> None:
    source = "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(60)\nx = 1"
    process = subprocess.Popen(cell.save("x").command(source), cwd=cell.folder)
    wait_until((cell.folder / "here").exists)
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM
    assert list(cell.folder.glob("x.*")) == []


# ---- what it leaves -----------------------------------------------------------------------------------------------


def test_leaving_in_good_order_saves_too(cell: Cell) -> None:
    assert cell.save("x").run("x = 1\nimport sys; sys.exit()").returncode == 0
    assert cell.left("x") == 1


def test_an_output_that_cannot_be_kept_fails_it_after_all_others_are_saved(cell: Cell) -> None:
    told = cell.save("bad", "worse", "good").run("bad = {1, 2}\nwrose = 1\ngood = 'kept'\nprint('end')")
    assert (told.returncode, told.stdout) == (1, "end\n")
    assert told.stderr.splitlines() == [
        "clean: the output bad is of the type set, which cannot be kept", "  bad = sorted(bad)",
        "clean: the output worse was never assigned", "  worse = wrose",
    ]  # fmt: skip
    assert cell.left("good") == "kept"


def test_an_output_that_nothing_is_like_is_told_too(cell: Cell) -> None:
    told = cell.save("table").run("pass")
    assert told.stderr.splitlines()[1] == "  write table = … in the cell, or take table out of its outputs"


def test_a_file_that_the_cell_wrote_itself_is_an_output_too(cell: Cell) -> None:
    assert cell.save("x").run("import os; open('x.json', 'w').write('[1]')").returncode == 0
    assert cell.left("x") == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of this kind are of Unix")
def test_a_disk_that_is_full_loses_one_output_and_no_other(cell: Cell) -> None:
    source = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nbig = 'x' * 5000\nsmall = 'y'\n"
    cell_values.save("earlier", str(cell.folder / "big"))
    told = cell.save("big", "small").run(source)
    assert told.returncode == 1
    assert told.stderr == f"clean: the output big could not be written to {cell.folder}/big: File too large\n"
    assert (cell.left("small"), cell.left("big")) == ("y", "earlier")
    assert sorted(path.name for path in cell.folder.iterdir()) == ["big.txt", "script.py", "small.txt"]


def test_a_cell_that_is_killed_while_it_saves_leaves_no_half_file(cell: Cell) -> None:
    source = "import os, signal\nclass Dict(dict):\n  def items(self): os.kill(os.getpid(), signal.SIGKILL)\nx = {'a': Dict(b=1)}\n"
    assert cell.save("x").run(source).returncode == -signal.SIGKILL
    assert [path for path in cell.folder.iterdir() if path.suffix == ".json"] == []


# ---- what it costs --------------------------------------------------------------------------------------------------


def test_a_cell_without_ports_brings_in_nothing_and_one_with_objects_only_json(cell: Cell) -> None:
    source = "import sys; print(sorted(name for name in sys.modules if '.' not in name))"
    plain = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, env=unmeasured())
    assert set(json.loads(cell.run(source).stdout.replace("'", '"'))) - set(
        json.loads(plain.stdout.replace("'", '"'))) <= {"__future__"}  # fmt: skip
    heavy = {"ast", "dataclasses", "inspect", "traceback", "typing", "linecache", "pathlib", "pickle"}
    brought = cell.object("raw", 1).run(source).stdout
    assert {name for name in heavy if f"'{name}'" in brought} - {name for name in heavy if f"'{name}'" in plain.stdout} == set()
