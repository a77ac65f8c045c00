"""What is said is true: verbs that texts name exist; and what must never be written is not there."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

import wattle
from tests.house.sources import PACKAGES, ROOT, Source, dotted, names_used, sources
from wattle.cli import words

DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
KNOWN = {*words.VERBS, *words.ALIASES, *words.HIDDEN, "help"}
LATER = {"serve"}
"""Verbs of later versions that a text may name."""
UNSAFE_CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
RUNS_CODE = {"wattle/runtime/cell_runner.py": "running a person's cell is its task"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


def code_of(text: str) -> Iterator[str]:
    """The fenced blocks and code spans of a Markdown text, by line."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    yield from (line for block in fenced for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def verbs_in(line: str) -> set[str]:
    """The verbs of commands in a line of code: `wattle VERB` at its start, after a prompt, a path, `&&` or spaces."""
    return set(re.findall(r"(?:^|[\s/$(|;&])wattle (?:--?[\w-]+ )*([a-z]{2,})\b", line.partition("#")[0]))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_verb_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert {verb for line in code_of(text) for verb in verbs_in(line)} - KNOWN - LATER == set()


def test_every_verb_that_a_message_or_hint_names_exists() -> None:
    wrong = []
    for source in sources(*PACKAGES):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong += [f"{source.path}:{node.lineno}: wattle {verb}" for line in node.value.splitlines()
                          for verb in verbs_in(line) - KNOWN - LATER]  # fmt: skip
    assert wrong == []


def test_the_readme_begins_with_two_commands_that_do_everything() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv .venv && ")]
    assert [command.rpartition("/")[2] for command in commands] == ["wattle demo", "python -m pytest"]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [f"{name}: {target}" for name in DOCUMENTS
              for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
              if not ((ROOT / name).parent / target).exists()]  # fmt: skip
    assert broken == []


def test_the_version_is_said_once_and_the_changelog_knows_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dynamic"] == ["version"]
    assert f"## {wattle.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def unsafe(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            if dotted(node.func) in UNSAFE_CALLS and source.path not in RUNS_CODE:
                yield f"{source.path}:{node.lineno}: {dotted(node.func)}()"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
                    yield f"{source.path}:{node.lineno}: shell="
    for name, line in names_used(source):
        if name.partition(".")[0] in UNSAFE_MODULES:
            yield f"{source.path}:{line}: {name}"


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell() -> None:
    assert [breach for source in sources(*PACKAGES) for breach in unsafe(source)] == []


def test_nothing_is_left_for_later_in_the_code() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    left = [f"{source.path}:{number}: {line.strip()}" for source in sources(*PACKAGES, "benchmarks")
            for number, line in enumerate(source.text.splitlines(), 1) if marks.search(line)]  # fmt: skip
    assert left == []
