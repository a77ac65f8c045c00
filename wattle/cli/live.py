"""The words that listen, ask and tell on the bus: `sub`, `query`, `pub`.

Inside a worker's script an address is `worker/service`, of the same run, or the name of an input that is a stream, and
the worker's own credential is used. Outside it is `etl/engine/state` or `etl@12/engine/state`, and a person's
credential only looks and asks.
"""

from __future__ import annotations

import contextlib
import json
import sys

from wattle import app
from wattle.cli.values import value_of
from wattle.core.address import Address
from wattle.core.errors import Conflict, InvalidRequest, NotFound
from wattle.core.progress import FINAL
from wattle.sdk import worker_live
from wattle.sdk.services import Place, Services
from wattle.sdk.worker_asking import answered, parts
from wattle.sdk.worker_encoding import encode, to_line
from wattle.sdk.worker_errors import NotInWorker
from wattle.sdk.worker_here import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from wattle.cli.session import Session, Verb


@contextlib.contextmanager
def meant(session: Session, text: str) -> Iterator[tuple[Services, Place]]:
    """The service that is meant, and the bus that it is on, for as long as the block lasts. Raises WattleError."""
    inside = "WATTLE_WORKER_NAME" in session.environ and "@" not in text.partition("/")[0]
    services, place = _of_worker(text) if inside else _of_person(session, text)
    try:
        yield services, place
    finally:
        services.session.close()


def own_services() -> Services:
    """The bus with this worker's credential, and without a word that it is there: it may be there already."""
    return Services(worker_live.open_session(here()))


def _of_worker(text: str) -> tuple[Services, Place]:
    me = here()
    worker, service = parts(worker_live.joined(me, text))
    return own_services(), Place(me.workflow, me.run, worker, service)


def _of_person(session: Session, text: str) -> tuple[Services, Place]:
    if session.remote is not None:
        raise InvalidRequest(f"wattle {session.args.verb} speaks with the bus of this machine, not with "
                             f"{session.remote.url}.", "leave --url and WATTLE_URL out")  # fmt: skip
    first, _, rest = text.partition("/")
    worker, _, service = rest.partition("/")
    address = Address.parse(f"{first}/{worker}" if worker else first)
    if not service:
        worker, service = _only_stream(session, address)
    run = session.ask("read", "list_workers", workflow=address.run)
    _check_worker(run, worker)
    return app.services(session.settings), Place(run["workflow"], run["number"], worker, service)


def _only_stream(session: Session, address: Address) -> tuple[str, str]:
    """The one live edge that an address without a service can mean. Raises InvalidRequest when there are several."""
    document = session.ask("read", "get_workflow", workflow=address.run)["document"]
    edges = [(worker["name"], port) for worker in document["workers"] if address.worker in {None, worker["name"]}
             for port, output in (worker.get("outputs") or {}).items()
             if isinstance(output, dict) and output.get("type") == "stream"]  # fmt: skip
    if len(edges) == 1:
        return edges[0]
    shown = [f"{address.run}/{worker}/{port}" for worker, port in edges] or [f"{address.run}/WORKER/SERVICE"]
    raise InvalidRequest(f"'{address}' names no service.", f"write {' or '.join(shown[:6])}")


def _check_worker(run: Mapping[str, Any], worker: str) -> None:
    """It is an instance that has not ended. Raises WattleError."""
    states = {state["name"]: state for state in run["workers"]}
    if worker not in states:
        members = [name for name, state in states.items() if state["group"] == worker]
        if members:
            raise InvalidRequest(f"{run['address']}/{worker} is a group, and each instance has its own services.",
                                 f"write {members[0]}, say")  # fmt: skip
        raise NotFound(f"{run['address']} has no worker {worker}.", f"its workers: {', '.join([*states][:8])}")
    if states[worker]["status"] in FINAL:
        raise Conflict(f"{run['address']}/{worker} has ended: it is {states[worker]['status']}.",
                       f"wattle run {run['workflow']}", code="not-running")  # fmt: skip


def _text(fields: Mapping[str, Any], *, raw: bool) -> str:
    """A message in one line: its data, or the fields of one that is bytes."""
    if raw and isinstance(fields.get("data"), str):
        return str(fields["data"])
    return json.dumps(fields if "base64" in fields else fields["data"], ensure_ascii=False)


def sub(session: Session) -> int:
    """What is published, a line each, until its worker ends."""
    args = session.args
    with meant(session, args.address) as (services, place), services.listen(place) as samples:
        for count, sample in enumerate(samples, 1):
            fields = to_line(sample.payload, sample.encoding)
            session.line(json.dumps({**fields, "dropped": samples.dropped}, ensure_ascii=False) if args.json
                         else _text(fields, raw=args.raw))  # fmt: skip
            if count == args.count:
                break
        if samples.dropped and not args.json:
            print(f"{samples.dropped} messages were missed: they came faster than they were read.", file=sys.stderr)
    return 0


def query(session: Session) -> int:
    """One question and its answer."""
    args = session.args
    data = None if args.data is None else value_of(args.data, text=args.text)
    with meant(session, args.address) as (services, place):
        asking = services.asking(place, *encode(data, args.address), args.timeout)
        reply = asking.question.checked(answered(asking.question))
    fields = to_line(reply.payload, reply.encoding)
    session.line(json.dumps(fields, ensure_ascii=False) if args.json else _text(fields, raw=args.raw))
    return 0


def pub(session: Session) -> int:
    """A message, or one for each line of the standard input, after which the stream ends."""
    args = session.args
    if "WATTLE_WORKER_NAME" not in session.environ:
        raise NotInWorker("Only a worker publishes: WATTLE_WORKER_NAME is not set.",
                          "in a workflow:  script: wattle pub state '{\"x\": 1}'")  # fmt: skip
    me = here()
    services, place = own_services(), Place(me.workflow, me.run, me.name, args.service)
    try:
        if args.data not in {None, "-"}:
            services.publish(place, me.attempt, *encode(value_of(args.data, text=args.text), args.service))
            return 0
        for line in sys.stdin:
            services.publish(place, me.attempt, *encode(value_of(line.rstrip("\n"), text=args.text), args.service))
        services.end(place, me.attempt)
    finally:
        services.session.close()
    return 0


VERBS: dict[str, Verb] = {"sub": sub, "query": query, "pub": pub}
