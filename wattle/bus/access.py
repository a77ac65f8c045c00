"""Who may do what on the bus, and the router's configuration that holds them to it.

| role        | may                                                                                                  |
|-------------|------------------------------------------------------------------------------------------------------|
| coordinator | everything below `wattle/{hub}`                                                                      |
| kernel      | hear events, logs and who is alive; ask every operation but `hand_over`; use the workers' services   |
| worker      | hear events and logs; ask the operations that read; offer and use services; say that it is alive     |

Laws: what no rule allows is denied, for every role, on every endpoint; who has no credential has no session at all. A
rule names whole keys, and the router enforces it: a question with a wildcard that covers more than its asker's keys
goes nowhere. Workers of one user can imitate each other; that is no goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wattle.bus.connection import quiet
from wattle.bus.keys import Keys
from wattle.core.operations import OPERATIONS, READ

IN, OUT = ["ingress"], ["egress"]
SAY = ["put", "delete", "declare_queryable", "reply", "declare_subscriber", "query"]
"""All there is but liveliness: what both ends of a service need."""
NEVER = frozenset({"hand_over"})
"""Operations that only the private door knows."""
MANY_SESSIONS = 10_000
STUCK_MICROSECONDS = 1_000_000
"""A session that takes nothing for so long is cut off, well before those who send to it are held up."""
LEASE_MS = 10_000


def operations_of(role: str) -> list[str]:
    """What a role may ask."""
    return [row.name for row in OPERATIONS if row.name not in NEVER and (role != "worker" or row.access == READ)]


def access_control(hub: str, users: Mapping[str, str]) -> dict[str, Any]:
    """The rules of all roles. `users` maps a role to the name of its user."""
    keys = Keys(hub)
    rules: list[dict[str, Any]] = []
    policies = []
    for role, user in users.items():
        mine = _coordinator(keys) if role == "coordinator" else _guest(keys, role)
        named = [{"id": f"{role}-{number}", "permission": "allow", **rule} for number, rule in enumerate(mine)]
        rules += named
        policies.append({"rules": [rule["id"] for rule in named], "subjects": [user]})
    return {"enabled": True, "default_permission": "deny", "rules": rules, "policies": policies,
            "subjects": [{"id": user, "usernames": [user]} for user in users.values()]}  # fmt: skip


def _rule(flows: Sequence[str], messages: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    return {"flows": list(flows), "messages": list(messages), "key_exprs": list(keys)}


def _coordinator(keys: Keys) -> list[dict[str, Any]]:
    return [_rule(IN + OUT, [*SAY, "liveliness_token", "liveliness_query", "declare_liveliness_subscriber"],
                  [keys.everything()])]  # fmt: skip


def _guest(keys: Keys, role: str) -> list[dict[str, Any]]:
    heard = [keys.everything("events"), keys.everything("logs")]
    services = [keys.everything("services")]
    asked = [*heard, *(keys.api(name) for name in operations_of(role))]
    alive = keys.worker(None, None, None) if role == "worker" else keys.kernel(None)
    return [
        _rule(IN, ["declare_subscriber"], heard),
        _rule(OUT, ["put", "delete"], heard),
        _rule(IN, ["query"], asked),
        _rule(OUT, ["reply", "declare_queryable"], asked),
        _rule(IN + OUT, SAY, services),
        _rule(IN, ["liveliness_token"], [alive]),
        _rule(IN, ["liveliness_query", "declare_liveliness_subscriber"], [keys.everything("alive")]),
        _rule(OUT, ["liveliness_token"], [keys.everything("alive")]),
    ]


def router_config(hub: str, users: Mapping[str, str], user: str, password: str, dictionary: str,
                  endpoints: Sequence[str], tls: Mapping[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    """Zenoh's configuration of the router. `dictionary` is the file of users, one `user:password` per line; `user` is
    the router's own. `tls` names the files `certificate` and `key` of `tls/` endpoints."""
    congestion = {"block": {"wait_before_close": STUCK_MICROSECONDS}}
    link: dict[str, Any] = {"tx": {"lease": LEASE_MS, "queue": {"congestion_control": congestion}}}
    if tls is not None:
        link["tls"] = {"listen_certificate": tls["certificate"], "listen_private_key": tls["key"],
                       "enable_mtls": False}  # fmt: skip
    return {
        "mode": "router",
        "listen": {"endpoints": list(endpoints), "timeout_ms": 0, "exit_on_failure": True},
        **quiet(),
        "transport": {
            "unicast": {"max_sessions": MANY_SESSIONS, "accept_pending": 2048, "accept_timeout": 3000},
            "link": link,
            "shared_memory": {"enabled": False},
            "auth": {"usrpwd": {"user": user, "password": password, "dictionary_file": dictionary}},
        },
        "access_control": access_control(hub, users),
    }
