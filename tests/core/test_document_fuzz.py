"""Whatever comes in, a document is read or refused; nothing else happens. And what was read comes back the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core.test_document import COMPARE, FULL, LIVE, ORIGINAL
from wattle.core.document import Parsed, dump, parse, parse_document, render
from wattle.core.errors import DocumentError
from wattle.core.shapes import WORKER_FIELDS, WORKFLOW_FIELDS

FORMATS = st.sampled_from(["json", "yaml", "toml"])
WORDS = [
    "a", "b", "a/x", "b/y", "x", "train", "a.1", "${params.p}", "${each.e}", "${inputs.i}", "$${", "${", "1h30m",
    "4G", "value", "stream", "parallel", "x.csv", "/a", "~", "no", "1e-3", "012", ".inf", "a\nb", " lead", "trail ",
    "\t", "'", '"', "\\", "# x", "- x", "a: b", "<<", "\u2028", "\x85", "\xa0", "é", "\U0001f600", "\r\n", "\n\nx",
    "|", ">", "&x", "*x", "!x", "%x", "@x", "`x", "{x", "[x", "x}", "x,y", "? x",
]  # fmt: skip
TEXT = st.sampled_from(WORDS) | st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
NAMES = st.sampled_from(["a", "b", "x", "y", "e", "file", "glob", "max", "type", "name", "path", "cpus"]) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
WORKER = st.dictionaries(st.sampled_from(sorted(WORKER_FIELDS)) | NAMES, VALUES, max_size=5)
WORKERS = st.dictionaries(NAMES, WORKER | VALUES, max_size=4) | st.lists(WORKER | VALUES, max_size=4)
FIELDS = st.dictionaries(st.sampled_from(sorted(WORKFLOW_FIELDS)) | NAMES, VALUES, max_size=4)
DOCUMENTS = st.builds(lambda fields, workers: {"name": "w", **fields, "workers": workers}, FIELDS, WORKERS)

PORTS = st.sampled_from(["x", "y", "z"])
SOUND_TEXT = TEXT.filter(lambda text: "\0" not in text and "${" not in text and text.isprintable() and text.strip())
ANY_TEXT = TEXT.filter(lambda text: "\0" not in text and "${" not in text and text.strip() and _encodes(text))
PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
OUTPUT = st.sampled_from([{"type": "value"}, {"type": "file"}, {"type": "object"}, {"name": "n.csv"}])
SOUND_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "args": st.lists(ANY_TEXT, max_size=3),
    "description": ANY_TEXT,
    "each": st.dictionaries(PORTS, st.lists(PLAIN, min_size=1, max_size=3), min_size=1, max_size=2)
    | st.lists(st.fixed_dictionaries({"x": PLAIN}), min_size=1, max_size=3),
    "env_vars": st.dictionaries(st.sampled_from(["A", "b c", "no", "012", "é"]), ANY_TEXT, max_size=3),
    "grace": st.floats(0, 1e6) | st.integers(0, 10**6),
    "inputs": st.dictionaries(PORTS, st.sampled_from([{"file": "in.csv"}, {"object": "in.npy"}]), max_size=2),
    "log_limit": st.integers(1, 2**50),
    "merge_logs": st.booleans(),
    "outputs": st.dictionaries(PORTS, OUTPUT, max_size=3),
    "resources": st.fixed_dictionaries({"memory": st.integers(1, 2**60), "cpus": st.floats(0.1, 64)}),
    "retries": st.integers(0, 5) | st.fixed_dictionaries({"max": st.integers(0, 5), "delay": st.floats(0, 1e5)}),
    "setup": ANY_TEXT,
    "tags": st.lists(ANY_TEXT, max_size=2),
    "timeout": st.floats(0.001, 1e6) | st.integers(1, 10**6),
    "when": st.sampled_from(["completed", "ended", "failed"]),
}
RUN = st.one_of(
    st.fixed_dictionaries({"script": ANY_TEXT}),
    st.fixed_dictionaries({"cell": ANY_TEXT}),
    st.fixed_dictionaries({"command": st.lists(SOUND_TEXT, min_size=1, max_size=3)}),
)
SOUND_WORKER = st.builds(lambda fields, run: {**_without_clashes(fields, run), **run}, st.fixed_dictionaries({}, optional=SOUND_FIELDS), RUN)
SOUND_WORKERS = st.dictionaries(st.text("abcde", min_size=1, max_size=4), SOUND_WORKER, min_size=1, max_size=4)
SOUND_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "description": ANY_TEXT,
    "env_vars": st.dictionaries(st.sampled_from(["A", "B"]), ANY_TEXT, max_size=2),
    "grace": st.floats(0, 1e6),
    "on_failure": st.sampled_from(["stop", "continue"]),
    "params": st.dictionaries(PORTS, PLAIN, max_size=3),
}
SOUND = st.builds(
    lambda options, workers: {"name": "w", **options, "workers": workers},
    st.fixed_dictionaries({}, optional=SOUND_OPTIONS),
    SOUND_WORKERS,
)


def _without_clashes(fields: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """In a cell every port is a variable."""
    return {key: value for key, value in fields.items() if "cell" not in run or key not in {"each", "inputs"}}


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def check(outcome: Any, *arguments: Any, **options: Any) -> None:
    """The outcome is `Parsed`, which comes back the same, or a `DocumentError` that can be shown."""
    refused = None
    try:
        parsed = outcome(*arguments, **options)
    except DocumentError as error:
        refused = error
    if refused is None:
        assert isinstance(parsed, Parsed)
        assert parse_document(dump(parsed.workflow), base_dir="/other").workflow == parsed.workflow
        return
    assert refused.problems
    for problem in refused.problems:
        assert problem.message
        assert len(problem.message) + len(problem.hint) < 5_000
    json.dumps(refused.to_dict())


@given(DOCUMENTS)
def test_any_value_is_read_or_refused(document: Any) -> None:
    check(parse_document, document, base_dir="/base")


@given(VALUES)
@example(float("nan"))
@example(b"bytes")
@example({1, 2})
def test_a_value_that_is_no_document_is_refused(value: Any) -> None:
    check(parse_document, value, base_dir="/base")


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join), FORMATS)
@example("[" * 100_000, "json")
@example('{"a":' * 100_000, "json")
@example("[" * 100_000, "yaml")
@example("- " * 100_000, "yaml")
@example("a: " * 100_000, "yaml")
@example("? " * 100_000, "yaml")
@example("a = " + "{a=" * 100_000, "toml")
@example("[" + "a." * 100_000 + "a]", "toml")
@example("x = {'a.b' = 1, " + '"a" . ' * 100_000 + "a = 1}", "toml")
@example('a = """', "toml")
@example("\ud800", "yaml")
@example("\ud800", "toml")
@example('{"\ud800": 1}', "json")
def test_any_text_is_read_or_refused(text: str, form: Any) -> None:
    check(parse, text, form, base_dir="/base")


@given(st.binary(max_size=60), FORMATS)
def test_any_bytes_are_read_or_refused(text: bytes, form: Any) -> None:
    check(parse, text, form, base_dir="/base")


@given(st.data())
def test_a_damaged_document_is_read_or_refused(data: st.DataObject) -> None:
    form = data.draw(FORMATS)
    text = ORIGINAL if form == "json" else data.draw(st.sampled_from([COMPARE, FULL, LIVE]))
    if form == "toml":
        text = render(parse(text, "yaml", base_dir="/").workflow, "toml")
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 4))
        text = (
            text[:start]
            + data.draw(st.sampled_from(["", " ", "\n", "\t", "'", '"', "{", "]", ":", "a", "0"]))
            + text[end:]
        )
    check(parse, text, form, base_dir="/base")


@settings(max_examples=150)
@given(SOUND, FORMATS)
def test_a_workflow_is_the_same_after_writing_and_reading_it(document: Any, form: Any) -> None:
    workflow = parse_document(document, base_dir="/base").workflow
    assert parse_document(dump(workflow), base_dir="/other").workflow == workflow
    assert parse(render(workflow, form, relative_to="/base"), form, base_dir="/base").workflow == workflow
