"""Where a magic runs: which notebook, which folder, which front end, and whether anybody sits before it.

Laws: this file alone reads the kernel's environment; everything is asked for anew, since a notebook may be renamed and
a front end may come and go while a kernel lives.
"""

from __future__ import annotations

import os
import sys
import time

from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal

    View = Literal["mime", "widget", "text"]

VIEWS = ("mime", "widget", "text")
_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


class Here:
    """The kernel around a shell; `shell` is IPython's, looked at and never imported."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.view: View | None = None
        """What a person chose with `%wattle view`."""
        self.session = f"{os.getpid()}-{time.monotonic_ns()}"
        """Another text for every kernel that ever was."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The kernel's variables."""
        return os.environ

    @property
    def kernel(self) -> Any:
        """The kernel of ipykernel; None in a terminal."""
        return getattr(self.shell, "kernel", None)

    @property
    def notebook(self) -> str:
        """The notebook's absolute path; empty where nobody says it."""
        for path in (os.environ.get("JPY_SESSION_NAME", ""), self.shell.user_ns.get("__vsc_ipynb_file__", "")):
            if isinstance(path, str) and os.path.isabs(path) and path.endswith(".ipynb"):
                return path
        return ""

    @property
    def folder(self) -> str:
        """What a workflow of this notebook is relative to: the notebook's folder, else the kernel's."""
        folder = os.path.dirname(self.notebook)
        return folder if folder and os.path.isdir(folder) else os.getcwd()

    @property
    def source(self) -> str:
        """Who defines here: the notebook, else the folder that a notebook without a name runs in."""
        return self.notebook or self.folder

    @property
    def cell(self) -> int:
        """The number of the cell that is being executed; IPython's own counter may have gone on already."""
        result = getattr(getattr(self.shell, "displayhook", None), "exec_result", None)
        return int(getattr(result, "execution_count", None) or self.shell.execution_count)

    @property
    def headless(self) -> bool:
        """Whether nobody sits before it: then runs are waited for, and a failed one fails the cell.

        `WATTLE_WAIT` says it; else the request that is being executed does, which may or may not ask for input.
        """
        told = os.environ.get("WATTLE_WAIT", "").strip().lower()
        if told in _YES | _NO:
            return told in _YES
        if told:
            raise InvalidRequest(f"WATTLE_WAIT is '{told}'.", "WATTLE_WAIT=1 waits for runs, WATTLE_WAIT=0 does not")
        if self.kernel is None:
            return not (sys.stdin is not None and sys.stdin.isatty())
        parent = self.kernel.get_parent("shell") if hasattr(self.kernel, "get_parent") else {}
        return (parent.get("content") or {}).get("allow_stdin") is False

    @property
    def front_end(self) -> View:
        """What shows a run here: Wattle's own renderer (`mime`), a widget where it cannot be, text in a terminal."""
        if self.view is not None:
            return self.view
        told = os.environ.get("WATTLE_VIEW", "").strip().lower()
        if told in VIEWS:
            return told  # type: ignore[return-value]
        if self.kernel is None:
            return "text"
        code = "__vsc_ipynb_file__" in self.shell.user_ns
        if not code and not os.environ.get("JPY_SESSION_NAME"):  # else a server whose terminal was that of VS Code
            code = "VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ
        return "widget" if code or "COLAB_RELEASE_TAG" in os.environ else "mime"

    @property
    def served(self) -> bool:
        """Whether a server started this kernel that pages can follow runs on by themselves."""
        return bool(os.environ.get("WATTLE_CONNECTION"))
