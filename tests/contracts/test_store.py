"""What every store promises, held against the one that ships and the one of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.storage.builders import attempts, definition, launched, run
from wattle.core import events as ev
from wattle.core.errors import StorageError
from wattle.core.ports import Store
from wattle.core.records import AttemptRecord, Batch, JournalMark
from wattle.storage.store import open_store
from wattle.testing import MemoryStore


@pytest.fixture(params=["sql", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = open_store(tmp_path / "wattle.db") if request.param == "sql" else MemoryStore()
    yield made
    made.close()


def test_a_new_store_is_empty(store: Store) -> None:
    assert (store.last_seq(), store.last_run_id(), store.mark()) == (0, 0, None)
    assert (store.workflow("etl"), store.run("etl", 1), store.key("k")) == (None, None, None)
    assert (store.workflows(), store.runs(), store.events(), store.attempts(1)) == ([], [], [], [])
    assert store.unfinished() == []
    assert (store.latest_runs(), store.durations("etl")) == ({}, {})
    assert store.store_id


def test_a_run_keeps_what_its_files_held_whenever_that_became_known(store: Store) -> None:
    store.commit(Batch(runs={1: run(1), 2: msgspec.structs.replace(run(2), contents={"/a": "x"})}))
    assert [record.contents for record in store.unfinished()] == [None, {"/a": "x"}]
    store.commit(Batch(contents={1: {"/a": "y"}}, runs={2: run(2)}))
    assert [record.contents for record in store.unfinished()] == [{"/a": "y"}, {"/a": "x"}]


def test_runs_are_counted_by_workflow_and_status(store: Store) -> None:
    ended = msgspec.structs.replace(run(2), status="completed")
    store.commit(Batch(runs={1: run(1), 2: ended, 3: run(3, "other", 1)}))
    assert (store.count_runs(), store.count_runs("ETL"), store.count_runs("none")) == (3, 2, 0)
    assert (store.count_runs(status="completed"), store.count_runs("other", status="completed")) == (1, 0)


def test_the_revision_of_a_definition_is_told_without_the_document(store: Store) -> None:
    store.commit(Batch(workflows={"etl": msgspec.structs.replace(definition("Etl"), revision=3)}))
    assert (store.revision("eTL"), store.revision("other")) == (3, 0)
    store.commit(Batch(workflows={"etl": msgspec.structs.replace(definition("Etl"), revision=3, deleted_at=1.0)}))
    assert store.revision("etl") == 0


def test_each_coordinator_gets_a_larger_epoch(store: Store) -> None:
    assert [store.new_epoch(), store.new_epoch(), store.new_epoch()] == [1, 2, 3]


def test_events_are_numbered_without_a_gap_across_batches(store: Store) -> None:
    assert store.commit(Batch(runs={1: run(1)}, events=[(1, ev.RunOpened(at=1.0)), (1, launched())])) == 2
    assert store.commit(Batch(events=[(1, launched("b"))])) == 3
    assert store.commit(Batch(mark=JournalMark("j", 1))) == 3
    assert [record.seq for record in store.events()] == [1, 2, 3]
    assert store.last_seq() == 3


def test_events_come_back_as_they_were_with_their_run_named(store: Store) -> None:
    ended = ev.WorkerExited(at=3.5, worker="a", attempt=1, code=0, outputs={"table": (12, 1 << 60), "none": None})
    told: list[ev.AnyEvent] = [ev.RunOpened(at=1.0), launched("ärger"), ended, ev.StopRequested(at=4.0, by="me")]
    store.commit(Batch(runs={7: run(7, number=3)}, events=[(7, event) for event in told]))
    found = store.events(7)
    assert [record.event for record in found] == told
    assert {(record.run, record.workflow, record.number) for record in found} == {(7, "etl", 3)}


def test_events_are_paged_by_sequence_number_of_one_run_or_of_all(store: Store) -> None:
    both = [(1, launched(f"w{n}")) if n % 2 else (2, launched(f"w{n}")) for n in range(10)]
    store.commit(Batch(runs={1: run(1), 2: run(2)}, events=both))
    assert [record.seq for record in store.events(after=3, limit=4)] == [4, 5, 6, 7]
    assert [record.seq for record in store.events(1, after=4)] == [6, 8, 10]
    assert [record.seq for record in store.events(2, limit=2)] == [1, 3]
    assert store.events(after=10) == []


def test_a_batch_that_cannot_be_taken_leaves_nothing(store: Store) -> None:
    store.commit(Batch(runs={1: run(1)}, events=[(1, launched())]))
    broken = Batch(
        workflows={"new": definition("new", "a")}, runs={2: run(2)}, events=[(2, launched()), (99, launched())],
        attempts=attempts(AttemptRecord(run=2, worker="a", attempt=1)), mark=JournalMark("j", 9), keys={"k": "etl@2"},
    )  # fmt: skip
    with pytest.raises(StorageError):
        store.commit(broken)
    assert (store.last_seq(), store.last_run_id(), store.mark(), store.key("k")) == (1, 1, None, None)
    assert (store.workflow("new"), store.run("etl", 2), store.attempts(2)) == (None, None, [])
    assert store.commit(Batch(events=[(1, launched("b"))])) == 2, "and the store goes on"


def test_two_runs_of_a_workflow_never_share_a_number(store: Store) -> None:
    store.commit(Batch(runs={1: run(1, number=1)}))
    with pytest.raises(StorageError):
        store.commit(Batch(runs={2: run(2, "ETL", number=1)}))
    assert store.last_run_id() == 1


def test_a_run_comes_back_as_it_was_and_its_state_changes_but_never_its_spec(store: Store) -> None:
    first = run(5, number=2)
    store.commit(Batch(runs={5: first}))
    assert store.run("etl", 2) == first
    changed = run(5, number=2, status="failed", phase="failed", reason="exit", cause="a", started_at=6.0,
                  completed_at=7.0, counts={"failed": 1, "completed": 1}, overhead=0.25)  # fmt: skip
    store.commit(Batch(runs={5: changed}))
    assert store.run("etl", 2) == changed
    head = store.runs()[0]
    assert (head.id, head.workflow, head.number) == (5, "etl", 2)
    assert (head.status, head.phase, head.reason, head.cause) == ("failed", "failed", "exit", "a")
    assert (head.counts, head.overhead, head.options) == ({"failed": 1, "completed": 1}, 0.25, first.spec.options)
    assert (head.created_at, head.started_at, head.completed_at) == (5.0, 6.0, 7.0)


def test_what_is_given_and_what_is_got_is_nobodys_shared_state(store: Store) -> None:
    record, attempt = run(1), AttemptRecord(run=1, worker="a", attempt=1)
    store.commit(Batch(runs={1: record}, attempts=attempts(attempt)))
    record.status, attempt.status = "failed", "failed"
    found = store.run("etl", 1)
    assert found is not None
    found.phase = "failed"
    again = store.run("etl", 1)
    assert again is not None
    assert (again.status, again.phase, store.attempts(1)[0].status) == ("created", "waiting", "created")


def test_names_are_found_ignoring_case(store: Store) -> None:
    store.commit(Batch(workflows={"x": definition("Straße", "a")}, runs={1: run(1, "Straße")}))
    for name in ("Straße", "STRASSE", "strasse"):
        found = store.workflow(name)
        assert found is not None
        assert found.name == "Straße"
        assert store.run(name, 1) is not None
        assert [head.id for head in store.runs(name)] == [1]
    assert store.workflow("strase") is None


def test_a_definition_is_replaced_and_deleted_under_its_name(store: Store) -> None:
    store.commit(Batch(workflows={name: definition(name, "x") for name in ("etl", "Beta", "alpha")}))
    assert [record.name for record in store.workflows()] == ["alpha", "Beta", "etl"]
    store.commit(Batch(workflows={"etl": definition("ETL", "b", "c", source="/x/etl.yaml", revision=2, last_run=4)}))
    replaced = store.workflow("etl")
    assert replaced == definition("ETL", "b", "c", source="/x/etl.yaml", revision=2, last_run=4)
    store.commit(Batch(workflows={"etl": definition("ETL", "b", "c", revision=2, last_run=4, deleted_at=9.0)}))
    assert [record.name for record in store.workflows()] == ["alpha", "Beta"]
    deleted = store.workflow("etl")
    assert deleted is not None
    assert (deleted.deleted_at, deleted.last_run) == (9.0, 4)


def test_runs_are_listed_newest_first_and_paged(store: Store) -> None:
    store.commit(Batch(runs={n: run(n, "etl" if n % 2 else "other") for n in range(1, 8)}))
    assert [head.id for head in store.runs()] == [7, 6, 5, 4, 3, 2, 1]
    assert [head.id for head in store.runs("etl", limit=2)] == [7, 5]
    assert [head.id for head in store.runs("etl", before=5)] == [3, 1]
    assert store.runs("nobody") == []


def test_the_latest_run_of_each_workflow_goes_by_the_workflows_name_of_today(store: Store) -> None:
    store.commit(Batch(workflows={"etl": definition("ETL", "a")},
                       runs={1: run(1, "etl", 1), 2: run(2, "etl", 2), 3: run(3, "gone", 1)}))  # fmt: skip
    assert {name: head.number for name, head in store.latest_runs().items()} == {"ETL": 2, "gone": 1}


def test_unfinished_runs_are_told_oldest_first(store: Store) -> None:
    states = ["running", "completed", "created", "failed", "cancelled", "running"]
    store.commit(Batch(runs={n: run(n, status=status) for n, status in enumerate(states, 1)}))
    found = store.unfinished()
    assert [record.spec.id for record in found] == [1, 3, 6]
    assert found[0].spec == run(1).spec


def test_attempts_are_kept_by_worker_and_number_and_later_ones_replace(store: Store) -> None:
    whole = AttemptRecord(
        run=1, worker="a", group="g", attempt=2, nonce="n", status="failed", phase="retrying", reason="signal",
        message="ended by signal 9", code=None, signal=9, pid=77, executable="/bin/true", launched_at=1.0,
        started_at=2.0, ended_at=3.5, cpu_user=0.5, cpu_system=0.25, max_rss=1 << 40,
        outputs={"t": (5, 1 << 60), "u": None},
    )  # fmt: skip
    first = AttemptRecord(run=1, worker="a", group="g", attempt=1)
    store.commit(Batch(runs={1: run(1), 2: run(2)}, attempts=attempts(
        AttemptRecord(run=1, worker="b"), AttemptRecord(run=1, worker="a", group="g", attempt=2), first,
        AttemptRecord(run=2, worker="a"),
    )))  # fmt: skip
    store.commit(Batch(attempts=attempts(whole)))
    assert store.attempts(1) == [first, whole, AttemptRecord(run=1, worker="b")]
    assert store.attempts(1, "a") == [first, whole]
    assert store.attempts(1, "nobody") == []


def test_the_mark_and_the_keys_are_written_with_the_events_that_they_belong_to(store: Store) -> None:
    store.commit(Batch(runs={1: run(1)}, events=[(1, launched())], mark=JournalMark("j", 4), keys={"k": "etl@1"}))
    assert store.mark() == JournalMark("j", 4)
    assert (store.key("k"), store.key("other")) == ("etl@1", None)
    store.commit(Batch(mark=JournalMark("other", 1)))
    assert store.mark() == JournalMark("other", 1)


def test_durations_are_medians_of_what_completed_in_the_ten_newest_runs(store: Store) -> None:
    def took(number: int, seconds: float, status: str = "completed", attempt: int = 1) -> AttemptRecord:
        return AttemptRecord(run=number, worker="a", attempt=attempt, status=status, started_at=100.0,
                             ended_at=100.0 + seconds)  # fmt: skip

    records = [took(1, 1000.0), took(2, 1000.0), *(took(n, float(n)) for n in range(3, 13))]
    taken_over = AttemptRecord(run=12, worker="b", status="completed", ended_at=5.0)
    records += [took(12, 5000.0, "failed", 2), taken_over]
    store.commit(Batch(runs={n: run(n) for n in range(1, 13)}, attempts=attempts(*records)))
    assert store.durations("ETL") == {"a": 7.5}


def test_pruning_forgets_ended_runs_and_uses_no_number_again(store: Store) -> None:
    store.commit(Batch(
        workflows={"etl": definition(last_run=3)}, keys={"k1": "etl@1", "k3": "etl@3"},
        runs={1: run(1, status="completed"), 2: run(2, status="running"), 3: run(3, status="failed")},
        events=[(1, launched()), (2, launched()), (3, launched())],
        attempts=attempts(*(AttemptRecord(run=n, worker="a", attempt=1) for n in (1, 2, 3))),
    ))  # fmt: skip
    store.prune([2, 3, 44])
    assert [head.id for head in store.runs()] == [2, 1]
    assert [record.seq for record in store.events()] == [1, 2]
    assert (store.attempts(3), store.run("etl", 3), store.key("k3"), store.key("k1")) == ([], None, None, "etl@1")
    assert (store.last_seq(), store.last_run_id()) == (3, 3)
    assert store.commit(Batch(runs={4: run(4)}, events=[(4, launched())])) == 4
    store.prune([])
    assert store.last_seq() == 4


def test_the_retry_of_a_refused_batch_is_the_same_batch(store: Store) -> None:
    store.commit(Batch(runs={1: run(1)}))
    refused = Batch(events=[(2, launched())])
    with pytest.raises(StorageError):
        store.commit(refused)
    store.commit(Batch(runs={2: run(2)}))
    assert store.commit(refused) == 1


@pytest.mark.parametrize("use", [
    lambda store: store.commit(Batch(events=[(1, launched())])),
    lambda store: store.commit(Batch(attempts=attempts(AttemptRecord(run=1, worker="a")))),
])  # fmt: skip
def test_what_happened_belongs_to_a_run_that_is_stored(store: Store, use: Callable[[Store], object]) -> None:
    with pytest.raises(StorageError):
        use(store)
