"""The door of the terminal: words in, an exit code out.

Exit codes: 0 completed, 1 the run failed (or a conflict), 2 usage or a bad document, 3 not found, 4 cannot reach,
130 left or stopped by Ctrl-C. Nothing a person does ends in a traceback; a bug of ours ends in one line and a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time

from wattle.cli.grammar import parse
from wattle.cli.render import document_error_text, error_text
from wattle.cli.style import Style
from wattle.core.errors import DocumentError, InternalError, NotAvailable, WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from wattle.cli.documents import Document
    from wattle.settings import Settings

LEFT = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the console script's entry."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(words)
    except WattleError as error:
        return _tell(error, words)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return LEFT
    except Exception:  # noqa: BLE001  the last line of defence: a file instead of a traceback
        return _tell(_bug(words), words)


def _tell(error: WattleError, words: list[str], document: Document | None = None) -> int:
    """Print an error; returns the exit code that goes with it."""
    style = Style(sys.stderr, os.environ, time.time, color="--no-color" not in words)
    if "--json" in words:
        text = json.dumps(error.to_dict(), ensure_ascii=False)
    elif isinstance(error, DocumentError):
        text = document_error_text(error, style, document)
    else:
        text = error_text(error, style)
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)
    return error.exit_code


def _run(words: list[str]) -> int:
    if words[:1] == ["_complete"]:
        from wattle.cli.names import complete

        return complete(words[1:], _settings({}))
    args = parse(words)
    if args.verb == "":
        from wattle.cli.words import overview

        print(overview())
        return 0
    if args.verb in {"version", "completion"}:
        return _say(args)
    own = args.verb == "progress" or (args.verb in {"put", "get"} and "/" not in str(args.address))
    if own and ("WATTLE_WORKER_NAME" in os.environ or args.verb == "progress"):
        from wattle.cli import inside

        return inside.VERBS[args.verb](args)
    settings = _settings({"home": args.home, "config": args.config})
    if args.verb == "serve":
        return _serve(settings, args)
    if args.verb == "coordinator":
        from wattle.app import serve_background

        return serve_background(settings, args.idle)
    from wattle.cli.session import Session
    from wattle.cli.verbs import verb_of

    session = Session(settings, args, Style(sys.stdout, os.environ, time.time, color=args.color), os.environ)
    try:
        return verb_of(args)(session)
    except DocumentError as error:
        return _tell(error, words, session.document)
    finally:
        session.close()


def _settings(flags: dict[str, str | None]) -> Settings:
    from pathlib import Path

    from wattle.settings import load

    given = {name: value for name, value in flags.items() if value is not None}
    config = given.pop("config", None)
    return load(given, os.environ, Path(config) if config else None)


def _serve(settings: Settings, args: Namespace) -> int:
    """A program of its own takes this process's place: no door imports another."""
    from importlib.util import find_spec

    if find_spec("jupyter_wattle") is None or find_spec("jupyter_server") is None:
        raise NotAvailable("wattle serve needs Jupyter Server.", "pip install jupyter-server")
    host, port = args.host or settings.host, settings.port if args.port is None else args.port
    words = [sys.executable, "-m", "jupyter_wattle", f"--home={settings.home}", f"--ServerApp.ip={host}",
             f"--ServerApp.port={port}"]  # fmt: skip
    if settings.config is not None:
        words.append(f"--config-toml={settings.config}")
    sys.stdout.flush()
    os.execv(sys.executable, [*words, *args.passed_on])  # noqa: S606  our own interpreter


def _say(args: Namespace) -> int:
    if args.verb == "completion":
        from wattle.cli.completion import script

        print(script(args.shell), end="")
        return 0
    from wattle import __version__

    versions = {"wattle": __version__, "python": sys.version.split()[0]}
    if args.json:
        print(json.dumps(versions))
    else:
        print(f"Wattle {versions['wattle']} (Python {versions['python']})")
    return 0


def _bug(words: list[str]) -> InternalError:
    """Keep the story in a file that only this person can read, below the state root where there is one."""
    import tempfile
    import traceback

    story = traceback.format_exc()
    with contextlib.suppress(Exception):
        home = _settings({}).home
        descriptor, path = tempfile.mkstemp(".txt", "crash-", home if home.is_dir() else None)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"wattle {words[0] if words else ''}\n{story}")
        return InternalError(f"Wattle failed inside; this is a bug of ours. The story is in {path}",
                             "please report it with that file")  # fmt: skip
    return InternalError(f"Wattle failed inside: {story.splitlines()[-1]}", "please report it")


if __name__ == "__main__":
    sys.exit(main())
