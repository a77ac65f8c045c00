"""`python -m benchmarks.subscriber HOME`: hears every event of a coordinator until its input ends, and counts."""

from __future__ import annotations

import sys
from pathlib import Path

from wattle.bus.keys import Keys
from wattle.bus.zenoh import open_client
from wattle.settings import load


def main() -> None:
    """Listen with a kernel's credential."""
    settings = load({"home": sys.argv[1]}, {})
    heard = []
    with open_client(Path(settings.runtime_dir) / "bus" / "connection-kernel.json", timeout=20.0) as session:
        session.subscribe(Keys(session.hub).everything("events"), lambda sample: heard.append(len(sample.payload)))
        session.flush()
        print("ready", flush=True)
        sys.stdin.read()
        print(len(heard))


if __name__ == "__main__":
    main()
