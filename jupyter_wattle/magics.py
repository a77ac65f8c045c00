"""`%wattle` and `%%wattle`: every verb of the command line in a notebook, with objects that show themselves.

    %load_ext wattle
    %wattle run etl            a line magic is a verb; it returns an object with a view
    %%wattle workflow etl      a cell magic defines: a workflow, a worker, a run of this very cell

Laws: a person's mistake is one sentence and what to do next, never a traceback; nothing here waits that need not;
loading costs little, because what is heavy is imported by the verb that needs it.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from jupyter_wattle.kernel import grammar
from jupyter_wattle.kernel.here import Here
from jupyter_wattle.kernel.session import Desk
from wattle import __version__, app, succession
from wattle.cli.expanding import words_of
from wattle.cli.render import document_error_text, error_text
from wattle.cli.verbs import verb_of
from wattle.cli.words import overview
from wattle.core.errors import DocumentError, InvalidRequest, WattleError
from wattle.sdk.runs import Run, RunFailed
from wattle.settings import load

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_wattle.kernel.session import KernelSession
    from wattle.cli.documents import Document

_QUESTION = re.compile(r"^\s*%(%?)wattle((?:\s+[\w-]+)?)\s*\?{1,2}\s*$")
ABOVE = "%%"
"""What stands for a cell's magic in a line that only asks for help: a cell without a body is none."""


@magics_class
class WattleMagics(Magics):
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        from jupyter_wattle.view import Views

        self.desk = Desk(Here(shell))
        self.views = Views(self.desk)

    @no_var_expand
    @line_cell_magic
    def wattle(self, line: str, cell: str | None = None) -> Any:
        """Every verb of Wattle: `%wattle` lists them, `%wattle run?` explains one."""
        session: KernelSession | None = None
        words = line.split()
        try:
            words = self.desk.words = words_of(line, self.desk.here.shell.ev)
            of_a_cell = cell is not None or words[:1] == [ABOVE]
            args = grammar.parse([word for word in words if word != ABOVE], cell=of_a_cell)
            if args.verb in {"", "version"}:
                print(f"{overview()}\n\n{grammar.here()}" if args.verb == "" else f"Wattle {__version__}")
                return None
            if args.verb in grammar.TERMINAL_ONLY:
                raise InvalidRequest(f"wattle {args.verb} is for a terminal.", f"!wattle {args.verb} --help")
            self.desk.last = session = self.desk.session(args)
            return self._done(session) if cell is None else self._defined(session, cell)
        except grammar.HelpShown:
            return None
        except KeyboardInterrupt as stop:
            if not hasattr(stop, "_render_traceback_"):
                stop._render_traceback_ = ["Interrupted."].copy  # type: ignore[attr-defined]
            raise
        except RunFailed as error:
            if error.run is not None and self.desk.here.front_end != "text":
                self.views.show_run(error.run)  # a saved notebook holds the picture, too
            raise self._told(error, None) from None
        except WattleError as error:
            raise self._told(error, session.document if session else None) from None

    def _done(self, session: KernelSession) -> Any:
        """A line's verb."""
        verb = session.args.verb
        if verb == "view":
            return self._view(session)
        from jupyter_wattle.kernel.verbs import VERBS

        if getattr(session.args, "out", None) == "-":
            raise InvalidRequest("A kernel has no standard output for bytes.", "%wattle pull brings the value itself")
        if verb in VERBS:
            found = VERBS[verb](session)
            return found.detail if session.args.json and isinstance(found, Run) else found
        verb_of(session.args)(session)
        if verb == "down":
            self.desk.close()
        return session.answer()

    def _defined(self, session: KernelSession, cell: str) -> Any:
        """A cell's verb."""
        verb = session.args.verb
        if verb not in grammar.CELL_VERBS:
            raise InvalidRequest(f"%%wattle {verb} takes no cell.", f"one % for a verb: %wattle {verb}")
        from jupyter_wattle.kernel.cells import CELLS

        return CELLS[verb](session, cell)

    def _view(self, session: KernelSession) -> None:
        if session.args.kind:
            self.desk.here.view = session.args.kind
        print(f"Runs are shown here as: {self.desk.here.front_end}.")

    def _told(self, error: WattleError, document: Document | None) -> WattleError:
        """The error, which shows its sentence and its hint where IPython would show a traceback."""
        style = self.desk.style()
        text = (document_error_text(error, style, document) if isinstance(error, DocumentError)
                else error_text(error, style) if error.code != "run-failed" else error.message)  # fmt: skip
        error._render_traceback_ = text.split("\n").copy  # type: ignore[attr-defined]
        return error


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext wattle`: the magics, the views, the completion, and one line on what there is."""
    from jupyter_wattle.kernel.completing import Completion

    magics = WattleMagics(shell)
    shell.register_magics(magics)
    magics.views.install(shell)
    complete = Completion(magics.desk)
    for key in ("%wattle", "%%wattle"):
        shell.set_hook("complete_command", complete, str_key=key)  # type: ignore[no-untyped-call]
    shell.input_transformers_cleanup.append(_asked)
    print(_greeting(magics.desk))


def _asked(lines: list[str]) -> list[str]:
    """`%wattle run?` means the help of that verb; IPython would look for an object `run`."""
    return [_help(found) if (found := _QUESTION.match(line)) else line for line in lines]


def _help(asked: re.Match[str]) -> str:
    return f"%wattle {ABOVE if asked[1] else ''}{asked[2]} --help\n"


def _greeting(desk: Desk) -> str:
    """Which coordinator, and what runs."""
    try:
        settings, remote = load({}, desk.here.environ), app.remote(None, desk.here.environ)
        if remote is None and not succession.answers(settings):
            return f"Wattle {__version__}: nothing runs, nobody coordinates; the first run starts a coordinator."
        with app.connection(settings, "read", remote).client as client:
            health = client.ask("get_health")
            runs = client.ask("list_all_runs", limit=5, active=True)["runs"] if health["unfinished_runs"] else []
    except WattleError as error:
        return f"Wattle {__version__}: {error.message} {error.hint}".rstrip()
    where = {"server": "the Jupyter server", "background": "the background"}.get(health["rank"], "a terminal")
    where = where if remote is None else remote.url
    active = ", ".join(run["address"] for run in runs) if runs else "nothing"
    more = f" and {health['unfinished_runs'] - len(runs)} more" if health["unfinished_runs"] > len(runs) else ""
    verb = "run" if len(runs) > 1 or more else "runs"
    return f"Wattle {__version__}: coordinated in {where} (process {health['pid']}); {active}{more} {verb}."


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Let go of connections; the magics stay until the shell ends."""
    magics = shell.magics_manager.registry.get("WattleMagics")
    if isinstance(magics, WattleMagics):
        magics.views.close()
        magics.desk.close()
    with contextlib.suppress(ValueError):
        shell.input_transformers_cleanup.remove(_asked)
