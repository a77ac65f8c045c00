"""The renderer: ten frames a second as SVG files, and the newest one to who asks.

    wattle query pendulum/renderer/picture --raw > now.svg

It is a service: Wattle ends it when the engine and the controller have ended.
"""

from __future__ import annotations

import collections
import math
import os
import time

from wattle import worker

WIDTH, HEIGHT, METRE = 480, 220, 130
EVERY = 0.1
folder = worker.outputs["frames"]
trail: collections.deque[tuple[float, float]] = collections.deque(maxlen=40)
newest = ""


def drawn(state: dict) -> str:
    """The cart, the pole, and where its tip has been."""
    ground = HEIGHT * 0.88
    cart = WIDTH / 2 + METRE * state["x"]
    tip = cart + METRE * math.sin(state["angle"]), ground - 20 - METRE * math.cos(state["angle"])
    trail.append(tip)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in trail)
    push = cart + 4 * state["force"]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf7"/>'
        f'<path d="M0 {ground:.1f}H{WIDTH}" stroke="#8a8578"/>'
        f'<polyline points="{points}" fill="none" stroke="#d9a441" stroke-width="1.5" opacity=".7"/>'
        f'<rect x="{cart - 26:.1f}" y="{ground - 28:.1f}" width="52" height="16" rx="4" fill="#2f4858"/>'
        f'<circle cx="{cart - 14:.1f}" cy="{ground - 7:.1f}" r="6" fill="#55524a"/>'
        f'<circle cx="{cart + 14:.1f}" cy="{ground - 7:.1f}" r="6" fill="#55524a"/>'
        f'<path d="M{cart:.1f} {ground - 20:.1f}H{push:.1f}" stroke="#b5482f" stroke-width="3"/>'
        f'<path d="M{cart:.1f} {ground - 20:.1f}L{tip[0]:.1f} {tip[1]:.1f}" stroke="#33658a" stroke-width="6" '
        'stroke-linecap="round"/>'
        f'<text x="12" y="22" font-size="12" fill="#55524a">t {state["t"]:.2f} s   angle {state["angle"]:+.3f} rad'
        "</text></svg>\n"
    )


@worker.serve("picture")
def picture(_: object) -> str:
    """The newest frame."""
    return newest


def main() -> None:
    """Draw what comes; miss what comes between two frames."""
    global newest
    folder.mkdir(exist_ok=True)
    states, number, due = worker.subscribe("state"), 0, 0.0
    for state in states:
        if time.monotonic() < due or not state["t"]:
            continue
        due, number = time.monotonic() + EVERY, number + 1
        newest = drawn(state)
        draft = folder / ".draft.svg"
        draft.write_text(newest, encoding="utf-8")
        os.replace(draft, folder / f"frame-{number:04d}.svg")
    print(f"{number} frames, {states.dropped} states missed")
    worker.wait()


main()
