"""The controller: a force for every state. Linear feedback; the gains are those of a linear-quadratic regulator for the
engine's masses at 50 Hz, with weights 1, 1, 10, 1 on the state and 0.1 on the force."""

from __future__ import annotations

from wattle import worker

GAINS = {"x": -2.777, "v": -5.308, "angle": -46.99, "turn": -11.98}
STRONGEST = 25.0

for state in worker.subscribe("state"):
    force = -sum(gain * state[name] for name, gain in GAINS.items())
    worker.publish("force", {"force": max(-STRONGEST, min(force, STRONGEST)), "of": state["n"]})
