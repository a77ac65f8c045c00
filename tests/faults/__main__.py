"""`python -m tests.faults [ROUNDS] [SEED]`: many rounds, and a report that says how much they prove.

`--kernels KILLS [SEED]` kills Jupyter kernels beside runs instead, `--routers KILLS [SEED]` the router of the bus.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults import kernels, routers
from tests.faults.harness import TARGETS, play


def main(words: list[str]) -> int:
    """Play; the exit code is 1 when a promise was broken."""
    numbers = [int(word) for word in words if word.isdecimal()]
    count, seed = numbers[0] if numbers else 200, numbers[1] if len(numbers) > 1 else 1
    if "--routers" in words:
        return kill_routers(count, seed)
    return kill_kernels(count, seed) if "--kernels" in words else play_rounds(count, seed)


def kill_routers(kills: int, seed: int) -> int:
    """Batch work and live edges, and so many routers killed beside them."""
    with tempfile.TemporaryDirectory(prefix="wattle-faults-") as folder:
        wrong = routers.play(Path(folder), seed, kills)
    for problem in wrong:
        print(f"      {problem}")
    print(f"{kills + 1} routers killed, seed {seed}: {len(wrong)} problems.")
    return 1 if wrong else 0


def kill_kernels(kills: int, seed: int) -> int:
    """One coordinator, and so many kernels killed beside it."""
    with tempfile.TemporaryDirectory(prefix="wattle-faults-") as folder:
        told = kernels.play(Path(folder), seed, kills)
    for problem in told["wrong"]:
        print(f"      {problem}")
    print(f"{kills} kernels killed, seed {seed}, beside {told['runs']} runs: {len(told['wrong'])} problems.")
    return 1 if told["wrong"] else 0


def play_rounds(rounds: int, seed: int) -> int:
    """So many runs, each with a kill."""
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
    sys.exit(main(sys.argv[1:]))
