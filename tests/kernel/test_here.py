"""Which notebook, which front end, and whether anybody sits there: told from the environment and from the request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from jupyter_wattle.kernel.here import Here
from wattle.core.errors import InvalidRequest

NAMES = ("WATTLE_WAIT", "WATTLE_VIEW", "JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def kernel(allow_stdin: bool | None = True, names: Mapping[str, str] = MappingProxyType({})) -> Here:
    """What IPython shows of a kernel that executes such a request."""
    content = {} if allow_stdin is None else {"allow_stdin": allow_stdin}
    return Here(SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda _channel: {"content": content}), user_ns=names))


def terminal() -> Here:
    return Here(SimpleNamespace(user_ns={}))


@pytest.mark.parametrize(("allow", "told", "headless"), [
    (True, "", False), (False, "", True), (None, "", False), (True, "1", True), (False, "0", False), (False, "no", False),
])  # fmt: skip
def test_nobody_sits_there_when_the_request_forbids_questions_or_a_variable_says_so(
        allow: bool | None, told: str, headless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_WAIT", told)
    assert kernel(allow).headless is headless


def test_a_variable_that_says_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_WAIT", "maybe")
    with pytest.raises(InvalidRequest, match="WATTLE_WAIT is 'maybe'"):
        _ = kernel().headless


@pytest.mark.parametrize(("variables", "names", "view"), [
    ({}, {}, "mime"),
    ({"JPY_SESSION_NAME": "/a/b.ipynb"}, {}, "mime"),
    ({"VSCODE_PID": "1"}, {}, "widget"),
    ({"VSCODE_PID": "1", "JPY_SESSION_NAME": "/a/b.ipynb"}, {}, "mime"),
    ({}, {"__vsc_ipynb_file__": "/a/b.ipynb"}, "widget"),
    ({"COLAB_RELEASE_TAG": "r"}, {}, "widget"),
    ({"WATTLE_VIEW": "text"}, {}, "text"),
    ({"WATTLE_VIEW": "widget"}, {}, "widget"),
])  # fmt: skip
def test_the_front_end_is_told_from_its_traces(variables: dict[str, str], names: dict[str, str], view: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert kernel(names=names).front_end == view


def test_a_terminal_shows_text_and_a_choice_wins() -> None:
    here: Any = terminal()
    assert here.front_end == "text"
    here.view = "mime"
    assert here.front_end == "mime"


def test_a_notebook_is_known_by_its_path_and_stands_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "a.ipynb"))
    assert (kernel().notebook, kernel().folder, kernel().source) == (str(tmp_path / "a.ipynb"), str(tmp_path), str(tmp_path / "a.ipynb"))
    monkeypatch.setenv("JPY_SESSION_NAME", "9c1d-session-id")
    monkeypatch.chdir(tmp_path)
    assert (kernel().notebook, kernel().folder, kernel().source) == ("", str(tmp_path), str(tmp_path))
