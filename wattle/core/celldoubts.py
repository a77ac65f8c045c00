"""What looks wrong in the cells of a document, before anything runs: warnings, since only the cell's own Python knows.

The interpreter of a cell may be newer than this one, and names can come from where nobody sees; so a document is never
refused for its cells' source. Who defines cells from a kernel refuses by `core/cells.py` itself.
"""

from __future__ import annotations

from wattle.core.cells import names
from wattle.core.errors import InvalidRequest
from wattle.core.findings import Findings
from wattle.core.models import Output
from wattle.core.shapes import Draft
from wattle.core.wiring import Wires

CELLS_READ = 200
"""Of a document; who has more has a program that writes them."""


def doubt_cells(found: Findings, wires: Wires) -> None:
    """Warn of source that is no Python, of names that nothing defines, of outputs that nothing assigns."""
    cells = [(number, draft) for number, draft in enumerate(wires.drafts) if "cell" in draft.fields]
    for number, draft in cells[:CELLS_READ]:
        try:
            _doubt(found, draft, wires.each_names(number))
        except InvalidRequest as error:
            found.warnings.append(f"{error.message}: {error.hint.partition(chr(10))[0]}")


def _doubt(found: Findings, draft: Draft, each: set[str] | None) -> None:
    seen = names(draft.fields["cell"], draft.name)
    if seen.star:
        return
    outputs: dict[str, Output] = draft.fields.get("outputs") or {}
    inputs = draft.fields.get("inputs") or {}
    given = {*inputs, *outputs, *(each or ())}
    if each is not None and not {"inputs", "outputs"} & draft.bad:
        found.warnings += [f"{draft.name}, line {line}: {name} is neither assigned in the cell nor given to it."
                           for name, line in seen.used.items() if name not in given]  # fmt: skip
    unset = [port for port, output in outputs.items() if output.type == "object"
             and port not in seen.assigned and port not in inputs]  # fmt: skip
    found.warnings += [f"{draft.name}: the output {port} is never assigned in the cell." for port in unset]
