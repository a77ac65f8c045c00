"""A run as a Python object: asked for its state, waited for, followed, stopped and run again.

    run = wattle.flow("etl").run(day=7)
    run.wait()                      # until it has ended; a failed run raises RunFailed
    table = run.result("clean/table")

Laws: the object holds an address and a client and nothing that could grow old, but that an end is an end; leaving a
`wait` (Ctrl-C, a timeout) never touches the run. No IPython here: a kernel only lends `Run.told` its live line.
"""

from __future__ import annotations

import time
from pathlib import Path

from wattle.core.address import Address
from wattle.core.errors import Conflict, InvalidRequest, NotFound, WattleError
from wattle.runtime import cell_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, ClassVar, Self

    from wattle.sdk.client import Client

FINAL = frozenset({"completed", "failed", "cancelled"})
LOOK_SECONDS = 0.1
"""How often a wait with a limit looks."""


class RunFailed(WattleError):
    """A run that was waited for did not complete. `run` is it."""

    code = "run-failed"
    http_status = 409
    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, run: Run | None = None) -> None:
        super().__init__(message, hint)
        self.run = run

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: where the wait stands in this program says nothing about why the run failed."""
        return [*self.message.split("\n"), *([f"  → {self.hint}"] if self.hint else [])]


class Run:
    """One run: `etl@12`."""

    told: ClassVar[Callable[[Run, bool], Callable[[Mapping[str, Any] | None], None]] | None] = None
    """What shows a person that a `wait` goes on: called with the run, and whether all of it is waited for, it gives a
    function that gets each change, and None at the end. A kernel sets it."""

    explained: ClassVar[Callable[[Run], str] | None] = None
    """What tells in full how a run failed; a kernel sets it."""

    def __init__(self, client: Client, address: str, detail: Mapping[str, Any] | None = None) -> None:
        self.client = client
        self.address = address
        self.aspect = "run"
        """What a view of it shows: `run`, `gantt`, or the `logs` of the worker in `focus`."""
        self.focus: str | None = None
        self._last: dict[str, Any] = dict(detail or {})

    @classmethod
    def find(cls, client: Client, address: str) -> Self:
        """The run that an address means; `etl` is its latest one. Raises `NotFound`."""
        detail = client.ask("list_workers", workflow=Address.parse(address).run)
        return cls(client, str(detail["address"]), detail)

    @property
    def workflow(self) -> str:
        """The name of its workflow."""
        return self.address.partition("@")[0]

    @property
    def number(self) -> int:
        """Which of its runs it is."""
        return int(self.address.partition("@")[2])

    @property
    def detail(self) -> dict[str, Any]:
        """Its present state with all workers, in the form of the reply `RunDetail`."""
        if self._last.get("status") not in FINAL or "workers" not in self._last:
            self._last = self.client.ask("list_workers", workflow=self.address)
        return self._last

    @property
    def status(self) -> str:
        """`created`, `running`, `completed`, `failed` or `cancelled`."""
        return str(self.detail["status"])

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    @property
    def workers(self) -> dict[str, str]:
        """Status by worker; a worker with `each` is told instance by instance."""
        return {state["name"]: state["status"] for state in self.detail["workers"]}

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Self:
        """Until it has ended. Returns itself.

        Raises:
            RunFailed: it did not complete, and `check` is true.
            TimeoutError: it goes on after `timeout` seconds.
        """
        self._follow(lambda _change: False, timeout, whole=True)
        if check:
            self.raise_for_status()
        return self

    def wait_for(self, worker: str, timeout: float | None = None) -> str:
        """Until that worker (or all of its instances) has ended; returns its status, the worst of a group's.

        Raises:
            NotFound: the run has no such worker.
            TimeoutError: it goes on after `timeout` seconds.
        """
        seen: dict[str, str] = {}

        def ended(change: Mapping[str, Any]) -> bool:
            for state in change["workers"]:
                if worker in {state["name"], state["group"]}:
                    seen[state["name"]] = state["status"]
            if not seen:
                raise NotFound(f"{self.address} has no worker '{worker}'.", f"wattle status {self.address}")
            return FINAL.issuperset(seen.values())

        self._follow(ended, timeout, whole=False)
        return next((status for status in ("failed", "cancelled") if status in seen.values()), "completed")

    def _follow(self, enough: Callable[[Mapping[str, Any]], bool], timeout: float | None, *, whole: bool) -> None:
        """Take changes until the run has ended or `enough` says so."""
        show = Run.told(self, whole) if Run.told is not None else lambda _change: None
        try:
            for change in self._changes() if timeout is None else self._looks(timeout):
                show(change)
                if enough(change) or change["run"]["status"] in FINAL:
                    return
        finally:
            self._last = {}
            show(None)

    def _changes(self) -> Iterator[Mapping[str, Any]]:
        for _, change in self.client.stream("watch_run", workflow=self.address):
            yield change

    def _looks(self, timeout: float) -> Iterator[Mapping[str, Any]]:
        """The same for who has no time to wait for the next change. Raises TimeoutError."""
        until = time.monotonic() + timeout
        while True:
            detail = self.client.ask("list_workers", workflow=self.address)
            yield {**detail, "run": detail, "first": True}
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.address} is still {detail['status']} after {timeout:g} s")
            time.sleep(min(LOOK_SECONDS, left))

    def raise_for_status(self) -> None:
        """Raises `RunFailed` when it has ended and not completed."""
        detail = self.detail
        if detail["status"] in FINAL - {"completed"}:
            if Run.explained is not None:
                raise RunFailed(Run.explained(self), run=self)
            first = f": {detail['cause']} {detail['reason']}" if detail["cause"] else ""
            hint = f"wattle logs {self.address}" + (f"/{detail['cause']}" if detail["cause"] else "")
            raise RunFailed(f"{self.address} {detail['status']}{first}.", hint, run=self)

    def logs(self, worker: str | None = None, *, tail: int | None = None) -> str:
        """What a worker has written so far, or all of them, each under its name. Bytes that are no UTF-8 are marked."""
        if worker is not None:
            return "".join(_texts(self.client, self.address, worker, tail))
        names = [state["name"] for state in self.detail["workers"] if state["attempt"]]
        pieces = [f"==> {name} <==\n" + "".join(_texts(self.client, self.address, name, tail)) for name in names]
        return "\n".join(pieces)

    def follow_logs(self, worker: str) -> Iterator[str]:
        """What a worker writes, piece by piece, from its beginning to its end."""
        for _, chunk in self.client.stream("follow_logs", workflow=self.address, worker=worker):
            if chunk["text"]:
                yield str(chunk["text"])

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Every output that its workers declare, by `worker/port`, in the form of the reply `OutputDetail`."""
        found: dict[str, dict[str, Any]] = {}
        for name in self.workers:
            for output in self.client.ask("list_outputs", workflow=self.address, worker=name)["outputs"]:
                found[f"{name}/{output['port']}"] = output
        return found

    def result(self, port: str) -> Any:
        """What an output holds: `clean/table`, or `clean` when it has one. A value is its JSON, an object what the
        worker had, a file its path; of a worker with `each` a list, one per instance. Waits for the worker.

        Raises:
            RunFailed: the worker did not complete.
        """
        address = Address.parse(f"{self.address}/{port}")
        if address.worker is not None and self.wait_for(address.worker) != "completed":
            self.wait(check=False)
            self.raise_for_status()
        return self.value(address)[0]

    def value(self, address: Address) -> tuple[Any, str]:
        """What an output of this run holds, and its port. Its worker must have ended."""
        members = [state["name"] for state in self.detail["workers"] if state["group"] == address.worker]
        names = members if address.worker is not None and members else [address.worker]
        found = [output_of(self.client, Address(self.workflow, self.number, name, address.port)) for name in names]
        values = [value_of(output) for output in found]
        return (values if members and address.worker is not None else values[0]), str(found[0]["port"])

    def stop(self, *, grace: float | None = None) -> Self:
        """Stop it, and every process of it. Returns itself at once; `wait(check=False)` waits for the end."""
        self.client.ask("stop_workflow", workflow=self.address, grace=grace)
        return self

    def rerun(self, *, from_worker: str | None = None, failed: bool = False) -> Self:
        """A new run like this one, taking over what need not run again."""
        detail = self.client.ask("rerun_workflow", workflow=self.address, from_worker=from_worker, failed=failed,
                                 environment=self.client.environment)  # fmt: skip
        return type(self)(self.client, str(detail["address"]), detail)

    def __repr__(self) -> str:
        try:
            detail = self.detail
        except WattleError as error:
            return f"<Run {self.address}: {error.message}>"
        done, total = detail["counts"].get("completed", 0), sum(detail["counts"].values())
        return f"<Run {self.address} {detail['status']}, {done} of {total} workers completed>"


