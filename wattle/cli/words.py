"""The words of the command line: which verbs there are, what each is for, how each is used.

The one-line helps come from the table of operations; this file adds the order in which people meet them and the
examples. Imports nothing heavy: the completion and the overview are made from here.
"""

from __future__ import annotations

from wattle.core.operations import LOCAL, OPERATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS: dict[str, str] = {
    "begin": "init new demo validate",
    "run": "run plan attach wait stop start restart rerun",
    "look": "status logs list show runs events graph gantt get",
    "live": "tap sub query pub pipe put progress",
    "keep": "create delete export import prune",
    "house": "up down serve bus doctor completion version",
}
VERBS: tuple[str, ...] = tuple(" ".join(GROUPS.values()).split())
HIDDEN: tuple[str, ...] = ("coordinator",)
ALIASES = {"watch": "attach", "ls": "list", "rm": "delete", "log": "logs", "cat": "get"}
SHELLS = ("bash", "zsh", "fish")
FORMATS = ("yaml", "json", "toml")

EXAMPLES: dict[str, str] = {
    "run": "wattle run                       wattle.yaml in this folder\n"
           "wattle run etl --set day=7       a saved workflow, with a parameter\n"
           "wattle run flow.yaml -j 4 -d     four at a time, and do not follow it\n"
           "wattle run pipeline.ipynb        what the cells of a notebook define, without a kernel\n"
           "wattle run --stale               only what changed, and what follows from it",
    "plan": "wattle plan                      what wattle.yaml here would run\n"
            "wattle plan etl --stale          what would run, what would be taken over, and why",
    "logs": "wattle logs etl/clean -f         follow one worker\n"
            "wattle logs etl@12 --tail 20     the last 20 lines of every worker",
    "status": "wattle status                    what runs, and what ran last\n"
              "wattle status etl                its latest run, worker by worker",
    "stop": "wattle stop etl                  the run that is active\n"
            "wattle stop etl/train            one worker, or one group",
    "rerun": "wattle rerun etl@12 --failed     only what did not complete, and all below it\n"
             "wattle rerun etl --from clean    clean, and all below it",
    "start": "wattle start etl/clean           with the inputs of the latest run that has them",
    "get": "wattle get etl/clean             all outputs of a worker\n"
           "wattle get etl/clean/table --out table.csv\n"
           "wattle get rate                  in a worker's script: an input, or its own output",
    "put": "wattle put score 0.93             in a worker's script: its own output\n"
           "date | wattle put when -          from the standard input\n"
           "wattle put etl/clean/score 0.93   from outside, while clean runs",
    "tap": "wattle tap etl/engine/state\n"
           "wattle tap etl                    its only live edge",
    "sub": "wattle sub etl/engine/state       from outside, to the end of engine\n"
           "wattle sub engine/state -n 1      in a worker's script: the next message",
    "query": "wattle query planner/route [0,1]",
    "pub": "wattle pub state 7                in a worker's script\n"
           "vmstat 1 | wattle pub load        a message for each line",
    "progress": "wattle progress 0.4 epoch 4      in a worker's script\n"
                "wattle progress 40%              without a word",
    "graph": "wattle graph etl                 drawn here\n"
             "wattle graph wattle.yaml --out dag.svg",
    "gantt": "wattle gantt etl@12 --out etl.png",
    "new": "wattle new clean --command 'python clean.py' --in raw=fetch/raw --out table.csv",
    "events": "wattle events -f                 everything that happens, as it happens\n"
              "wattle events etl@12 --json      one JSON object a line",
    "export": "wattle export etl etl.toml\n"
              "wattle export pipeline.ipynb etl.yaml",
    "import": "wattle import flows/*.yaml",
    "bus": "wattle bus                        how it is, and who is on it\n"
           "wattle bus init-tls lab.example   for other hosts, over TLS\n"
           "wattle bus export gpu-box.json    what one of them needs",
    "serve": "wattle serve                     http://localhost:9240, the token is printed\n"
             "wattle serve --port 8000 --allow-root --certfile cert.pem --keyfile key.pem",
    "prune": "wattle prune --older-than 30d --keep 5 --yes",
    "completion": 'eval "$(wattle completion bash)"          in ~/.bashrc; zsh likewise\n'
                  "wattle completion fish | source         in config.fish",
}  # fmt: skip


def summary(verb: str) -> str:
    """One line of help, from the table of operations."""
    return LOCAL.get(verb) or next((row.help for row in OPERATIONS if verb in row.words), "")


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant, or None when nothing is near."""
    best, least = None, max(1, len(word) // 3) + 1
    for choice in choices:
        away = 1 if len(word) > 2 and choice.startswith(word) else _distance(word, choice)
        if away < least:
            best, least = choice, away
    return best


def _distance(one: str, other: str) -> int:
    """Insertions, deletions, changes and swaps of neighbours from one word to the other."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one):
        row = [i + 1]
        for j, b in enumerate(other):
            steps = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a != b))
            if i and j and a == other[j - 1] and b == one[i - 1]:
                steps = min(steps, rows[i - 1][j - 1] + 1)
            row.append(steps)
        rows.append(row)
    return rows[-1][-1]


def overview() -> str:
    """What `wattle --help` says: every verb in one line, in the order in which people meet them."""
    lines = ["Wattle runs DAGs of real processes and keeps them running.", ""]
    lines += ["usage: wattle VERB [ARGUMENTS] [--json] [--home DIR] [--config FILE] [--url URL] [--no-color]", ""]
    for group, verbs in GROUPS.items():
        for first, verb in enumerate(verbs.split()):
            lines.append(f"{'' if first else group:<7}{verb:<12}{summary(verb)}")
        lines.append("")
    lines += ["An address is etl, etl@12 (a run), etl/clean (a worker), or etl@12/clean/table (an output).",
              "wattle VERB --help says more. First steps: wattle demo"]  # fmt: skip
    return "\n".join(lines)
