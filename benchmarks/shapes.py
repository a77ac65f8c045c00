"""The graphs that are measured, and the three forms that a runner wants them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Shape(NamedTuple):
    """A graph of `/bin/true`: for each node the nodes before it."""

    name: str
    upstream: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.upstream)


def fan(count: int) -> Shape:
    """Nodes without edges."""
    return Shape(f"{count:,} independent", ((),) * count)


def layers(depth: int, width: int) -> Shape:
    """Each node waits for two of the layer before it: its own column's and the next."""
    first = ((),) * width
    rest = tuple((before + column, before + (column + 1) % width)
                 for before in range(0, (depth - 1) * width, width) for column in range(width))  # fmt: skip
    return Shape(f"{depth * width:,} in {depth} layers", first + rest)


def hourglass(width: int) -> Shape:
    """One, then many, then one."""
    return Shape(f"1 → {width:,} → 1", ((), *(((0,),) * width), tuple(range(1, width + 1))))


def chain(length: int) -> Shape:
    """Each waits for the one before."""
    return Shape(f"chain of {length}", ((), *((node,) for node in range(length - 1))))


def write_floor(shape: Shape, path: Path) -> None:
    """What `floor.c` reads."""
    lines = (f"{len(befores)} {' '.join(map(str, befores))}" for befores in shape.upstream)
    path.write_text(f"{len(shape)}\n" + "\n".join(lines) + "\n")


def write_makefile(shape: Shape, path: Path, logs: Path) -> None:
    """The same graph for make, with two log files per task as Wattle keeps them."""
    logs.mkdir(parents=True, exist_ok=True)
    text = ["MAKEFLAGS += --no-builtin-rules", f".PHONY: all {' '.join(f't{node}' for node in range(len(shape)))}",
            f"all: {' '.join(f't{node}' for node in range(len(shape)))}"]  # fmt: skip
    for node, befores in enumerate(shape.upstream):
        needs = " ".join(f"t{before}" for before in befores)
        text.append(f"t{node}: {needs}\n\t@/bin/true >{logs}/{node}.out 2>{logs}/{node}.err")
    path.write_text("\n".join(text) + "\n")


def document(shape: Shape, name: str, folder: Path) -> str:
    """The same graph as a workflow document, as JSON."""
    workers = [{"name": f"t{node}", "command": "/bin/true", "needs": [f"t{before}" for before in befores]}
               for node, befores in enumerate(shape.upstream)]  # fmt: skip
    return json.dumps({"name": name, "working_dir": str(folder), "workers": workers})
