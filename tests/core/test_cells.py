"""What a cell uses and makes, told without running it."""

from __future__ import annotations

import ast
import builtins
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from wattle.core.cells import KNOWN, CellNames, names
from wattle.core.errors import InvalidRequest


def used(source: str) -> list[str]:
    return list(names(source).used)


def test_a_name_that_nothing_defines_is_used_and_told_with_its_first_line() -> None:
    found = names("import pandas as pd\ntable = pd.concat([raw, more])\nprint(raw, table)\n")
    assert found == CellNames(frozenset({"pd", "table"}), {"more": 2, "raw": 2}, frozenset({"pandas"}), star=False)


@pytest.mark.parametrize("source", [
    "table = table.dropna()", "table += 1", "del table", "print(table); table = 1", "x = 1\nx = table\ntable = 2",
    "for row in table: table = row", "with open(table) as table: pass", "x: table = 1", "table.x = 1", "table[0] = 1",
    "def f(x=table): table = 1", "def f(): return table", "def f():\n  def g(): return table\n  return g",
    "lambda: table", "[x for x in table]", "[table for x in []]", "{x: table for x in []}", "(table for x in [])",
    "class A(table): pass", "class A:\n  y = table", "class A:\n  def f(self): return table", "@table\ndef f(): pass",
    "f'{table}'", "match table:\n  case x: pass", "match 1:\n  case table.X: pass", "try: 1\nexcept table: pass",
    "x = 1\ndel x\ntable = x\ny = table", "def f():\n  global table\n  print(table)", "async def f(): await table",
    "if table: pass\ntable = 1", "print(table := table + 1)", "try: pass\nexcept E as table: pass\ntable",
])  # fmt: skip
def test_it_is_used_before_it_is_defined(source: str) -> None:
    assert set(names(source).used) & {"table", "x"}


@pytest.mark.parametrize("source", [
    "table = 1\nprint(table)", "import table\ntable.x", "import a.b as table\ntable", "from a import table\ntable",
    "import table.x\ntable.x", "def table(): return table()", "class table: pass\ntable()", "for table in []: table",
    "with open('x') as table: table", "with open('x') as (a, [table]): table", "(a, *table) = 1, 2\ntable",
    "[table for table in [1]]", "{table: 1 for table in [1]}", "[(table, b) for table in [1] for b in table]",
    "def f(table): return table", "def f(*table, **more): return table, more", "lambda table: table",
    "lambda *, table: table", "def f():\n  table = 1\n  return lambda: table",
    "def f(): return table\ntable = 1\nf()", "def f():\n  global table\n  table = 1\nf()\ntable",
    "if (table := 1): table", "[table := x for x in [1]]\ntable", "match 1:\n  case table: table",
    "match 1:\n  case [table, *rest]: table, rest", "match 1:\n  case {'a': table, **rest}: table, rest",
    "match 1:\n  case int(table) | table: table", "try: pass\nexcept ValueError as table: table",
    "try: table\nexcept NameError: table = 1", "if 1: table = 1\nelse: pass\ntable",
    "while True:\n  if 0: print(table)\n  table = 1", "class A:\n  table = 1\n  y = table", "table: int = 1\ntable",
    "def top(self, table):\n  return table", "a = 1\nclass A:\n  def f(self): return __class__, a",
    "from __future__ import annotations\ndef f(x: table) -> table: pass\ny: table",
])  # fmt: skip
def test_it_is_defined_before_it_is_used(source: str) -> None:
    assert names(source).used == {}


def test_builtins_and_what_every_module_has_are_not_used_names() -> None:
    assert used("print(len([1]), __name__, __file__, display(1), exit)") == []
    assert set(dir(builtins)) <= KNOWN


def test_what_only_ipython_has_is_a_used_name() -> None:
    assert used("get_ipython().run_line_magic('x', '')\nprint(In, Out, _)") == ["get_ipython", "In", "Out", "_"]


def test_a_star_import_is_told() -> None:
    assert names("from numpy import *\nx = array([1])").star
    assert names("from numpy import *\nx = array([1])").imports == {"numpy"}
    assert not names("from numpy import array").star


def test_imports_are_told_wherever_they_stand() -> None:
    assert names("import a.b, c as d\ndef f():\n  from e.f import g\nfrom . import h").imports == {"a", "c", "e"}


def test_top_level_await_is_taken_as_a_notebook_takes_it() -> None:
    assert used("import asyncio\nawait asyncio.sleep(delay)\nasync with lock: pass") == ["delay", "lock"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of Python 3.12")
def test_type_parameters_are_names_of_their_own_scope() -> None:
    assert used("def f[T](x: T) -> T: return x\nclass A[T](list[T]): y: T\ntype B[T] = list[T]\nB") == []


@pytest.mark.parametrize(("source", "message", "hint"), [
    ("a = 1\n  b = = 2\n", "clean, line 2: unexpected indent", "b = = 2\n"),
    ("a = 1\nb = = 2\n", "clean, line 2: invalid syntax", "b = = 2\n    ^"),
    ("if x:\n    y = (1,\n", "clean, line 2: '(' was never closed", "y = (1,\n    ^"),
    ("return 1", "clean, line 1: 'return' outside function", "return 1\n^"),
    ("%matplotlib inline\nx = 1", "clean, line 1: %matplotlib inline is for IPython", "remove the line"),
    ("x = 1\n!ls -l 'a'", "clean, line 2: !ls -l 'a' is for IPython", """import subprocess; subprocess.run("ls -l 'a'","""),
    ("files = !ls", "clean, line 1: files = !ls is for IPython", "subprocess.run('ls'"),
    ("t = %time f()", "is for IPython", "remove"),
    ("x = 1\nx?", "clean, line 2: x? is for IPython", "asks for help"),
    ("x = '\0'", "clean", ""), ("x = 'a\u2028b'\r\n# \x0c\nb = = 2\n", "clean, line 3", "b = = 2\n    ^"),
])  # fmt: skip
def test_what_is_not_python_is_refused_with_its_line_and_its_place(source: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        names(source, "clean")
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_a_doubtful_escape_is_no_reason_to_refuse() -> None:
    assert used(r"print('\d')") == []


DYNAMIC = {"inspect", "plistlib", "ssl", "turtle", "_compat_pickle"}
"""These make names by other means."""


def test_real_programs_use_nothing_that_they_do_not_define() -> None:
    library = [path for path in sorted(Path(ast.__file__).parent.glob("[a-m]*.py"))
               if path.stem not in DYNAMIC]  # fmt: skip
    for path in [*library[:60], *sorted((ROOT / "wattle" / "core").glob("*.py"))]:
        found = names(path.read_text(encoding="utf-8"), path.name)
        assert found.star or not found.used, path
