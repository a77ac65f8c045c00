"""Keys: whatever a name is, it stays where it was put and comes back as it was."""

from __future__ import annotations

import pytest
import zenoh
from hypothesis import given
from hypothesis import strategies as st

from wattle.bus.keys import Key, Keys, chunk, parse, unchunk
from wattle.core.errors import InvalidRequest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
HARD = st.sampled_from(["*", "**", "$*", "@", "@adv", "/", "a/b", "%2F", "%", "?", "#", " ", ".", "..", "Ä", "日本", "a$*b"])
NAME = TEXT | HARD
RUN = st.integers(1, 999_999_999)


@given(NAME)
def test_a_name_is_one_chunk_and_comes_back(name: str) -> None:
    text = chunk(name)
    assert unchunk(text) == name
    assert not set(text) & set("/*$?#@")
    assert str(zenoh.KeyExpr(f"wattle/{text}/x")) == f"wattle/{text}/x"


@given(NAME, NAME, RUN, NAME, st.lists(NAME, min_size=1, max_size=3))
def test_every_key_is_read_back(hub: str, workflow: str, run: int, worker: str, service: list[str]) -> None:
    keys = Keys(hub)
    plain = "/".join(name.replace("/", "-") for name in service)
    for key, parts in [
        (keys.events(workflow, run), Key(hub, "events", workflow, run)),
        (keys.events(workflow, run, worker), Key(hub, "events", workflow, run, worker)),
        (keys.logs(workflow, run, worker), Key(hub, "logs", workflow, run, worker)),
        (keys.service(workflow, run, worker, plain), Key(hub, "services", workflow, run, worker, plain)),
        (keys.api(worker), Key(hub, "api", name=worker)),
        (keys.coordinator(), Key(hub, "alive", name="coordinator")),
        (keys.kernel(worker), Key(hub, "alive", name=worker)),
        (keys.worker(workflow, run, worker), Key(hub, "alive", workflow, run, worker)),
    ]:
        assert parse(key) == parts
        assert zenoh.KeyExpr(keys.everything()).includes(zenoh.KeyExpr(key))


@given(NAME, RUN, NAME)
def test_no_name_reaches_into_another_key(workflow: str, run: int, worker: str) -> None:
    keys = Keys("hub")
    mine, theirs = zenoh.KeyExpr(keys.events(workflow, run, worker)), zenoh.KeyExpr(keys.events("etl", 12, "clean"))
    assert mine.intersects(theirs) == ((workflow, run, worker) == ("etl", 12, "clean"))
    assert not mine.intersects(zenoh.KeyExpr(keys.api("stop_workflow")))


@given(st.text(max_size=60) | st.lists(st.sampled_from(["wattle", "h", "events", "logs", "api", "alive", "services", "1", "0",
                                                        "workers", "*", "**", "", "x%"]), max_size=8).map("/".join))  # fmt: skip
def test_any_text_is_a_key_or_none(text: str) -> None:
    found = parse(text)
    assert found is None or found.kind in {"events", "logs", "services", "api", "alive"}


def test_wildcards_are_for_patterns() -> None:
    keys = Keys("hub")
    pattern = zenoh.KeyExpr(keys.events_of_workers("etl", 12))
    assert pattern.includes(zenoh.KeyExpr(keys.events("etl", 12, "clean")))
    assert not pattern.includes(zenoh.KeyExpr(keys.events("etl", 12)))
    assert keys.service("etl", 1, None, None) == "wattle/hub/services/etl/1/*/**"
    assert parse(keys.events(None, 12)) is None


@pytest.mark.parametrize("service", ["", "a//b", "/a", "a/"])
def test_an_empty_part_is_refused(service: str) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        Keys("hub").service("etl", 1, "w", service)
