"""A file over 500 lines or a function over 50 is a design question. The answer is a cut, or a reason in a list here."""

from __future__ import annotations

import ast

from tests.house.sources import PACKAGES, sources

LONGEST_FILE, LONGEST_FUNCTION = 500, 50
ALLOWED_FILES: dict[str, str] = {}
ALLOWED_FUNCTIONS: dict[str, str] = {}
CODE = (*PACKAGES, "benchmarks")


def test_no_file_is_longer_than_500_lines() -> None:
    long = {source.path: source.text.count("\n") for source in sources(*CODE)}
    long = {path: lines for path, lines in long.items() if lines > LONGEST_FILE}
    assert set(long) == set(ALLOWED_FILES), long


def test_no_function_is_longer_than_50_lines() -> None:
    long = {}
    for source in sources(*CODE):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{source.path}:{node.name}"] = lines
    assert set(long) == set(ALLOWED_FUNCTIONS), long
