"""A row of the table has every face that it should have: a method, a route, types, words."""

from __future__ import annotations

import collections.abc
import inspect
import re
import typing

import pytest

from wattle.cli import grammar, words
from wattle.coordinator.service import Service
from wattle.core import replies, requests
from wattle.core.operations import BY_NAME, LOCAL, OPERATIONS, Operation
from wattle.web.handlers import routes

each = pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])


def test_names_and_routes_are_unique() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    assert len({(operation.verb, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)


@each
def test_its_request_and_reply_are_types(operation: Operation) -> None:
    request, reply = getattr(requests, operation.request), getattr(replies, operation.reply)
    assert issubclass(request, requests.Request)
    assert issubclass(reply, replies.Reply)
    assert set(re.findall(r"\{(\w+)\}", operation.path)) <= set(request.__struct_fields__)


@each
def test_the_service_answers_it(operation: Operation) -> None:
    method = getattr(Service, operation.name)
    hints = typing.get_type_hints(method)
    answer = hints.pop("return")
    assert list(hints.values()) == [getattr(requests, operation.request)]
    reply = getattr(replies, operation.reply)
    if operation.stream:
        assert issubclass(typing.get_origin(answer), collections.abc.AsyncIterator)
        assert typing.get_args(answer)[0] is reply
    else:
        assert inspect.iscoroutinefunction(method)
        assert answer is reply


@each
def test_the_web_has_a_route_for_it(operation: Operation) -> None:
    path = re.sub(r"\{number\}", "7", re.sub(r"\{(?!number)\w+\}", "etl", operation.path))
    found = [arguments["operations"] for pattern, _, arguments in routes(lambda: None)
             if re.fullmatch(pattern, path) and operation in arguments["operations"].values()]  # fmt: skip
    assert [operations[operation.verb] for operations in found] == [operation]


@each
def test_words_reach_it_and_are_verbs(operation: Operation) -> None:
    assert operation.words
    assert set(operation.words) <= set(words.VERBS)
    assert operation.access in {"read", "write", "execute"}
    assert operation.help[0].isupper()
    assert not operation.help.endswith(".")


def test_no_public_method_of_the_service_is_outside_the_table() -> None:
    public = {name for name, value in vars(Service).items()
              if inspect.isfunction(value) and not name.startswith("_")}  # fmt: skip
    assert public == set(BY_NAME)


def test_every_verb_of_the_grammar_has_a_row_or_is_local() -> None:
    reached = {word for operation in OPERATIONS for word in operation.words} | set(LOCAL)
    assert set(words.VERBS) == reached
    assert set(words.ALIASES.values()) <= set(words.VERBS)
    assert not set(words.ALIASES) & set(words.VERBS)


@pytest.mark.parametrize("verb", words.VERBS)
def test_every_verb_has_a_parser_and_a_line_of_help(verb: str) -> None:
    assert words.summary(verb)
    assert verb in grammar.parser_for(verb).format_usage()