def _texts(client: Client, address: str, worker: str, tail: int | None) -> Iterator[str]:
    """A log in pieces, standard output before standard error."""
    for stream in ("stdout", "stderr"):
        offset, last = 0, tail
        while True:
            reply = client.ask("read_logs", workflow=address, worker=worker, stream=stream, offset=offset, tail=last)
            for chunk in reply["chunks"]:
                yield chunk["text"] if chunk["text"] is not None else "\ufffd"
            if not reply["chunks"]:
                break
            offset, last = reply["chunks"][-1]["to_offset"], None
            if offset >= reply["sizes"].get(stream, 0):
                break


def output_of(client: Client, address: Address) -> dict[str, Any]:
    """The output that an address names; it must be there.

    Raises:
        InvalidRequest: the address names no output, and the worker has not exactly one.
        Conflict: it was not written.
    """
    if address.worker is None:
        raise InvalidRequest(f"{address} is a workflow, and an output is meant.", f"write {address}/WORKER/OUTPUT")
    where = {"workflow": address.run, "worker": address.worker}
    port = address.port
    if port is None:
        ports = [output["port"] for output in client.ask("list_outputs", **where)["outputs"]]
        if len(ports) != 1:
            told = ", ".join(ports) or "none"
            raise InvalidRequest(f"Which output of {address}? It has {told}.", f"write {address}/OUTPUT")
        port = ports[0]
    found = client.ask("get_output", **where, port=port)
    if not found["exists"]:
        raise Conflict(f"{found['address']} was not written: there is no {found['path']}.",
                       f"wattle logs {address.run}/{address.worker}", code="output-missing")  # fmt: skip
    return found


def value_of(output: Mapping[str, Any]) -> Any:
    """What an output's reply stands for: a value, an object as it was saved, the path of a file."""
    if output["type"] == "value":
        return output["value"]
    if output["type"] == "object":
        return cell_values.load(output["path"])
    return Path(output["path"])
