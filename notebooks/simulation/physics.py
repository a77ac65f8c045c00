"""A pole on a cart: the equations, and nothing else.

State: place of the cart (m), its speed (m/s), the angle of the pole from upright (rad), its speed (rad/s).
"""

from __future__ import annotations

import math

GRAVITY, CART, POLE, HALF = 9.81, 1.0, 0.2, 0.5
"""m/s²; kg; kg; half of the pole's length, m."""
FRICTION = 0.05
State = tuple[float, float, float, float]


def slope(state: State, force: float) -> State:
    """How fast each part of the state changes."""
    _, speed, angle, turn = state
    sine, cosine, total = math.sin(angle), math.cos(angle), CART + POLE
    pushed = (force - FRICTION * speed + POLE * HALF * turn * turn * sine) / total
    bend = (GRAVITY * sine - cosine * pushed) / (HALF * (4 / 3 - POLE * cosine * cosine / total))
    return speed, pushed - POLE * HALF * bend * cosine / total, turn, bend


def step(state: State, force: float, seconds: float) -> State:
    """The state a moment later (Runge and Kutta, fourth order)."""
    one = slope(state, force)
    two = slope(_moved(state, one, seconds / 2), force)
    three = slope(_moved(state, two, seconds / 2), force)
    four = slope(_moved(state, three, seconds), force)
    mean = tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(one, two, three, four, strict=True))
    return _moved(state, mean, seconds)


def _moved(state: State, by: tuple[float, ...], seconds: float) -> State:
    x, v, a, w = (value + seconds * change for value, change in zip(state, by, strict=True))
    return x, v, a, w
