"""The supervisor of one state root: `main.py ROOT FOLDER IDLE_SECONDS`, started by `launch_supervisor`.

It owns the workers' processes, so that nothing which may be restarted does. Standard library only.

Protocol, lines of JSON over `supervisor.sock`; a coordinator says

    {do: hello, protocol, store, epoch, journal, seq, restart, environment, on_exit}
    {do: env, id, variables}   {do: start, launches}   {do: stop, nonce, grace}
    {do: ack, journal, seq}    {do: busy, unfinished}  {do: goodbye, drain}

and hears

    {hello, journal, pid, boot, spawn, known: [nonce…], events: [record…]}      then {events: [record…]}
    {error: fenced | other-store | protocol}

Records are those of `journal.py`. The highest epoch drives; lower ones are fenced.
"""

from __future__ import annotations

import os
import sys

from wattle.runtime.supervisor.keeper import keep
from wattle.runtime.supervisor.server import supervise


def main() -> None:
    """Become keeper and supervisor."""
    folder, idle_seconds = sys.argv[2], float(sys.argv[3])
    os.umask(0o022)
    sys.exit(keep(folder, lambda patience: supervise(folder, idle_seconds, patience)))
