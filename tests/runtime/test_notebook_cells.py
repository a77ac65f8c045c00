"""What is put into a notebook before it runs, and where in it something failed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.runtime import cell_values
from wattle.runtime.notebook_cells import Place, inject, kept, place_of, plain, summary
from wattle.runtime.notebook_cells import given as source_of


def run(source: str, **variables: Any) -> dict[str, Any]:
    """The variables that a source leaves."""
    exec(source, variables)
    return {name: value for name, value in variables.items() if not name.startswith("_")}


def cell(source: str, *tags: str) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}}


# ---- the variables --------------------------------------------------------------------------------------------


def test_every_kind_of_variable_is_set_by_plain_source(tmp_path: Path) -> None:
    (tmp_path / "day.json").write_text('{"d": [1, null, true, NaN]}')
    (tmp_path / "echo").write_text("it's\n")
    table = cell_values.save([1, 2], str(tmp_path / "table"))
    rows = [{"lr": 0.1, "x": table}, {"lr": 1, "x": None}, {"worker": "w", "score": -math.inf}, {"n": 1, "p": "/a.png"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    source = source_of([
        ("json", "lr", "0.1"), ("file", "raw", "/a b/c"), ("file", "none", ""), ("value", "day", str(tmp_path / "day.json")),
        ("value", "text", str(tmp_path / "echo")), ("parameter", "top", str(tmp_path / "day.json")),
        ("object", "table", table), ("rows:oovf", "rows", str(tmp_path / "rows.json")), ("save", "out", "/x"),
    ], "nb@1/report, attempt 1")  # fmt: skip
    assert source.startswith("# Set by Wattle: nb@1/report, attempt 1\nfrom pathlib import Path\n")
    assert "day = {'d': [1, None, True, float(\"nan\")]}" in source
    assert "raw = Path('/a b/c')" in source
    found = run(source)
    assert found["top"]["d"][:3] == [1, None, True]
    assert (found["lr"], found["raw"], found["none"], found["text"], found["table"]) == (
        0.1, Path("/a b/c"), None, "it's", [1, 2])  # fmt: skip
    assert found["rows"] == [{"lr": 0.1, "x": [1, 2]}, {"lr": 1, "x": None}, {"worker": "w", "score": -math.inf},
                             {"n": 1, "p": Path("/a.png")}]  # fmt: skip
    assert "out" not in found


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))  # fmt: skip


@given(value=JSON)
def test_any_value_of_json_is_set_to_itself(value: Any) -> None:
    assert run(source_of([("json", "x", json.dumps(value))], "t"))["x"] == value


def test_what_is_long_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "long.json").write_text(json.dumps(["x" * 10] * 2000))
    rows = [{"n": n, "p": f"/{n}"} for n in range(2000)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    source = source_of([("value", "long", str(tmp_path / "long.json")), ("rows:f", "rows", str(tmp_path / "rows.json"))], "t")
    assert len(source) < 1000
    found = run(source)
    assert len(found["long"]) == 2000
    assert found["rows"][1999] == {"n": 1999, "p": Path("/1999")}


def test_nothing_to_set_and_nothing_to_keep_is_no_cell() -> None:
    assert source_of([("save", "x", "/x")], "t") == ""
    assert kept([("file", "x", "/x")]) == ""


def test_outputs_are_kept_by_plain_source_too(tmp_path: Path) -> None:
    source = kept([("save", "table", str(tmp_path / "table")), ("put", "score", str(tmp_path / "score.json"))])
    run(source, table="kept", score=1)
    assert (tmp_path / "table.txt").read_text() == "kept"
    assert (tmp_path / "score.json").read_text() == "1"


def test_what_cannot_be_kept_is_told_after_the_rest_is_saved(tmp_path: Path) -> None:
    source = kept([("save", "bad", str(tmp_path / "bad")), ("save", "good", str(tmp_path / "good"))])
    with pytest.raises(Exception, match=r"^the output bad is of the type set, which cannot be kept\nbad = "):
        run(source, bad={1}, good=1)
    assert (tmp_path / "good.json").exists()


# ---- its place --------------------------------------------------------------------------------------------------


def test_it_goes_after_the_parameters_or_on_top() -> None:
    new, last = cell("new"), cell("last")
    head, parameters, tail = cell("a"), cell("b", "x", "parameters"), cell("c")
    assert inject([head, parameters, tail], new, last) == [head, parameters, new, tail, last]
    assert inject([head, tail], new, None) == [new, head, tail]
    assert inject([head], None, None) == [head]


def test_it_takes_the_place_of_what_an_earlier_execution_put_in() -> None:
    old = [cell("p", "parameters"), cell("old", "injected-parameters"), cell("x"), cell("old", "injected-outputs")]
    assert [one["source"] for one in inject(old, cell("new"), None)] == ["p", "new", "x"]


def test_odd_metadata_hurts_nobody() -> None:
    odd = [{"cell_type": "raw", "metadata": {"tags": "parameters"}}, {"cell_type": "raw"}, {"metadata": {"tags": [{}, 3]}}]
    assert inject(odd, cell("new"), None)[1:] == odd


# ---- where it failed --------------------------------------------------------------------------------------------


FORMS = {
    "of now": "\x1b[31mKeyError\x1b[39m   Traceback (most recent call last)\n\x1b[36mCell\x1b[39m \x1b[32mIn[4]\x1b[39m, line 3\n"
              "      1 def price(row):\n----> 3 price({})\n\nCell In[2], line 2, in price(row)\n----> 2     return row['a']\n\n"
              "File /lib/x.py:3, in f()\n\nKeyError: 'a'",
    "of IPython 8.0": "Input In [4], in <cell line: 3>()\n----> 3 price({})\n\nInput In [2], in price(row)\n      1 x\n"
                      "----> 2     return row['a']\nKeyError: 'a'",
}  # fmt: skip


def test_the_innermost_line_of_the_notebooks_own_is_found() -> None:
    sources = {2: "def price(row):\n    return row['a']", 4: "x = 1\n\nprice({})"}
    for said in FORMS.values():
        assert place_of(said, sources, 4) == Place(2, 2, "return row['a']")


def test_an_error_in_the_source_itself_has_its_line_too() -> None:
    said = "  Cell In[1], line 2\n    x = = 2\n        ^\nSyntaxError: invalid syntax"
    assert place_of(said, {1: "y\nx = = 2"}, 1) == Place(1, 2, "x = = 2")


def test_a_traceback_of_a_strange_form_names_the_cell_at_least() -> None:
    assert place_of("Error in f(): object 'x' not found", {3: "f()"}, 3) == Place(3, 0, "")
    assert list(summary("/a/r.ipynb", Place(3, 0, ""), "Error: x")) == [
        "Traceback (most recent call last):", '  File "r.ipynb, cell 3", line 1, in <module>', "Error: x",
    ]  # fmt: skip


def test_colours_are_taken_off() -> None:
    assert plain("\x1b[38;5;28;01mdef\x1b[39;00m f\x1b[0m") == "def f"
