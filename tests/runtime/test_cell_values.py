"""Variables as files: what comes back is what was saved, or saving it was refused with the line that mends it."""

from __future__ import annotations

import collections
import datetime as dt
import json
import math
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import unmeasured
from wattle.runtime import cell_values
from wattle.runtime.cell_values import CannotKeep, CannotLoad, load, load_value, save, save_value


@pytest.fixture
def stem(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "x")


def kept(value: Any, stem: str) -> tuple[str, Any]:
    """The suffix of the file, and what it gives back."""
    path = save(value, stem)
    return path.removeprefix(stem), load(path)


# ---- plain values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "suffix"), [
    (None, ".json"), (True, ".json"), (3, ".json"), (10**30, ".json"), (0.1, ".json"), (math.inf, ".json"), ([], ".json"),
    ({"a": [1, {"b": None}]}, ".json"), ("", ".txt"), ("a\r\nb\u2028é\0", ".txt"), (b"\0\xff", ".bin"),
])  # fmt: skip
def test_plain_values_come_back_as_they_were(value: Any, suffix: str, stem: str) -> None:
    assert kept(value, stem) == (suffix, value)
    assert type(load(stem + suffix)) is type(value)


def test_a_number_that_json_does_not_know_comes_back_too(stem: str) -> None:
    _, found = kept({"loss": math.nan}, stem)
    assert math.isnan(found["loss"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
)


@given(value=JSON)
def test_whatever_json_holds_comes_back_the_same(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert kept(value, str(tmp_path_factory.getbasetemp() / "json")) == (".txt" if isinstance(value, str) else ".json", value)


def test_tuples_come_back_as_lists_and_dicts_of_other_kinds_as_dicts(stem: str) -> None:
    assert kept((1, (2,)), stem)[1] == [1, [2]]
    assert kept(collections.Counter("aab"), stem)[1] == {"a": 2, "b": 1}
    assert kept(bytearray(b"x"), stem)[1] == b"x"


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(("value", "message", "hint"), [
    ({1, 2}, "x is of the type set", "x = sorted(x)"),
    ([{"a": {1}}], "x[0]['a'] is of the type set", "x[0]['a'] = sorted(x[0]['a'])"),
    ({1: 2}, "x has the key 1", "x = {str(key): value for key, value in x.items()}"),
    (dt.date(2026, 1, 1), "datetime.date", "x = x.isoformat()"),
    (pathlib.Path("a"), "Path", "x = str(x)"),
    (1j, "complex", "x = [x.real, x.imag]"),
    (range(3), "range", "x = list(x)"),
    ((i for i in "a"), "generator", "x = list(x)"),
    (Point(1, 2), "Point", "x = x._asdict()"),
    (object(), "x is of the type object", "outputs: {x: {type: file, name: x.bin}}"),
    ([object()], "x[0] is of the type object", "x_part = x[0]"),
    ("\ud800", "half a character", "surrogateescape"),
    (["\ud800"], "half a character", ""),
])  # fmt: skip
def test_what_would_change_is_refused_with_the_line_that_mends_it(value: Any, message: str, hint: str, stem: str) -> None:
    with pytest.raises(CannotKeep) as refused:
        save(value, stem)
    assert message in refused.value.message
    assert hint in refused.value.hint
    assert os.listdir(os.path.dirname(stem)) == []


def test_what_holds_itself_is_refused(stem: str) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CannotKeep, match="x is nested too deep, or holds itself"):
        save(value, stem)


# ---- the file -------------------------------------------------------------------------------------------------


def test_saving_again_leaves_one_file(stem: str) -> None:
    save("text", stem)
    save(3, stem)
    assert os.listdir(os.path.dirname(stem)) == ["x.json"]


def test_a_writer_that_fails_leaves_what_was_there(stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save("text", stem)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        save("other", stem)
    assert [os.listdir(os.path.dirname(stem)), load(stem + ".txt")] == [["x.txt"], "text"]


@pytest.mark.parametrize(("name", "data", "message"), [
    ("x.csv", b"", "x.csv is no saved variable: its name ends in none of .parquet"),
    ("x.json", b"{", "does not hold what its name says"), ("x.txt", b"\xff", "does not hold what its name says"),
    ("x.npy", b"no", "does not hold what its name says"), ("x.parquet", b"PAR1", "is not a whole Parquet file"),
    ("x.parquet", b"PAR1xxxx\xff\xff\xff\xffPAR1", "is not a whole Parquet file"),
])  # fmt: skip
def test_a_file_that_holds_something_else_is_told(name: str, data: bytes, message: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CannotLoad) as refused:
        load(str(tmp_path / name))
    assert message in refused.value.message


# ---- values ---------------------------------------------------------------------------------------------------


def test_a_value_is_json_that_every_program_reads(stem: str) -> None:
    save_value({"a": (1, 2)}, stem, "x")
    assert load_value(stem) == json.loads(pathlib.Path(stem).read_text()) == {"a": [1, 2]}
    with pytest.raises(CannotKeep, match=r"x\['a'\] is nan, which JSON does not know\nx\['a'\] = None"):
        save_value({"a": math.nan}, stem, "x")
    with pytest.raises(CannotKeep, match=r"x is 1.2 MiB of JSON; a value has at most 1 MiB"):
        save_value("x" * 1_250_000, stem, "x")
    assert load_value(stem) == {"a": [1, 2]}


def test_a_value_that_a_shell_left_is_its_text(stem: str) -> None:
    pathlib.Path(stem).write_text("12 monkeys\n")
    assert load_value(stem) == "12 monkeys"


# ---- arrays ---------------------------------------------------------------------------------------------------


def test_arrays_come_back_with_their_type_and_shape(stem: str) -> None:
    numpy = pytest.importorskip("numpy")
    for array in (numpy.arange(6, dtype="f4").reshape(2, 3), numpy.array(["a", "bc"]), numpy.zeros((0, 2), dtype="?"),
                  numpy.array([("x", 1)], dtype=[("n", "U3"), ("v", "i8")]), numpy.array(["2026-01-01"], dtype="M8[D]")):
        suffix, found = kept(array, stem)
        assert suffix == ".npy"
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert (found == array).all()


def test_numbers_of_numpy_come_back_as_pythons(stem: str) -> None:
    numpy = pytest.importorskip("numpy")
    assert kept(numpy.float64(0.5), stem) == (".json", 0.5)
    assert kept({"n": numpy.int32(3), "ok": numpy.bool_(True)}, stem) == (".json", {"n": 3, "ok": True})
    assert kept(numpy.datetime64("2026-01-01"), stem) == (".npy", numpy.datetime64("2026-01-01"))
    save_value({"n": numpy.int32(3)}, stem, "x")
    assert load_value(stem) == {"n": 3}


def test_arrays_that_would_change_are_refused(stem: str) -> None:
    numpy = pytest.importorskip("numpy")
    for value, hint in ((numpy.array([{}]), "x = x.tolist()"), (numpy.ma.array([1], mask=[1]), "x = x.filled(numpy.nan)"),
                        (numpy.rec.array([(1,)]), "x = numpy.asarray(x)"), ([numpy.zeros(2)], "x[0] = x[0].tolist()")):
        with pytest.raises(CannotKeep) as refused:
            save(value, stem)
        assert hint in refused.value.hint


# ---- tables ---------------------------------------------------------------------------------------------------


def test_tables_of_arrow_come_back_whole(stem: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": [1, None], "b": ["x", "y"]}, metadata={"mine": "1"})
    suffix, found = kept(table, stem)
    assert suffix == ".parquet"
    assert found.equals(table)
    assert found.schema.metadata == {b"mine": b"1"}
    assert kept(table.to_batches()[0], stem)[1].equals(table)


def test_a_table_that_parquet_cannot_hold_becomes_a_feather_file(stem: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    union = arrow.UnionArray.from_sparse(arrow.array([0, 1], arrow.int8()), [arrow.array([1, 2]), arrow.array(["a", "b"])])
    table = arrow.table({"u": union})
    save("earlier", stem)
    suffix, found = kept(table, stem)
    assert suffix == ".feather"
    assert found.equals(table)
    assert os.listdir(os.path.dirname(stem)) == ["x.feather"]


def test_tables_and_series_of_pandas_come_back_equal(stem: str) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"n": [1, 2], "when": pandas.to_datetime(["2026-01-01", "2026-01-02"], utc=True),
                              "kind": pandas.Categorical(["a", "b"])}, index=pandas.Index(["r", "s"], name="row"))  # fmt: skip
    suffix, found = kept(frame, stem)
    assert suffix == ".parquet"
    pandas.testing.assert_frame_equal(found, frame)
    numbered = pandas.DataFrame({0: [1.5], 1: ["x"]})
    layered = pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", "x"), ("b", "y")]))
    for other in (numbered, layered, pandas.DataFrame(), pandas.DataFrame({"p": pandas.period_range("2026", periods=2, freq="M")})):
        pandas.testing.assert_frame_equal(kept(other, stem)[1], other)
    for series in (frame["n"], pandas.Series([1, 2]), pandas.Series([1.0], name=("a", "b")), pandas.Series([1], name=3)):
        pandas.testing.assert_series_equal(kept(series, stem)[1], series)


def test_a_column_that_no_file_can_hold_is_named(stem: str) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for frame, message, hint in (
        (pandas.DataFrame({"a": [1], "b": [object()]}), "x['b'] holds values", "x['b'] = x['b'].astype(str)"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "two columns called 'a'", "x = x.loc[:, ~x.columns.duplicated()]"),
        (pandas.DataFrame([[1, 2]], columns=["a", 1]), "names of columns of several", "x.columns = x.columns.map(str)"),
        (pandas.Index([1]), "pandas.Index", "x = x.to_series()"),
        (type("Mine", (pandas.DataFrame,), {})({"a": [1]}), "Mine", "x = pandas.DataFrame(x)"),
    ):  # fmt: skip
        with pytest.raises(CannotKeep) as refused:
            save(frame, stem)
        assert message in refused.value.message
        assert hint in refused.value.hint


def test_tables_of_polars_come_back_as_polars(stem: str) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None], "b": [["x"], []]})
    suffix, found = kept(frame, stem)
    assert suffix == ".parquet"
    assert found.equals(frame)
    for value, hint in ((frame.lazy(), "x = x.collect()"), (frame["a"], "x = x.to_frame()"),
                        (polars.DataFrame({"o": [object()]}), "x = x.drop('o')")):  # fmt: skip
        with pytest.raises(CannotKeep) as refused:
            save(value, stem)
        assert hint in refused.value.hint


