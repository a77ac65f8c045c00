"""Printing logs: one worker's, or a whole run's with the worker's name before each line."""

from __future__ import annotations

import base64
import json
import queue
import sys
import threading

from wattle.cli.style import clean
from wattle.core.errors import WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from wattle.cli.session import Session
    from wattle.sdk.client import Client

FOLLOWED = 32
"""Workers of one run that are followed at once."""


class LogPrinter:
    """Prints what `wattle logs` was asked for. `raw` passes control characters on."""

    def __init__(self, client: Client, args: Namespace, *, raw: bool) -> None:
        self._client = client
        self._args = args
        self._raw = raw
        self._rest: dict[tuple[str, str], str] = {}

    def worker(self, workflow: str, worker: str) -> int:
        """One worker's log."""
        args = self._args
        if args.follow:
            for _, chunk in self._client.stream("follow_logs", workflow=workflow, worker=worker, stream=args.stream,
                                                tail=args.tail):  # fmt: skip
                self._print(chunk, "")
            return 0
        for chunk in self._pieces(workflow, worker):
            self._print(chunk, "")
        return 0

    def run(self, workflow: str) -> int:
        """All workers of a run, in document order; followed, as they come."""
        names = [state["name"] for state in self._client.ask("list_workers", workflow=workflow)["workers"]]
        if self._args.follow:
            return self._follow_all(workflow, names)
        for name in names:
            for chunk in self._pieces(workflow, name):
                self._print(chunk, name)
            self._end_lines(name)
        return 0

    def _pieces(self, workflow: str, worker: str) -> list[dict[str, Any]]:
        """The whole of what is there now, in pieces."""
        args = self._args
        found: list[dict[str, Any]] = []
        for stream in [args.stream] if args.stream else ["stdout", "stderr"]:
            offset, tail = 0, args.tail
            while True:
                reply = self._client.ask("read_logs", workflow=workflow, worker=worker, stream=stream, offset=offset,
                                         tail=tail, attempt=args.attempt)  # fmt: skip
                if not reply["chunks"]:
                    break
                found += reply["chunks"]
                offset, tail = reply["chunks"][-1]["to_offset"], None
                if offset >= reply["sizes"].get(stream, 0):
                    break
        return found

    def _follow_all(self, workflow: str, names: list[str]) -> int:
        pipe: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def follow(name: str) -> None:
            try:
                for _, chunk in self._client.stream("follow_logs", workflow=workflow, worker=name,
                                                    stream=self._args.stream, tail=self._args.tail):  # fmt: skip
                    pipe.put((name, chunk))
            except WattleError as error:
                pipe.put((name, error))
            pipe.put((name, None))

        waiting = list(names)
        active = 0
        while waiting or active:
            while waiting and active < FOLLOWED:
                threading.Thread(target=follow, args=(waiting.pop(0),), daemon=True).start()
                active += 1
            name, chunk = pipe.get()
            if chunk is None:
                self._end_lines(name)
                active -= 1
            elif isinstance(chunk, WattleError):
                raise chunk
            else:
                self._print(chunk, name)
        return 0

    def _print(self, chunk: dict[str, Any], name: str) -> None:
        if self._args.json:
            print(json.dumps(chunk, ensure_ascii=False), flush=True)
            return
        if chunk["skipped"]:
            print(f"… {chunk['skipped']:,} bytes left out: they came faster than they could be shown …", flush=True)
        data = base64.b64decode(chunk["base64"]) if chunk["base64"] else (chunk["text"] or "").encode()
        if self._raw and not name:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        text = data.decode(errors="replace")
        text = text if self._raw else clean(text)
        if not name:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        key = (name, chunk["stream"])
        *lines, rest = (self._rest.get(key, "") + text).split("\n")
        self._rest[key] = rest
        for line in lines:
            print(f"{name} | {line}")
        sys.stdout.flush()

    def _end_lines(self, name: str) -> None:
        for key in [key for key in self._rest if key[0] == name]:
            rest = self._rest.pop(key)
            if rest:
                print(f"{name} | {rest}", flush=True)


def logs(session: Session) -> int:
    """Of one worker, or of all workers of a run."""
    args = session.args
    printer = LogPrinter(session.client(), args, raw=args.raw or not session.style.tty)
    if args.address.worker is not None:
        return printer.worker(args.address.run, args.address.worker)
    return printer.run(args.address.run)
