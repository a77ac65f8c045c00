"""The words of a worker's own script: `wattle put score 0.93`, `wattle get rate`. No coordinator is asked, and nothing
but the standard library is imported: what Wattle has put into the environment says all that is needed.
"""

from __future__ import annotations

import json
import sys

from wattle.cli.values import shown_value, value_of
from wattle.core.errors import NotFound
from wattle.sdk.worker_here import here
from wattle.sdk.worker_values import read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


def put(args: Namespace) -> int:
    """A value output of this worker. Nothing is said: a script's log is its own."""
    here().put(args.address, value_of(args.value, text=args.text))
    return 0


def get(args: Namespace) -> int:
    """The value of an input, or of an output as it was put last; with `--out`, the bytes of its file."""
    worker, port = here(), args.address.workflow
    given = port in worker.inputs or port not in worker.outputs
    path = str(worker.inputs[port] if given else worker.outputs[port])
    try:
        if args.out is not None:
            _copy(path, args.out)
            return 0
        value = read_value(path, port)
    except OSError as error:
        hint = "its worker has not made it" if given else f"nothing has been put yet: wattle put {port} VALUE"
        raise NotFound(f"{port} cannot be read: {path}: {error.strerror}", hint) from None
    print(json.dumps({"port": port, "path": path, "value": value}) if args.json else shown_value(value, raw=args.raw))
    return 0


def progress(args: Namespace) -> int:
    """How far this worker is."""
    here().progress.report(args.fraction, " ".join(args.text))
    return 0


def _copy(path: str, target: str) -> None:
    with open(path, "rb") as source:
        if target == "-":
            while piece := source.read(1 << 20):
                sys.stdout.buffer.write(piece)
            return
        with open(target, "wb") as copied:
            while piece := source.read(1 << 20):
                copied.write(piece)


VERBS: dict[str, Callable[[Namespace], int]] = {"put": put, "get": get, "progress": progress}
