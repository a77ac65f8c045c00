"""The supervisor of one state root: `main.py ROOT FOLDER IDLE_SECONDS`, started by `launch_supervisor`.

It owns the workers' processes, so that nothing which may be restarted does. Standard library only. Two processes: the
keeper, detached from whoever started it, and its child the supervisor.

Protocol, lines of JSON over `supervisor.sock`; a coordinator says

    {do: hello, protocol, store, epoch, journal, seq, restart, environment, on_exit}
    {do: env, id, variables}   {do: start, launches}   {do: stop, nonce, grace}
    {do: ack, journal, seq}    {do: busy, unfinished}  {do: goodbye, drain}

and hears

    {hello, journal, pid, boot, spawn, known: [nonce…], open: [task…], events: [record…]}
    {events: [record…]}                     what happened since, in the order of the journal
    {note: text}                            a sentence about the supervisor's own state
    {error: fenced | other-store | protocol | …}

Records are those of `journal.py`. The highest epoch drives; lower ones are fenced. A supervisor that runs processes of
another store says so, closes its door, and finishes what it runs; the newcomer starts one of its own. Launches are
those of `core.records.Launch` with `executable`, fields that are empty left out; a nonce that was ever accepted is not
started again. Nothing is answered: what becomes of a launch or a stop is heard as a record.
"""

from __future__ import annotations

import os
import sys

from wattle.runtime.supervisor.keeper import Keeper
from wattle.runtime.supervisor.server import supervise


def main() -> None:
    """Become keeper and supervisor, children of nobody in particular."""
    if os.fork():
        os._exit(0)
    folder, idle_seconds = sys.argv[2], float(sys.argv[3])
    sys.exit(Keeper(folder, lambda patience: supervise(folder, idle_seconds, patience)).keep())
