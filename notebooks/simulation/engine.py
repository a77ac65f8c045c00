"""The engine: a pole on a cart in real time. It publishes its state and does what the newest force says.

    python engine.py SECONDS RATE PUSH

The pole is held until the first force comes, and again whenever nobody has answered for a while; after 40 % of the
time it is pushed. Written at the end: the trajectory, and how well time was kept: the rate that was achieved, and how
long it took from a state to the force that answers it.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time

from physics import State, step

from wattle import worker

SUBSTEPS = 10
PATIENCE = 30.0
SLACK = 5
"""States that may go unanswered before time stands still."""
seconds, rate, push = map(float, sys.argv[1:])


class Loop:
    """What has come from the controller."""

    def __init__(self) -> None:
        self.force = 0.0
        self.number = self.answered = 0
        self.sent: dict[int, float] = {}
        self.round_trips: list[float] = []

    def take(self, told: dict) -> None:
        """A force, and which state it answers."""
        now = time.monotonic()
        self.force, self.answered = told["force"], told["of"]
        if (then := self.sent.pop(told["of"], None)) is not None:
            self.round_trips.append(now - then)


def publish(loop: Loop, moment: float, state: State) -> None:
    """Tell the state."""
    loop.number += 1
    loop.sent[loop.number] = time.monotonic()
    x, v, angle, turn = state
    worker.publish("state", {"n": loop.number, "t": round(moment, 4), "x": x, "v": v, "angle": angle, "turn": turn,
                             "force": loop.force})  # fmt: skip


def hold(loop: Loop, moment: float, state: State, slack: int) -> bool:
    """Until the controller answers again. False: it never was away."""
    end, away = time.monotonic() + PATIENCE, False
    while loop.number - loop.answered > slack or not loop.round_trips:
        if time.monotonic() > end:
            sys.exit("no force came: does the controller run?")
        publish(loop, moment, state)
        time.sleep(1 / rate)
        away, slack = True, SLACK
    return away


def main() -> None:
    """Run for a while, then write what happened."""
    loop, state = Loop(), (0.0, 0.0, 0.1, 0.0)
    worker.subscribe("force", loop.take)
    hold(loop, 0.0, state, 0)
    rows, late, held, pushed = [], [], 0, False
    begun = due = time.monotonic()
    for tick in range(int(seconds * rate)):
        moment = tick / rate
        if not pushed and moment >= 0.4 * seconds:
            state, pushed = (*state[:3], state[3] + push), True
        if hold(loop, moment, state, SLACK):
            held, due = held + 1, time.monotonic()
        publish(loop, moment, state)
        rows.append((moment, *state, loop.force))
        due += 1 / rate
        time.sleep(max(due - time.monotonic(), 0.0))
        late.append(time.monotonic() - due)
        if late[-1] > 1 / rate:  # time that was lost is not made up for: the controller could not follow
            due = time.monotonic()
        for _ in range(SUBSTEPS):
            state = step(state, loop.force, 1 / rate / SUBSTEPS)
        if tick % int(rate) == 0:
            worker.progress(moment / seconds, f"angle {state[2]:+.3f} rad")
    spent = time.monotonic() - begun
    with open(worker.outputs["trajectory"], "w", newline="", encoding="ascii") as file:
        csv.writer(file).writerows([("t", "x", "v", "angle", "turn", "force"), *rows])
    cuts = statistics.quantiles(loop.round_trips, n=100)
    worker.put("timing", {
        "asked_hz": rate, "achieved_hz": len(rows) / spent, "late_ms_max": 1000 * max(late),
        "round_trip_ms_p50": 1000 * cuts[49], "round_trip_ms_p99": 1000 * cuts[98], "answered": len(loop.round_trips),
        "published": loop.number, "held": held, "pushed_at": 0.4 * seconds,
    })  # fmt: skip
    print(f"{len(rows) / spent:.2f} Hz of {rate:g} asked; from state to force {1000 * cuts[49]:.2f} ms (p50), "
          f"{1000 * cuts[98]:.2f} ms (p99); angle at the end {state[2]:+.5f} rad")


main()
