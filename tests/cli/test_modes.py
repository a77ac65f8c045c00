"""Services and mode parallel, with real processes."""

from __future__ import annotations

import pytest

from tests.terminal import Terminal


def test_in_mode_parallel_workers_meet_that_would_wait_for_one_another(terminal: Terminal) -> None:
    """Each waits until it sees all four: with slots for one or two they would wait for ever."""
    script = f'touch "$WATTLE_WORKER_NAME"; cd "{terminal.folder}"; touch "here.$WATTLE_WORKER_NAME"\n'
    script += "until [ $(ls here.* | wc -l) = 4 ]; do sleep 0.02; done"
    flow = terminal.write("all.json", {"name": "all", "mode": "parallel", "workers": {
        name: {"script": script, "lang": "sh"} for name in "abcd"}})  # fmt: skip
    done = terminal.wattle("run", flow, env={"WATTLE_MAX_CONCURRENT_WORKERS": "1"})
    assert done.returncode == 0, done.stderr
    assert "4 at a time" in done.stdout


@pytest.mark.parametrize("polite", [True, False], ids=["ends when asked", "does not listen"])
def test_a_service_is_ended_as_completed_once_the_work_is_done(terminal: Terminal, polite: bool) -> None:
    trap = f"trap 'echo bye >> \"{terminal.folder}/witness\"; exit 0' TERM" if polite else "trap '' TERM"
    flow = terminal.write("serve.json", {"name": "serve", "grace": 0.3, "workers": {
        "server": {"script": f'{trap}\necho up >> "{terminal.folder}/witness"\nwhile true; do sleep 0.02; done',
                   "lang": "sh", "service": True},
        "client": {"script": f'until [ -s "{terminal.folder}/witness" ]; do sleep 0.02; done', "lang": "sh"},
        "after": {"command": ["sh", "-c", f'echo after >> "{terminal.folder}/witness"'], "needs": ["server"]},
    }})  # fmt: skip
    done = terminal.wattle("run", flow)
    assert done.returncode == 0, done.stdout + done.stderr
    detail = terminal.status("serve")
    assert {worker["name"]: worker["status"] for worker in detail["workers"]} == {
        "server": "completed", "client": "completed", "after": "completed"}  # fmt: skip
    assert terminal.lines("witness") == (["up", "bye", "after"] if polite else ["up", "after"])


def test_a_service_that_fails_fails_the_run(terminal: Terminal) -> None:
    flow = terminal.write("serve.json", {"name": "serve", "workers": {
        "server": {"command": ["sh", "-c", "exit 3"], "service": True}, "client": {"command": ["sleep", "30"]}}})  # fmt: skip
    done = terminal.wattle("run", flow)
    assert done.returncode == 1
    assert "serve@1/server  failed: exit 3" in done.stdout
