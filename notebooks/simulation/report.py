"""A picture of the trajectory and the numbers of the run, when all is over."""

from __future__ import annotations

import csv
import os

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from wattle import worker

UPRIGHT = 0.05
"""Radians within which the pole counts as upright."""

with open(worker.inputs["trajectory"], encoding="ascii") as file:
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
timing = worker.inputs["timing"].value
frames = sorted(name for name in os.listdir(worker.inputs["frames"]) if name.endswith(".svg"))

times = [row["t"] for row in rows]
figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(8, 5), layout="constrained")
upper.plot(times, [row["angle"] for row in rows], color="#33658a", label="angle of the pole, rad")
upper.plot(times, [row["x"] for row in rows], color="#d9a441", label="place of the cart, m")
lower.plot(times, [row["force"] for row in rows], color="#b5482f", label="force, N")
for axes in (upper, lower):
    axes.axvline(timing["pushed_at"], color="#8a8578", linestyle=":")
    axes.axhline(0, color="#8a8578", linewidth=0.6)
    axes.legend(frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
lower.set_xlabel("seconds; the dotted line is the push")
figure.savefig(worker.outputs["picture"], dpi=120)

after = [row for row in rows if row["t"] >= timing["pushed_at"]]
away = [row["t"] for row in after if abs(row["angle"]) > UPRIGHT]
recovered = (away[-1] - timing["pushed_at"]) if away else 0.0
trip = f"{timing['round_trip_ms_p50']:.2f} ms (p50), {timing['round_trip_ms_p99']:.2f} ms (p99)"
text = f"""# A pole on a cart, balanced over live edges

| | |
|---|---|
| rate | {timing["achieved_hz"]:.2f} Hz of {timing["asked_hz"]:g} asked |
| from a state to the force that answers it | {trip} |
| states that were answered | {timing["answered"]} of {timing["published"]} |
| times that the pole was held, for want of an answer | {timing["held"]} |
| largest angle after the push | {max(abs(row["angle"]) for row in after):.3f} rad |
| upright again | {recovered:.2f} s after the push |
| angle at the end | {rows[-1]["angle"]:+.5f} rad |
| frames | {len(frames)} |
"""
with open(worker.outputs["report"], "w", encoding="utf-8") as file:
    file.write(text)
print(text)
