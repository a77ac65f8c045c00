"""Did you mean …?"""

from __future__ import annotations

from wattle.core.suggest import Suggester


def test_the_nearest_name_is_suggested() -> None:
    near = Suggester().nearest
    assert near("comand", ["command", "args"]) == "command"
    assert near("FETCH", ["fetch", "fetched"]) == "fetch"
    assert near("zzz", ["command", "args"]) is None
    assert near("x" * 200, ["x" * 199]) is None


def test_few_options_are_listed_when_none_is_near() -> None:
    hint = Suggester().hint
    assert hint("zzz", ["b", "a"], "ports") == "ports: a, b"
    assert hint("zzz", [], "ports") == "there are no ports"
    assert not hint("zzz", [str(number) for number in range(9)], "ports")


def test_suggestions_end_when_their_budget_is_spent() -> None:
    suggester = Suggester(budget=3)
    assert suggester.nearest("ab", ["abc", "x"]) == "abc"
    assert suggester.nearest("ab", ["abc", "x"]) is None
