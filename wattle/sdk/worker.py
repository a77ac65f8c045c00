"""What a worker's program says to Wattle: `from wattle import worker`.

    table = read(worker.inputs["raw"])              a path; .value of a value, .rows of a fan-in
    worker.progress(0.4, "epoch 4")
    write(worker.outputs["model"], model)           a path to write to
    worker.put("score", 0.93)                       a value: small JSON

    worker.name  .workflow  .run  .attempt  .run_dir  .params["rate"]  .each["lr"]

Live, to other workers of the same run, where there is a bus (a service is addressed as `worker/service`):

    worker.publish("state", {"x": 1.0})                         whoever listens gets it
    for state in worker.subscribe("engine/state"): …            also `async for`, or a callback
    worker.request("planner/route", [0, 1], timeout=5)          also `await worker.request_async(…)`
    @worker.serve("route")                                      answers; worker.wait() keeps the program there

A program that is debugged alone, outside any run: `with worker.local(inputs={"raw": "raw.csv"}): main()`.

Laws: this module imports nothing but a list of names, and what lies behind them is of the standard library until the
first live call: a program that does not use them pays nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from wattle.sdk.worker_async import request_async
    from wattle.sdk.worker_errors import (
        BadMessage,
        Forked,
        LiveError,
        NoBus,
        NoSuchPort,
        NotInWorker,
        NotJson,
        RequestFailed,
        RequestTimeout,
        WorkerError,
        WorkerUnreachable,
    )  # fmt: skip
    from wattle.sdk.worker_here import Here, Input, Inputs, here, local, progress, put
    from wattle.sdk.worker_live import close, publish, request, serve, subscribe, wait
    from wattle.sdk.worker_streams import Subscription

    name: str
    workflow: str
    run: int
    attempt: int
    run_dir: Path
    inputs: Inputs
    outputs: Mapping[str, Path]
    params: Mapping[str, Any]
    each: Mapping[str, Any]

_ERRORS = "wattle.sdk.worker_errors"
_HERE = "wattle.sdk.worker_here"
_LIVE = "wattle.sdk.worker_live"
_HOME = {
    "BadMessage": _ERRORS, "Forked": _ERRORS, "LiveError": _ERRORS, "NoBus": _ERRORS, "NoSuchPort": _ERRORS,
    "NotInWorker": _ERRORS, "NotJson": _ERRORS, "RequestFailed": _ERRORS, "RequestTimeout": _ERRORS,
    "WorkerError": _ERRORS, "WorkerUnreachable": _ERRORS,
    "Here": _HERE, "Input": _HERE, "Inputs": _HERE, "here": _HERE, "local": _HERE, "progress": _HERE, "put": _HERE,
    "close": _LIVE, "publish": _LIVE, "request": _LIVE, "serve": _LIVE, "subscribe": _LIVE, "wait": _LIVE,
    "request_async": "wattle.sdk.worker_async", "Subscription": "wattle.sdk.worker_streams",
}  # fmt: skip
_OF_HERE = ("attempt", "each", "inputs", "name", "outputs", "params", "run", "run_dir", "workflow")
"""What may be another inside `local`, so it is looked up each time."""

__all__ = [
    "BadMessage", "Forked", "Here", "Input", "Inputs", "LiveError", "NoBus", "NoSuchPort", "NotInWorker", "NotJson",
    "RequestFailed", "RequestTimeout", "Subscription", "WorkerError", "WorkerUnreachable", "attempt", "close", "each",
    "here", "inputs", "local", "name", "outputs", "params", "progress", "publish", "put", "request", "request_async",
    "run", "run_dir", "serve", "subscribe", "wait", "workflow",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker is told of the names above, and of no others

    def __getattr__(wanted: str) -> object:
        """PEP 562: a name from the module that defines it, or a property of the worker that this program is."""
        from importlib import import_module

        if wanted in _OF_HERE:
            return getattr(import_module(_HERE).here(), wanted)
        if wanted not in _HOME:
            raise AttributeError(f"wattle.worker has no {wanted!r}; it has: {', '.join(__all__)}")
        value = getattr(import_module(_HOME[wanted]), wanted)
        globals()[wanted] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
