"""Workers joined by streams, and the modes of a workflow: what cannot be run together is refused.

A gang is a set of workers joined by stream edges. It starts together or not at all and ends together, so it must fit
the limit, cannot be retried member by member, and has no place in a sequence.
"""

from __future__ import annotations

from wattle.core.findings import Findings
from wattle.core.models import Retry
from wattle.core.shapes import Draft
from wattle.core.wiring import Wires, gangs


def check_modes(found: Findings, workflow: Draft, wires: Wires) -> None:
    """Report gangs and modes that cannot work, and warn of what does nothing."""
    members: dict[int, list[int]] = {}
    if wires.streams:
        for number, gang in enumerate(gangs(wires)):
            members.setdefault(gang, []).append(number)
    for numbers in members.values():
        if len(numbers) > 1:
            _gang(found, workflow, wires, numbers)
    if workflow.fields.get("mode") == "parallel":
        _parallel(found, workflow, wires)
    for number, draft in enumerate(wires.drafts):
        fields = draft.fields
        if "when" in fields and fields["when"] != "completed" and not _waits(draft):
            found.warnings.append(f"{draft.name}: when: {fields['when']} does nothing, because it waits for no worker.")
        if "max_concurrent" in fields and wires.roots[number] is None and "each" not in draft.bad:
            found.warnings.append(f"{draft.name}: max_concurrent does nothing without each.")


def _waits(draft: Draft) -> bool:
    inputs = draft.fields.get("inputs") or {}
    unsure = {"inputs", "needs"} & draft.bad
    return bool(unsure or draft.fields.get("needs") or any(given.sources for given in inputs.values()))


def _gang(found: Findings, workflow: Draft, wires: Wires, numbers: list[int]) -> None:
    drafts = [wires.drafts[number] for number in numbers]
    names = ", ".join(draft.name for draft in drafts[:6]) + (", …" if len(drafts) > 6 else "")
    if workflow.fields.get("mode") == "sequential":
        found.add(("mode",), f"mode sequential runs one worker at a time, but streams join {names}",
                  "leave mode out")  # fmt: skip
    for draft in drafts:
        if draft.fields.get("retries", Retry()).max:
            found.add((*draft.path, "retries"), "a worker joined by a stream cannot be retried alone", "remove retries")
    roots = {wires.roots[number] for number in numbers}
    paired = len(roots) == 1
    size = len(numbers) if paired else sum(wires.sizes[number] or 1 for number in numbers)
    limit = workflow.fields.get("max_concurrent_workers")
    if limit is not None and size > limit:
        found.add(("max_concurrent_workers",), f"streams make {names} start together, which takes {size} at once",
                  f"write max_concurrent_workers: {size}")  # fmt: skip
    for number, draft in zip(numbers, drafts, strict=True):
        own = draft.fields.get("max_concurrent")
        count = wires.sizes[number] or 1
        if own is not None and not paired and own < count:
            found.add((*draft.path, "max_concurrent"), f"a stream makes all {count} instances start together",
                      "remove max_concurrent")  # fmt: skip


def _parallel(found: Findings, workflow: Draft, wires: Wires) -> None:
    """Everything starts at once and nothing waits."""
    count = wires.instances()
    limit = workflow.fields.get("max_concurrent_workers")
    if limit is not None and limit < count:
        found.add(("max_concurrent_workers",), f"mode parallel starts all {count:,} at once; the limit is {limit:,}",
                  f"write max_concurrent_workers: {count}, or leave mode out")  # fmt: skip
    for number, draft in enumerate(wires.drafts):
        if draft.fields.get("needs"):
            found.add((*draft.path, "needs"), "in mode parallel nothing waits for anything", "leave mode out")
        own = draft.fields.get("max_concurrent")
        if own is not None and wires.roots[number] is not None and own < (wires.sizes[number] or 1):
            found.add((*draft.path, "max_concurrent"), "mode parallel starts all instances at once", "leave mode out")
    found.warnings.append("mode: parallel starts every worker at once, and nothing waits for its inputs. The default "
                          "already runs in parallel whatever can run; leave mode out to have that.")  # fmt: skip
