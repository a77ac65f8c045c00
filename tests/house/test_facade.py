"""What `wattle` shows is what there is, and showing costs nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import wattle
from tests.house.sources import ROOT, imports, sources


def test_every_public_name_is_there_and_every_name_that_is_there_is_public() -> None:
    assert sorted(wattle.__all__) == sorted({*wattle._HOME, "__version__"})
    assert list(wattle.__all__) == sorted(wattle.__all__)
    for name in wattle.__all__:
        assert getattr(wattle, name) is not None
        assert name in dir(wattle)


def test_every_public_name_comes_from_the_module_that_defines_it() -> None:
    for name, module in wattle._HOME.items():
        found = getattr(wattle, name)
        assert found.__name__ == f"{module}.{name}" if inspect.ismodule(found) else found.__module__ == module


def test_a_type_checker_sees_the_same_names() -> None:
    (facade,) = (source for source in sources("wattle") if source.path == "wattle/__init__.py")
    assert {module for module, _ in imports(facade.tree)} == {*wattle._HOME.values(), "__future__", "importlib"}


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'wattle' has no attribute 'Flow'"):
        _ = wattle.Flow  # type: ignore[attr-defined]


def test_importing_the_facade_imports_nothing_of_the_house() -> None:
    code = "import sys, wattle; print([name for name in sys.modules if name.startswith('wattle.')])"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
