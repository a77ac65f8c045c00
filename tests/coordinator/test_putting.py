"""A value that is put from outside while its worker runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import Desk, refusal
from wattle.coordinator import putting
from wattle.core.errors import Conflict, InvalidRequest, NotFound, StorageError

WORKERS: dict[str, Any] = {
    "a": {"outputs": {"score": {"type": "value"}, "table": {"type": "file"}}, "retries": 1},
    "group": {"each": {"n": [1, 2]}, "outputs": {"score": {"type": "value"}}},
    "b": {"inputs": {"score": "a/score"}},
}


@contextlib.asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Desk]:
    """A run whose worker `a` runs; nobody else has started."""
    async with Desk(tmp_path) as made:
        await made.create(WORKERS)
        await made.run()
        await made.start("a")
        yield made


def put(desk: Desk, value: Any, *, worker: str = "a", port: str = "score", **fields: Any) -> Any:
    return desk.ask("put_output", workflow="etl", worker=worker, port=port, value=value, **fields)


@pytest.mark.parametrize("value", [None, 0.93, "née", [1, {"a": True}], 10**30, ""], ids=repr)
async def test_what_is_put_is_what_is_got_and_what_the_next_worker_gets(tmp_path: Path, value: Any) -> None:
    async with running(tmp_path) as desk:
        reply = await put(desk, value)
        assert (reply.address, reply.type, reply.exists, reply.value) == ("etl@1/a/score", "value", True, value)
        assert json.loads(Path(reply.path).read_text(encoding="utf-8")) == value
        assert (await desk.ask("get_output", workflow="etl@1", worker="a", port="score")).value == value
        assert [path.name for path in Path(reply.path).parent.iterdir()] == ["score.json"], "no draft is left"


async def test_the_last_value_before_the_end_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await put(desk, 1)
        path = Path((await put(desk, 2, attempt=1)).path)
        await desk.finish("a", outputs={"score": (path.stat().st_size, path.stat().st_mtime_ns), "table": None})
        assert (await desk.ask("get_output", workflow="etl", worker="a", port="score")).value == 2
        assert isinstance(error := await refusal(desk, "put_output", workflow="etl", worker="a", port="score", value=3),
                          Conflict)  # fmt: skip
        assert (error.code, error.message) == ("not-running", "etl@1/a does not run now: it is completed.")
        assert path.read_text() == "2"


async def test_a_value_of_an_attempt_that_has_ended_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await put(desk, 1, attempt=1)
        await desk.finish("a", 1)
        await desk.start("a")
        error = await refusal(desk, "put_output", workflow="etl", worker="a", port="score", value=3, attempt=1)
        assert (error.code, error.message) == ("not-running", "etl@1/a is in attempt 2, and this was for attempt 1.")


async def test_who_has_not_started_has_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as desk:
        error = await refusal(desk, "put_output", workflow="etl", worker="b", port="score", value=3)
        assert isinstance(error, NotFound)
        monkeypatch.setattr(putting, "STARTING_SECONDS", 0.01)
        error = await refusal(desk, "put_output", workflow="etl", worker="group.1", port="score", value=3)
        assert (error.code, error.message) == ("not-running", "etl@1/group.1 does not run now: it is starting.")


async def test_a_worker_may_be_quicker_than_the_news_that_it_has_started(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        async def asked() -> Any:
            return await put(desk, 7, worker="group.2")

        asking = asyncio.create_task(asked())
        await asyncio.sleep(0)
        await desk.start("group.2")
        assert (await asking).value == 7


@pytest.mark.parametrize(("fields", "kind", "message"), [
    ({"port": "scor"}, NotFound, "etl@1/a has no output scor."),
    ({"port": "table"}, InvalidRequest, "etl@1/a/table is an output of type file, and only a value is put."),
    ({"worker": "c"}, NotFound, "etl@1 has no worker c."),
    ({"worker": "group"}, InvalidRequest, "etl@1/group is a group of 2, and a value belongs to one."),
    ({"value": "x" * (1 << 20)}, InvalidRequest, "score is 1.0 MiB of JSON; a value has at most 1 MiB."),
    ({"value": float("nan")}, InvalidRequest, "score cannot be written as JSON: Out of range float values are not JSON compliant"),
    ({"value": "\ud800"}, InvalidRequest, "score cannot be written as JSON: 'utf-8' codec can't encode"),
])  # fmt: skip
async def test_what_cannot_be_put_is_refused_with_a_reason(tmp_path: Path, fields: dict[str, Any], kind: type[Exception],
                                                           message: str) -> None:  # fmt: skip
    async with running(tmp_path) as desk:
        given = {"workflow": "etl", "worker": "a", "port": "score", "value": 1, **fields}
        error = await refusal(desk, "put_output", **given)
        assert isinstance(error, kind)
        assert error.message.startswith(message)
        assert error.hint


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        folder = Path((await desk.ask("get_output", workflow="etl", worker="a", port="score")).path).parent
        folder.rmdir()
        error = await refusal(desk, "put_output", workflow="etl", worker="a", port="score", value=1)
        assert isinstance(error, StorageError)
        assert "No such file or directory" in error.message


async def test_how_far_a_worker_is_can_be_said_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        reply = await desk.ask("put_progress", workflow="etl", worker="a", fraction=0.4, text=" epoch \n 4")
        assert (reply.name, reply.fraction, reply.text) == ("a", 0.4, "epoch 4")
        found = (await desk.ask("get_progress", workflow="etl")).workers
        assert [(one.name, one.fraction, one.text) for one in found] == [("a", 0.4, "epoch 4")]
        assert (tmp_path / "wattle-runs" / ".gitignore").read_text() == "*\n"
        error = await refusal(desk, "put_progress", workflow="etl", worker="a", fraction=0.5, attempt=2)
        assert error.code == "not-running"


@pytest.mark.parametrize("fraction", [-0.1, 1.1, "half"])
async def test_a_fraction_is_between_nothing_and_all(tmp_path: Path, fraction: Any) -> None:
    async with running(tmp_path) as desk:
        error = await refusal(desk, "put_progress", workflow="etl", worker="a", fraction=fraction)
        assert isinstance(error, InvalidRequest)
