"""`wattle doctor`: one look after the other at this installation, each with what to do when it is not well."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wattle import __version__, succession
from wattle.core.errors import WattleError
from wattle.settings import log_root
from wattle.storage.store import open_store

if TYPE_CHECKING:
    from wattle.settings import Settings

LOW_DISK = 1 << 30
"""Bytes: below this a night of logs may fill the disk."""


def examine(settings: Settings) -> list[dict[str, Any]]:
    """All looks, each `{name, ok, detail, hint}`; a look that fails never hides the others."""
    looks: list[tuple[str, Callable[[Settings], tuple[bool, str, str]]]] = [
        ("version", _version), ("state root", _state_root), ("disk", _disk), ("private door", _door),
        ("database", _database), ("coordinator", _coordinator), ("supervisor", _supervisor), ("bus", _bus),
        ("programs", _programs),
    ]  # fmt: skip
    found = []
    for name, look in looks:
        try:
            ok, detail, hint = look(settings)
        except WattleError as error:
            ok, detail, hint = False, error.message, error.hint
        except OSError as error:
            ok, detail, hint = False, str(error), ""
        found.append({"name": name, "ok": ok, "detail": detail, "hint": hint})
    for field, (value, origin) in settings.described().items():
        found.append({"name": f"setting {field}", "ok": True, "detail": f"{value}  ({origin})", "hint": ""})
    return found


def _version(_settings: Settings) -> tuple[bool, str, str]:
    return True, f"Wattle {__version__}, Python {platform.python_version()} ({sys.executable})", ""


def _state_root(settings: Settings) -> tuple[bool, str, str]:
    return True, f"{settings.home}, logs in {log_root(settings)}", ""


def _disk(settings: Settings) -> tuple[bool, str, str]:
    free = shutil.disk_usage(settings.home).free
    text = f"{free / (1 << 30):.1f} GiB free"
    return free > LOW_DISK, text, "wattle prune --older-than 30d" if free <= LOW_DISK else ""


def _door(settings: Settings) -> tuple[bool, str, str]:
    if succession.HAS_UNIX_SOCKETS and settings.door == "auto":
        return True, succession.socket_path(settings), ""
    return True, f"a port of 127.0.0.1, its token in {succession.door_path(settings)}", ""


def _database(settings: Settings) -> tuple[bool, str, str]:
    if not settings.database_exists():
        return True, f"{settings.database}: not made yet", ""
    store = open_store(settings.database, read_only=True)
    try:
        return True, f"{settings.database}: store {store.store_id}, {store.last_seq()} events", ""
    finally:
        store.close()


def _coordinator(settings: Settings) -> tuple[bool, str, str]:
    if not succession.answers(settings):
        if succession.is_held(settings):
            return False, "somebody holds the lock and does not answer", "wattle down --force"
        return True, "none is running; commands start one when they need it", ""
    with succession.client(settings) as client:
        health = client.ask("get_health")
    text = (f"{health['rank']}, process {health['pid']}, epoch {health['epoch']}, "
            f"{health['unfinished_runs']} unfinished runs, loop lag {health['loop_lag_ms']:.1f} ms")  # fmt: skip
    return bool(health["ready"]), text, "" if health["ready"] else str(health["supervisor_state"])


def _supervisor(settings: Settings) -> tuple[bool, str, str]:
    if not succession.supervised(settings):
        return True, succession.UNSUPERVISED, ""
    if not succession.answers(settings):
        return True, "asked only while a coordinator runs", ""
    with succession.client(settings) as client:
        health = client.ask("get_health")
    pid = health["supervisor_pid"]
    if pid is None:
        return False, str(health["supervisor_state"]), f"look at {settings.runtime_dir / 'supervisor.log'}"
    return True, f"process {pid}, {health['supervisor_state']}", ""


def _bus(settings: Settings) -> tuple[bool, str, str]:
    if not settings.zenoh_enabled:
        return True, "off: the settings say so ([zenoh] enabled = false)", ""
    if not succession.answers(settings):
        return True, "there while a coordinator runs", ""
    with succession.client(settings) as client:
        state = str(client.ask("get_health")["bus"])
    well = not state.startswith("There is no bus")
    return well, state, "" if well else f"runs need no bus; look at {settings.runtime_dir / 'bus' / 'router.log'}"


def _programs(_settings: Settings) -> tuple[bool, str, str]:
    found = [name for name in ("bash", "sh", "python", "python3", "node", "Rscript") if shutil.which(name)]
    missing = [name for name in ("bash", "sh") if name not in found]
    hint = f"scripts need {', '.join(missing)} on PATH" if missing else ""
    return not missing, f"scripts can use {', '.join(found)}; PATH has {len(os.get_exec_path())} folders", hint
