"""`python -m tests.faults [ROUNDS] [SEED]`: many rounds, and a report that says how much they prove."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.harness import TARGETS, play


def main() -> int:
    """Play the rounds; the exit code is 1 when a promise was broken."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    broken, lost, hits = 0, 0, 0
    for turn in range(rounds):
        target = TARGETS[turn % len(TARGETS)]
        with tempfile.TemporaryDirectory(prefix="wattle-faults-") as folder:
            told = play(Path(folder), seed + turn, target)
        broken += bool(told["wrong"])
        lost += told["lost"]
        hits += bool(told["killed"])
        mark = "ok" if not told["wrong"] else "BROKEN"
        print(f"{turn + 1:4d}  seed {seed + turn}  {target:11s} killed {'+'.join(told['killed']) or 'nothing':24s} "
              f"lost {told['lost']}  {mark}", flush=True)  # fmt: skip
        for problem in told["wrong"]:
            print(f"      {problem}")
    print(f"{rounds} rounds, seeds {seed} to {seed + rounds - 1}: {hits} kills hit, {broken} rounds broke a promise, "
          f"{lost} outcomes shown as lost.")  # fmt: skip
    if not broken:
        print(f"No violation in {rounds} rounds bounds their true rate below {3 / rounds:.1%} (95 %).")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
