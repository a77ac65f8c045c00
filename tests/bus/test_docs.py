"""`docs/bus.md` is true: its keys, encodings, roles, routes and examples are those of the code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bus.buses import router
from tests.helpers import within
from tests.terminal import REPOSITORY
from wattle.bus.access import operations_of
from wattle.bus.connection import ROLES, client_config, read_connection
from wattle.bus.handout import STARTING, UP
from wattle.bus.keys import Keys, parse
from wattle.bus.zenoh import Query, open_client
from wattle.cli.pipe import Pipe
from wattle.core.operations import BY_NAME, READ
from wattle.sdk import worker_encoding, worker_errors
from wattle.web import asking, services

TEXT = (REPOSITORY / "docs" / "bus.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def table(title: str, *, head: str) -> list[list[str]]:
    """The rows of the table of a section whose first line holds `head`."""
    tables = re.findall(r"(?:^\|.*\|\n)+", section(title), re.MULTILINE)
    (found,) = (one for one in tables if head in one.split("\n")[0])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.strip().split("\n")[2:]]


def blocks(title: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_keys_are_those_that_are_made_and_read() -> None:
    keys = Keys("h1")
    made = {
        "events/{workflow}/{run}": keys.events("etl", 12), "events/{workflow}/{run}/{worker}": keys.events("etl", 12, "clean"),
        "logs/{workflow}/{run}/{worker}": keys.logs("etl", 12, "clean"),
        "services/{workflow}/{run}/{worker}/{service}": keys.service("etl", 12, "clean", "state"),
        "api/{operation}": keys.api("get_run"), "alive/coordinator": keys.coordinator(), "alive/kernels/{id}": keys.kernel("k1"),
        "alive/workers/{workflow}/{run}/{worker}": keys.worker("etl", 12, "clean"),
    }  # fmt: skip
    names = {"hub": "h1", "workflow": "etl", "run": "12", "worker": "clean", "service": "state", "operation": "get_run", "id": "k1"}
    documented = [code(row[0])[0] for row in table("Keys", head="key")]
    assert documented == [f"wattle/{{hub}}/{form}" for form in made]
    for form, key in zip(documented, made.values(), strict=True):
        assert form.format(**names) == key
        assert parse(key) is not None


def test_the_characters_that_are_encoded_are_those() -> None:
    (said,) = re.findall(r"A name is one chunk: `([^`]+)`", section("Keys"))
    for sign in said.split():
        assert Keys("h").service("a", 1, f"x{sign}y", "s").split("/")[5] == f"x%{ord(sign):02X}y"
    assert Keys("h").service("a", 1, "w", "deep/state").endswith("/w/deep/state")


def test_the_encodings_are_those_of_the_code() -> None:
    said = {name for row in table("Messages between workers", head="encoding") for name in code(row[0])}
    assert said == {worker_encoding.JSON, worker_encoding.BYTES, worker_encoding.ARROW, worker_encoding.END,
                    *worker_encoding._TEXTS}  # fmt: skip


def test_the_connection_is_one_and_gives_that_configuration() -> None:
    told = json.loads(blocks("Getting in", "json")[0])
    connection = read_connection(told["bus"])
    assert json.loads(blocks("Getting in", "json")[1]) == client_config(connection)
    assert set(told) == {"home", "http", "bus", "bus_state"}
    fields = {name for row in table("Getting in", head="field") for name in code(row[0])}
    assert {name.removeprefix("bus.") for name in fields if name.startswith("bus.")} == {*connection._fields}
    assert told["bus_state"] == UP
    assert f"`{STARTING}`" in section("Getting in")


def test_the_roles_may_what_is_said() -> None:
    assert [code(row[0])[0] for row in table("Getting in", head="role")] == [*ROLES]
    assert set(BY_NAME) - set(operations_of("kernel")) == {"hand_over"}
    assert {BY_NAME[name].access for name in operations_of("worker")} == {READ}


def test_the_routes_are_those_of_the_door() -> None:
    said = {code(row[0])[0].replace("?serve=true", "") for row in table("HTTP", head="request")}
    own = {f"{row.verb} {row.path}" for row in (services.LISTEN, services.PUBLISH, services.END, services.ASK, services.ANSWER,
                                                services.REFUSE)}  # fmt: skip
    assert said == own | {f"PUT {BY_NAME[name].path}" for name in ("put_output", "put_progress")}
    assert asking.MESSAGE_LIMIT == 8 << 20


def test_the_statuses_are_those_of_the_errors() -> None:
    said = {name: int(row[0]) for row in table("HTTP", head="status") if row[0].isdecimal() for name in code(row[1])}
    kinds: list[Any] = [worker_errors.RequestFailed, worker_errors.WorkerUnreachable, worker_errors.RequestTimeout]
    assert {kind.code: kind.http_status for kind in kinds}.items() <= said.items()
    assert said[services.no_bus("x").code] == services.no_bus("x").http_status


def test_the_words_of_the_pipe_are_those() -> None:
    (block,) = blocks("Lines", "")
    words = {next(iter(json.loads(line.partition("  ->")[0]))) for line in block.splitlines()}
    known = re.findall(r'"(\w+)": self\._', Path(sys.modules[Pipe.__module__].__file__ or "").read_text(encoding="utf-8"))
    assert words == set(known) - {"ready"}


@pytest.mark.parametrize("title", ["Questions between workers", "What happens in a run", "Operations as questions"])
def test_the_examples_of_messages_are_json(title: str) -> None:
    for block in blocks(title, "json"):
        assert json.loads(block)


async def test_the_example_is_a_client(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        (tmp_path / "connection.json").write_text(json.dumps({"bus": json.loads(bus.connection("worker").read_text())}))
        (program,) = blocks("An example", "python")
        with open_client(bus.connection("worker")) as engine:
            keys, over = Keys(engine.hub), asyncio.Event()

            def twice(query: Query) -> None:
                with query:
                    query.reply(json.dumps(2 * json.loads(query.payload)).encode())

            declared = engine.queryable(keys.service("etl", 12, "engine", "twice"), twice)
            engine.flush()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "WATTLE_CONNECTION": str(tmp_path / "connection.json"), "WATTLE_WORKFLOW_NAME": "etl",
                     "WATTLE_RUN": "12"},
            )  # fmt: skip
            async def publish() -> None:
                while not over.is_set():
                    engine.put(keys.service("etl", 12, "engine", "state"), b'{"x": 1}', worker_encoding.JSON)
                    await asyncio.sleep(0.02)

            publishing = asyncio.create_task(publish())
            told, errors = await within(process.communicate())
            over.set()
            await publishing
            declared.close()
        assert (told, errors) == (b"42\n{'x': 1}\n", b"")
