"""Wattle runs DAGs of real processes and keeps them running.

This is the façade: the names that a program may rely on. Each is imported when it is first asked for, so that
`import wattle` costs nothing and a command line pays only for what it uses.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.app import connect, flow, new
    from wattle.core.errors import (
        Conflict,
        DocumentError,
        Forbidden,
        InternalError,
        InvalidRequest,
        NotAvailable,
        NotFound,
        Problem,
        StorageError,
        Unreachable,
        WattleError,
    )  # fmt: skip
    from wattle.core.models import Worker, Workflow
    from wattle.sdk import worker
    from wattle.sdk.client import Client
    from wattle.sdk.runs import Run, RunFailed

__all__ = [
    "Client", "Conflict", "DocumentError", "Forbidden", "InternalError", "InvalidRequest", "NotAvailable", "NotFound",
    "Problem", "Run", "RunFailed", "StorageError", "Unreachable", "WattleError", "Worker", "Workflow", "__version__",
    "connect", "flow", "new", "worker",
]  # fmt: skip

_ERRORS = "wattle.core.errors"
_HOME = {
    "Client": "wattle.sdk.client",
    "Conflict": _ERRORS,
    "DocumentError": _ERRORS,
    "Forbidden": _ERRORS,
    "InternalError": _ERRORS,
    "InvalidRequest": _ERRORS,
    "NotAvailable": _ERRORS,
    "NotFound": _ERRORS,
    "Problem": _ERRORS,
    "StorageError": _ERRORS,
    "Unreachable": _ERRORS,
    "WattleError": _ERRORS,
    "Worker": "wattle.core.models",
    "Workflow": "wattle.core.models",
    "Run": "wattle.sdk.runs",
    "RunFailed": "wattle.sdk.runs",
    "connect": "wattle.app",
    "flow": "wattle.app",
    "new": "wattle.app",
    "worker": "wattle.sdk",
}
"""Where a name comes from; a module comes from its package."""


if not TYPE_CHECKING:  # a type checker is told of the names above, and of no others

    def __getattr__(name: str) -> object:
        """PEP 562: a public name, from the module that defines it."""
        if name not in _HOME:
            raise AttributeError(f"module 'wattle' has no attribute {name!r}")
        from importlib import import_module

        home = import_module(_HOME[name])
        value = getattr(home, name, None) or import_module(f"{home.__name__}.{name}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: object) -> None:
    """`%load_ext wattle`, the one call upward: to the magics, which need IPython."""
    from importlib import import_module

    import_module("jupyter_wattle.magics").load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """`%unload_ext wattle`."""
    from importlib import import_module

    import_module("jupyter_wattle.magics").unload_ipython_extension(shell)
