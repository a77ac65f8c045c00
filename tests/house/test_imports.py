"""Where things may be imported, and where the world may be looked at. Import-linter draws the picture; this is what it
cannot see: late imports, the façade, the environment, the clock, and what a command costs before it does anything."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import unmeasured
from tests.house.sources import PACKAGES, ROOT, Source, imports, names_used, sources, within

LATE_IMPORTS = {
    "wattle/__init__.py": "the façade is lazy",
    "wattle/app.py": "the hallway brings in what is heavy only when a coordinator must be hosted",
    "wattle/host.py": "the web server after the first workers",
    "wattle/hostlive.py": "the bus, in a thread, when somebody asks for it by HTTP",
    "wattle/hostbus.py": "what the bus needs, in a thread, when there is to be one",
    "wattle/resident.py": "what a coordinator needs, in a thread of a server that runs already",
    "wattle/cli/main.py": "every verb pays for its own imports only",
    "wattle/cli/verbs.py": "likewise, in a kernel too",
    "wattle/cli/documents.py": "the reader of notebooks, for those who have one",
    "wattle/cli/celllines.py": "YAML, for an option that is no word of the first line",
    "wattle/settings.py": "the TOML reader, for those who have a file",
    "wattle/runtime/supervisor/main.py": "a program run by path finds its package first",
    "wattle/storage/store.py": "Alembic when the database is of another version",
    "wattle/core/document.py": "YAML when a document is YAML, Python's syntax when it has cells",
    "wattle/sdk/methods.py": "a program that wants structs pays for them, a command line does not",
    "wattle/sdk/worker.py": "a worker's program pays for what it uses only",
    "wattle/sdk/worker_here.py": "near names, for who has misspelt one",
    "wattle/sdk/worker_serving.py": "asyncio, for those whose answers are coroutines",
    "wattle/sdk/worker_streams.py": "asyncio, for those who iterate on an event loop",
    "wattle/sdk/worker_encoding.py": "tables of pyarrow, for those who send and receive them",
    "wattle/runtime/cell_runner.py": "a cell costs what `python` costs, and what it uses",
    "wattle/runtime/cell_values.py": "likewise, and the library of each type",
    "wattle/web/documents.py": "the document and Prometheus's library, when somebody asks",
    "jupyter_wattle/__init__.py": "server side and kernel side",
    "jupyter_wattle/magics.py": "a kernel pays for what is used",
    "jupyter_wattle/view.py": "the widget, for front ends without our renderer",
}
ENVIRONMENT = {
    "wattle/settings.py": "WATTLE_* variables",
    "wattle/cli/main.py": "the terminal's, handed on to the verbs",
    "wattle/app.py": "of the program that connects, for the runs that it starts",
    "wattle/host.py": "the coordinator's own, for bare HTTP",
    "wattle/succession.py": "handed on to a background coordinator",
    "jupyter_wattle/app.py": "the server's own, for settings",
    "jupyter_wattle/connection.py": "what kernels and terminals inherit",
    "jupyter_wattle/kernel/here.py": "the kernel's own",
    "wattle/runtime/supervisor/": "a program of its own",
    "wattle/runtime/notebook_runner.py": "likewise; where kernels are looked for",
    "wattle/sdk/worker_here.py": "of a worker's program, which has it from Wattle",
}
CLOCK = {
    "wattle/cli/main.py": "handed on to what shows times to a person",
    "wattle/host.py": "the one system clock",
    "wattle/succession.py": "since when somebody holds the lock",
    "jupyter_wattle/app.py": "the stamps of the audit file",
    "jupyter_wattle/kernel/session.py": "handed on to what shows times to a person",
    "jupyter_wattle/page.py": "how long ago something was, for a person",
    "wattle/runtime/local.py": "the stamp of an attempt that never reached the supervisor",
    "wattle/runtime/inprocess.py": "in place of the supervisor, it stamps starts and exits",
    "wattle/runtime/supervisor/": "a program of its own, which stamps starts and exits",
}
IMPURE = {
    "alembic", "asyncio", "ctypes", "glob", "logging", "matplotlib", "networkx", "os", "pathlib", "random", "secrets",
    "select", "shutil", "socket", "sqlalchemy", "sqlite3", "subprocess", "tempfile", "threading", "time", "tornado",
    "uuid", "zenoh",
}  # fmt: skip
HEAVY = ("IPython", "alembic", "jupyter_server", "matplotlib", "networkx", "sqlalchemy", "zenoh")


def breaches(found: list[tuple[Source, int, str]]) -> list[str]:
    return [f"{source.path}:{line}: {what}" for source, line, what in found]


def test_the_core_imports_nothing_that_touches_the_world() -> None:
    allowed = {*sys.stdlib_module_names, "msgspec", "wattle", "yaml"} - IMPURE
    found = [(source, line, name) for source in sources("wattle/core") for name, line in imports(source.tree)
             if name.partition(".")[0] not in allowed
             or (name.startswith("yaml") and source.path not in {"wattle/core/document.py", "wattle/core/yamltext.py"})
             or (name.startswith("wattle") and not name.startswith("wattle.core"))]  # fmt: skip
    assert breaches(found) == []


def test_only_few_files_import_late() -> None:
    found = []
    for source in sources(*PACKAGES):
        if within(source.path, LATE_IMPORTS):
            continue
        for function in ast.walk(source.tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [(source, line, name) for name, line in imports(function)]
    assert breaches(found) == []


def test_nobody_inside_imports_the_facade_but_its_version() -> None:
    found = []
    for source in sources("wattle"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "wattle" and not node.level:
                modules = {path.stem for path in (ROOT / "wattle").iterdir() if path.suffix == ".py" or path.is_dir()}
                found += [(source, node.lineno, alias.name) for alias in node.names
                          if alias.name not in {"__version__", *modules}]  # fmt: skip
            elif isinstance(node, ast.Import):
                found += [(source, node.lineno, alias.name) for alias in node.names if alias.name == "wattle"]
    assert breaches(found) == []


def test_the_supervisor_is_of_the_standard_library_alone() -> None:
    programs = sources("wattle/runtime/supervisor")
    assert programs
    found = [(source, line, name) for source in programs for name, line in imports(source.tree)
             if name.partition(".")[0] not in sys.stdlib_module_names
             and not name.startswith("wattle.runtime.supervisor")]  # fmt: skip
    assert breaches(found) == []


def test_one_file_alone_knows_zenoh() -> None:
    found = [(source, line, name) for source in sources(*PACKAGES) if source.path != "wattle/bus/zenoh.py"
             for name, line in imports(source.tree) if name.partition(".")[0] == "zenoh"]  # fmt: skip
    assert breaches(found) == []


def test_the_environment_is_read_in_its_places_only() -> None:
    found = [(source, line, name) for source in sources(*PACKAGES) if not within(source.path, ENVIRONMENT)
             for name, line in names_used(source) if name in {"os.environ", "os.environb", "os.getenv"}]  # fmt: skip
    assert breaches(found) == []


def test_the_wall_clock_is_read_in_its_places_only() -> None:
    clocks = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
              "datetime.datetime.today"}  # fmt: skip
    found = [(source, line, name) for source in sources(*PACKAGES) if not within(source.path, CLOCK)
             and not source.path.startswith("wattle/demo/")
             for name, line in names_used(source) if name in clocks]  # fmt: skip
    assert breaches(found) == []


@pytest.mark.parametrize("places", [LATE_IMPORTS, ENVIRONMENT, CLOCK], ids=["late imports", "environment", "clock"])
def test_every_exception_is_for_a_place_that_exists(places: dict[str, str]) -> None:
    assert [place for place in places if not (ROOT / place).exists()] == []


def brought_by(home: Path, *words: str) -> set[str]:
    """The modules that a command imports, by their outermost name and in full."""
    command = [sys.executable, "-X", "importtime", "-m", "wattle", "--home", str(home), *words]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=unmeasured())
    assert told.returncode == 0, told.stderr[-2000:]
    modules = set(re.findall(r"\|\s+([\w.]+)$", told.stderr, re.MULTILINE))
    assert "wattle.cli.main" in modules
    return modules | {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["version"]], ids=" ".join)
def test_a_command_brings_in_nothing_heavy_before_it_needs_it(words: list[str], tmp_path: Path) -> None:
    assert brought_by(tmp_path / "home", *words) & set(HEAVY) == set()


def test_verbs_against_a_live_coordinator_bring_in_nothing_heavy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "etl.yaml").write_text("name: etl\nworkers: {one: {command: 'true'}}\n")
    brought_by(home, "up")
    try:
        for words in (["status"], ["list"], ["create", str(tmp_path / "etl.yaml")], ["run", "etl"], ["logs", "etl/one"],
                      ["runs", "etl"], ["show", "etl"], ["status", "etl"]):  # fmt: skip
            assert (words, brought_by(home, *words) & set(HEAVY)) == (words, set())
    finally:
        brought_by(home, "down")
