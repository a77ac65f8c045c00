"""Values that somebody puts for a worker while it runs, and how far it is: `put_output`, `put_progress`.

A worker says so of itself by writing the files. This is for those who are not in its process: another program of the
person, a program in a language that has no library of ours.

Laws: only an output of type `value`, only of one instance, only while its attempt runs. The file is there whole, or as
it was before. What is put just as the attempt ends may come too late to count, and whoever put it is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.history import History, output_detail
from wattle.coordinator.previews import PROGRESS_FILE
from wattle.coordinator.values import encoded, write_progress, write_value
from wattle.core.errors import Conflict, InvalidRequest, NotFound
from wattle.core.places import runs_dir, worker_dir
from wattle.core.progress import Progress
from wattle.core.replies import OutputDetail, WorkerProgress
from wattle.core.requests import PutOutput, PutProgress
from wattle.core.run import Run

STARTING_SECONDS = 2.0
"""A worker may be quicker than the news that it has started."""


async def put(driver: Coordinator, history: History, request: PutOutput) -> OutputDetail:
    """Put a value. Raises WattleError."""
    name, number = history.parse(request.workflow)
    _, run = await history.run(name, await history.number(name, number))
    progress = instance_of(history, run, request.worker)
    where = f"{run.spec.address}/{progress.instance.name}"
    _check_port(where, request.port, run, progress)
    data = await asyncio.to_thread(encoded, request.value, request.port)
    attempt = await running(driver, run, progress, request.attempt)
    path = output_detail(run, run.spec, progress.instance, request.port, "value").path
    await asyncio.to_thread(write_value, path, data)
    if (progress.phase, progress.attempt) != ("running", attempt):
        raise _ended(f"{where} has ended meanwhile: the value may have come too late to count.")
    return await asyncio.to_thread(output_detail, run, run.spec, progress.instance, request.port, "value")


def instance_of(history: History, run: Run, worker: str) -> Progress:
    """The one instance that a name means. Raises NotFound, and InvalidRequest for a group."""
    indexes = run.name_to_indexes(worker)
    if not indexes:
        raise history.no_worker(run, worker)
    if worker in run.groups:
        raise InvalidRequest(f"{run.spec.address}/{worker} is a group of {len(indexes)}, and a value belongs to one.",
                             f"write {run.workers[indexes[0]].instance.name}, say")  # fmt: skip
    return run.workers[indexes[0]]


def _check_port(where: str, port: str, run: Run, progress: Progress) -> None:
    outputs = run.definitions[progress.instance.worker].outputs
    if port not in outputs:
        raise NotFound(f"{where} has no output {port}.", f"its outputs are: {', '.join(outputs) or 'none'}")
    if outputs[port].type != "value":
        raise InvalidRequest(f"{where}/{port} is an output of type {outputs[port].type}, and only a value is put.",
                             f"its worker writes it; a value is declared as {port}: {{type: value}}")  # fmt: skip


async def put_progress(driver: Coordinator, history: History, request: PutProgress) -> WorkerProgress:
    """Put a progress report. Raises WattleError."""
    name, number = history.parse(request.workflow)
    _, run = await history.run(name, await history.number(name, number))
    progress = instance_of(history, run, request.worker)
    attempt = await running(driver, run, progress, request.attempt)
    told = {"attempt": attempt, "fraction": request.fraction, "text": " ".join(request.text.split())}
    path = f"{worker_dir(run.spec, progress.instance)}/{PROGRESS_FILE}"
    await asyncio.to_thread(write_progress, runs_dir(run.spec.document), path, json.dumps(told).encode())
    return WorkerProgress(name=progress.instance.name, fraction=request.fraction, text=str(told["text"]),
                          at=driver.clock.now())  # fmt: skip


async def running(driver: Coordinator, run: Run, progress: Progress, meant: int | None) -> int:
    """The attempt that runs. Raises Conflict when none does, or another than the one that is meant."""
    where = f"{run.spec.address}/{progress.instance.name}"
    await _started(driver, run, progress)
    if progress.phase != "running":
        raise _ended(f"{where} does not run now: it is {progress.phase}.")
    if meant not in {None, progress.attempt}:
        raise _ended(f"{where} is in attempt {progress.attempt}, and this was for attempt {meant}.")
    return progress.attempt


async def _started(driver: Coordinator, run: Run, progress: Progress) -> None:
    """Return when an attempt that was sent has started, or has not for a while."""
    live = driver.runs.get(run.spec.id)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STARTING_SECONDS):
            while live is not None and progress.phase == "starting":
                await live.news.current().wait()


def _ended(message: str) -> Conflict:
    return Conflict(message, "it is put while its worker runs", code="not-running")
