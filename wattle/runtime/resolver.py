"""From a launch that the core decided to one that can be performed: its Python and its program found.

Laws: nothing is started here. Base environments are kept once per content, since the runs of one shell share one. What
cannot be found is a sentence for the person who wrote the worker.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from wattle.core.records import Launch
from wattle.runtime.environment import CouldNotStart, find_executable, interpreter, python_environment

PYTHONS_KEPT = 256
NEEDED = frozenset({"nonce", "run", "worker", "attempt", "argv", "cwd", "env", "env_id", "stdout", "grace"})
FIELDS = tuple(name for name in Launch.__struct_fields__ if name not in {"python", "runner", "setup"})
RUNNERS = os.path.dirname(os.path.abspath(__file__))
"""The folder of what runs cells."""
PACKAGE_ROOT = os.path.dirname(os.path.dirname(RUNNERS))
NOTEBOOK_PROGRAM = ("import sys; sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]; "
                    "from wattle.runtime.notebook_runner import main; main()")
"""Nothing in the folder where it runs can take the place of a module."""


class Resolver:
    """Knows the base environments, and remembers which Python was found for whom."""

    def __init__(self) -> None:
        self.environments: dict[str, dict[str, str]] = {}
        """By key, a name that follows from the content."""
        self._keys: dict[str, str] = {}
        self._pythons: dict[object, dict[str, str]] = {}

    def add(self, env_id: str, variables: Mapping[str, str]) -> str:
        """Make a base environment known; its key if no other has the same content, else empty."""
        content = msgspec.json.encode(variables, order="sorted")
        key = hashlib.blake2b(content, digest_size=8).hexdigest()
        self._keys[env_id] = key
        if key in self.environments:
            return ""
        self.environments[key] = dict(variables)
        return key

    def resolve(self, launch: Launch) -> dict[str, Any]:
        """The launch as it is performed: `executable` added, `env_id` a key, empty fields left out, a runner's words
        put before its own.

        Raises:
            CouldNotStart: there is no such program, or no such Python.
        """
        key = self._keys[launch.env_id]
        base = self.environments[key]
        env, argv = launch.env, launch.argv
        if not argv:
            raise CouldNotStart("the command is empty")
        if launch.python is not None:
            env = {**env, **self._python(launch.python, launch, key)}
        if launch.runner:
            argv = (*_runner(launch, base, env), *argv)
        if launch.setup:
            argv = ("bash", "-euo", "pipefail", "-c", f'{launch.setup}\nexec "$@"', "wattle-setup", *argv)
        if "\0" in "".join((*argv, *env, *env.values(), launch.cwd)):
            raise CouldNotStart("its words, variables or folder hold a NUL character, which no program can be given")
        path = env.get("PATH", base.get("PATH", os.defpath))
        told = {name: value for name in FIELDS if (value := getattr(launch, name)) or name in NEEDED}
        own = argv[0] in launch.scripts  # it will be written just before
        told.update(env_id=key, env=env, argv=argv,
                    executable=argv[0] if own else find_executable(argv[0], path, launch.cwd))  # fmt: skip
        return told

    def _python(self, selector: str, launch: Launch, key: str) -> dict[str, str]:
        """What selects the worker's Python, looked up once for all workers of one kind. Raises CouldNotStart."""
        own = {name: value for name, value in launch.env.items() if not name.startswith("WATTLE_")}
        known = (selector, key, launch.cwd, frozenset(own.items()))
        if known not in self._pythons:
            found = python_environment(selector, {**self.environments[key], **own}, launch.cwd)
            if len(self._pythons) >= PYTHONS_KEPT:
                self._pythons.clear()
            self._pythons[known] = found
        return self._pythons[known]


def _runner(launch: Launch, base: Mapping[str, str], env: Mapping[str, str]) -> tuple[str, ...]:
    """The program that performs a cell, under the Python that the cell is for; a notebook's runs under Wattle's own,
    and is told the Python of its kernel. Raises CouldNotStart."""
    if launch.python is None and launch.setup:
        python = "python"  # what a `module load` has put on PATH
    else:
        path = env.get("PATH", base.get("PATH"))
        try:
            python = interpreter(launch.python, {**base, **launch.env}, path, launch.cwd)
        except CouldNotStart:
            if launch.runner == "cell" or launch.python:
                raise
            python = ""  # a notebook has a kernel of its own
    if launch.runner == "cell":
        return python, os.path.join(RUNNERS, "cell_runner.py")
    return sys.executable, "-c", NOTEBOOK_PROGRAM, PACKAGE_ROOT, "given" if launch.python else "found", python
