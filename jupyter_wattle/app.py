"""The server extension: a coordinator in a Jupyter server, or in a lean server of its own (`wattle serve`).

Order of a server's start: extensions are loaded (here: routes, nothing else), the port is bound, the hook begins.
Only then is anything of the coordinator imported, in a thread. Until it answers, Wattle's routes say 503 with the
reason and when to come back; should it fail for good, Jupyter goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from jupyter_core.application import base_aliases
from jupyter_core.paths import jupyter_runtime_dir
from jupyter_server._tz import utcnow
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Integer, Unicode

from jupyter_wattle.access import KernelToken
from jupyter_wattle.connection import ConnectionFile
from jupyter_wattle.handlers import mount
from jupyter_wattle.page import STATIC
from wattle import __version__
from wattle.core.errors import WattleError
from wattle.resident import Resident
from wattle.settings import load
from wattle.web.audit import Audit
from wattle.web.streams import PER_CALLER, Streams

ACTIVITY_SECONDS = 20.0


class LeanServer(ServerApp):
    """A Jupyter server that can authenticate and nothing else: no kernels, no contents, no terminals."""

    name = "wattle"
    version = __version__
    description = "Wattle: runs workflows of real processes, over HTTP."
    default_services = ("auth", "api", "security", "shutdown")  # type: ignore[assignment]


class WattleApp(ExtensionApp):
    """The extension. It stays in this module: Jupyter finds it by the module's name."""

    name = "wattle"
    version = __version__
    extension_url = "/wattle"
    static_paths: ClassVar[list[str]] = [str(STATIC)]  # type: ignore[misc]
    description = "Workflows of real processes, made and watched in Jupyter."
    load_other_extensions = False
    open_browser = False
    serverapp_class = LeanServer
    serverapp_config: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "reraise_server_extension_failures": True, "port_retries": 0, "answer_yes": True,
    }  # fmt: skip
    """For a server of its own: a taken port is an error, not another port."""
    aliases: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        **base_aliases, "home": "WattleApp.home", "config-toml": "WattleApp.config_toml",
    }  # fmt: skip

    home = Unicode("", help="The state root; WATTLE_HOME and the platform's folder are asked when this is empty.",
                   config=True)  # fmt: skip
    config_toml = Unicode("", help="Wattle's own configuration file.", config=True)

    stream_limit = Integer(PER_CALLER, help="How many streams one caller may follow at a time.", config=True)

    resident: Resident | None = None
    _connection: ConnectionFile | None = None
    _activity: asyncio.Task[None] | None = None

    def initialize_handlers(self) -> None:
        """Routes only: nothing is read, made or asked yet."""
        given = {"home": self.home} if self.home else {}
        try:
            settings = load(given, os.environ, Path(self.config_toml) if self.config_toml else None)
        except WattleError as error:
            self.log.error("Wattle is off: %s (%s)", error.message, error.hint)  # noqa: TRY400  no bug, no traceback
            return
        self.resident = Resident(settings, self.log)
        assert self.serverapp is not None
        self._token = KernelToken()
        audit = Audit(str(settings.home / "audit.log"), time.time)
        self.handlers.extend(mount(self.resident, self._token, audit, Streams(self.stream_limit),
                                   self.serverapp.base_url))

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """The port is bound and the loop runs: begin, beside everything else."""
        if self.resident is None:
            return
        self.resident.start()
        self._connection = ConnectionFile(Path(jupyter_runtime_dir()))
        try:
            url = serverapp.connection_url
            self._connection.write(home=str(self.resident.settings.home), url=url, token=self._token.text)
        except OSError as error:
            self.log.warning("Kernels will not find this server by themselves: %s", error)
        self._activity = asyncio.create_task(self._report_activity(serverapp))
        self._end_in_good_order(serverapp)

    def _end_in_good_order(self, serverapp: ServerApp) -> None:
        """JupyterHub ends servers by SIGINT without a terminal, which Jupyter takes as an end without hooks."""
        if sys.stdin is None or not sys.stdin.isatty():
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, serverapp.stop)

    async def stop_extension(self) -> None:
        """Unfinished runs go on in the background; the next server takes them back."""
        if self._activity is not None:
            self._activity.cancel()
        if self._connection is not None:
            self._connection.remove()
        if self.resident is not None:
            await self.resident.stop()

    def current_activity(self) -> dict[str, int] | None:
        """Runs keep an idle server alive."""
        unfinished = self.resident.unfinished if self.resident is not None else 0
        return {"unfinished_runs": unfinished} if unfinished else None

    async def _report_activity(self, serverapp: ServerApp) -> None:
        """A hub's culler looks at the last activity only."""
        while True:
            if self.current_activity():
                serverapp.web_app.settings["wattle_last_activity"] = utcnow()
            await asyncio.sleep(ACTIVITY_SECONDS)


def main(argv: list[str] | None = None) -> None:
    """A server of its own. Jupyter's options are understood; `--home` and `--config-toml` are Wattle's."""
    WattleApp.launch_instance(sys.argv[1:] if argv is None else argv)  # type: ignore[no-untyped-call]
