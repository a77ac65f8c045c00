"""The grammar: words in, a namespace out, and what was meant when they make no sense."""

from __future__ import annotations

import argparse
from typing import NoReturn

import pytest

from wattle.cli.grammar import ARGUMENTS, Parser, is_file, parse, parser_for, seconds
from wattle.cli.words import ALIASES, EXAMPLES, HIDDEN, VERBS, nearest, overview, summary
from wattle.core.address import Address
from wattle.core.errors import InvalidRequest


def refused(words: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        parse(words.split())
    return told.value


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_one_line_from_the_table_and_a_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse([verb, "--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert summary(verb)
    assert summary(verb) + "." in " ".join(told.split())
    assert summary(verb) in overview()
    assert "--json" in told


def test_verbs_aliases_and_examples_agree() -> None:
    assert set(ARGUMENTS) == {*VERBS, *HIDDEN}
    assert set(ALIASES.values()) <= set(VERBS)
    assert set(EXAMPLES) <= set(VERBS)


@pytest.mark.parametrize("verb", sorted(EXAMPLES))
def test_the_examples_of_the_help_are_commands_that_parse(verb: str) -> None:
    for line in EXAMPLES[verb].split("\n"):
        words = line.partition("   ")[0].split()
        if words[0] == "wattle" and "'" not in line and "|" not in line:
            assert parse(words[1:]).verb == verb


def test_options_may_stand_anywhere() -> None:
    for words in ("run flow.yaml -j 2 --set a=1", "run -j 2 --set a=1 flow.yaml", "run -j 2 flow.yaml --set a=1"):
        found = parse(words.split())
        assert (found.target, found.jobs, found.params) == ("flow.yaml", 2, [("a", 1)])
    assert parse(["export", "etl", "--format", "json", "out.json"]).file == "out.json"


def test_global_options_stand_before_or_after_the_verb() -> None:
    for words in ("--home /x --json status etl", "status etl --home /x --json", "--json status --home=/x etl"):
        found = parse(words.split())
        assert (found.verb, found.home, found.json, found.address.workflow) == ("status", "/x", True, "etl")


@pytest.mark.parametrize(("text", "value"), [
    ("3", 3), ("0.5", 0.5), ("true", True), ("null", None), ('"3"', "3"), ("2026-11-23", "2026-11-23"), ("", ""),
    ("[1, 2]", [1, 2]), ("NaN", "NaN"), ("a=b", "a=b"), ("{", "{"),
])  # fmt: skip
def test_a_parameter_is_json_where_it_reads_as_json_else_text(text: str, value: object) -> None:
    assert parse(["run", "--set", f"day={text}"]).params == [("day", value)]


def test_a_parameter_without_a_value_is_refused() -> None:
    assert "name=value" in refused("run --set day").message


@pytest.mark.parametrize(("text", "answer"), [
    ("etl", False), ("etl@3", False), ("./etl", True), ("a/b", True), ("flow.yaml", True), ("X.JSON", True),
    ("flow.toml", True), ("-", True), ("v1.2", False),
])  # fmt: skip
def test_what_is_a_file_is_told_by_its_look(text: str, answer: bool) -> None:
    assert is_file(text) is answer


def test_addresses_are_read_by_the_grammar() -> None:
    assert parse(["logs", "etl@3/clean"]).address == Address("etl", 3, "clean")
    assert refused("status etl@x").exit_code == 2


def test_an_unknown_verb_is_told_what_was_meant() -> None:
    assert refused("stauts").hint == "did you mean: wattle status"
    assert refused("Xyzzy").hint == "run: wattle --help"


def test_an_unknown_option_is_told_what_was_meant() -> None:
    assert refused("run --detahc").hint == "did you mean: --detach"
    assert "there is no option --xyzzy" in refused("run --xyzzy=3").message


def test_options_are_not_abbreviated() -> None:
    assert "no option --det" in refused("run --det").message


def test_a_word_too_many_and_a_word_too_few_are_told() -> None:
    assert "'b' is one word too many" in refused("status a b").message
    assert "ADDRESS" in refused("logs").message
    assert "one of the arguments --command --script" in refused("new clean").message


@pytest.mark.parametrize("words", ["run -j 0", "run -j x", "logs a/b --tail -1", "prune --keep many", "completion tcsh",
                                   "logs a/b --stdout --stderr", "rerun a --from b --failed"])  # fmt: skip
def test_values_that_make_no_sense_are_refused(words: str) -> None:
    assert refused(words).exit_code == 2


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800)])
def test_durations_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "3y", "h", "1h30", "-5"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    if text == "1h30":
        assert seconds(text) == 3630
        return
    with pytest.raises(InvalidRequest):
        seconds(text)


def test_no_verb_is_the_overview_and_version_is_a_verb_too() -> None:
    assert parse([]).verb == ""
    assert parse(["--help"]).verb == ""
    assert parse(["help"]).verb == ""
    assert parse(["--home", "/x"]).verb == ""
    assert parse(["--version"]).verb == "version"


def test_help_of_a_verb_has_two_forms(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help", "run"], ["run", "-h"]):
        with pytest.raises(SystemExit):
            parse(words)
    first, second = capsys.readouterr().out.split("usage: ")[1:]
    assert first == second


def test_the_kernel_may_bring_a_parser_that_raises_where_the_shell_exits() -> None:
    class Raising(Parser):
        def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
            raise RuntimeError(status)

        def print_help(self, file: object = None) -> None:
            """The kernel shows it elsewhere."""

    with pytest.raises(RuntimeError):
        parse(["run", "--help"], Raising)
    assert isinstance(parser_for("run", Raising), argparse.ArgumentParser)


@pytest.mark.parametrize(("word", "meant"), [("stauts", "status"), ("atach", "attach"), ("exprot", "export"),
                                             ("val", "validate"), ("qqqq", None)])  # fmt: skip
def test_the_nearest_word_is_found_over_swaps_gaps_and_beginnings(word: str, meant: str | None) -> None:
    assert nearest(word, VERBS) == meant
