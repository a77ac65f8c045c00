"""Keys stay behind, everything else travels."""

from __future__ import annotations

import pytest

from wattle.core.environ import strip_secrets

SECRETS = (
    "JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID", "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED",
    "JUPYTERHUB_COOKIE_SECRET", "JUPYTERHUB_CRYPT_KEY", "JPY_API_TOKEN", "JPY_OTHER_TOKEN_FILE",
    "CONFIGPROXY_AUTH_TOKEN", "jupyterhub_api_token", "WATTLE_CONNECTION", "WATTLE_TASK", "WATTLE_TOKEN",
    "WATTLE_TOKEN_FILE", "WATTLE_URL",
)  # fmt: skip
MARKS = (
    "WATTLE_RUN", "WATTLE_RUN_DIR", "WATTLE_EACH_LR", "WATTLE_ATTEMPT", "WATTLE_WORKFLOW_NAME", "WATTLE_WORKER_NAME",
    "WATTLE_INPUT_RAW", "WATTLE_OUTPUT_MODEL", "WATTLE_PARAMS",
)  # fmt: skip
KEPT = (
    "PATH", "HOME", "LANG", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "JUPYTER_PATH", "JUPYTER_DATA_DIR",
    "JUPYTERHUB_USER", "WATTLE_HOME", "WATTLE_RUNNER", "MY_WATTLE_TASK",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_key_to_jupyter_the_hub_or_wattle_is_dropped(name: str) -> None:
    assert strip_secrets({name: "canary", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("name", MARKS)
def test_what_marks_one_worker_does_not_reach_another(name: str) -> None:
    assert strip_secrets({name: "x"}) == {}


@pytest.mark.parametrize("name", KEPT)
def test_the_persons_own_variables_stay(name: str) -> None:
    assert strip_secrets({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y"), ("A", "\udcff"), ("\udcff", "x")],
    ids=["no name", "= in name", "NUL in name", "NUL in value", "value not UTF-8", "name not UTF-8"],
)
def test_what_no_environment_can_hold_is_dropped(name: str, value: str) -> None:
    assert strip_secrets({name: value, "É": "schön"}) == {"É": "schön"}


def test_the_order_stays_and_the_argument_is_not_changed() -> None:
    given = {"B": "1", "JUPYTER_TOKEN": "canary", "A": "2"}
    assert list(strip_secrets(given)) == ["B", "A"]
    assert "JUPYTER_TOKEN" in given