def test_a_table_that_others_wrote_is_taken_by_pandas(tmp_path: pathlib.Path) -> None:
    pandas = pytest.importorskip("pandas")
    arrow = pytest.importorskip("pyarrow")
    parquet = __import__("pyarrow.parquet").parquet
    folder = tmp_path / "lr=0.1"  # a path that a data set would take a column from
    folder.mkdir()
    parquet.write_table(arrow.table({"a": [1]}), folder / "x.parquet")
    found = load(str(folder / "x.parquet"))
    assert type(found) is pandas.DataFrame
    assert list(found.columns) == ["a"]


def test_figures_and_models_are_told_the_file_that_they_want(stem: str) -> None:
    pyplot = pytest.importorskip("matplotlib.figure")
    with pytest.raises(CannotKeep) as refused:
        save(pyplot.Figure(), stem)
    assert "{type: file, name: x.png}" in refused.value.hint
    assert "the_x.savefig(x)" in refused.value.hint


# ---- an interpreter that has no libraries -----------------------------------------------------------------------


def bare(code: str, *arguments: str) -> str:
    """What a Python without site-packages says."""
    program = f"import sys; sys.path.insert(0, {os.path.dirname(cell_values.__file__)!r}); {code}"
    told = subprocess.run([sys.executable, "-I", "-S", "-c", program, *arguments], capture_output=True, text=True, check=False,
                          env=unmeasured())  # fmt: skip
    return told.stdout + told.stderr


def test_without_its_library_a_table_is_told_what_to_install(stem: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    path = save(arrow.table({"a": [1]}), stem)
    told = bare("import cell_values; cell_values.load(sys.argv[1])", path)
    assert "what reads tables (pyarrow) is not installed for" in told
    assert f"{sys.executable} -m pip install pyarrow" in told


def test_importing_it_imports_nothing_else() -> None:
    told = bare("import os, __future__; before = set(sys.modules); import cell_values; print(sorted(set(sys.modules) - before))")
    assert told.strip() == "['cell_values']"
