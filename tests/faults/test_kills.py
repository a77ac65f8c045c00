"""A few rounds of `python -m tests.faults` in every run of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import routers
from tests.faults.harness import TARGETS, play


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", TARGETS)
def test_a_run_ends_truthfully_by_itself_after_kill_9(tmp_path: Path, target: str, seed: int) -> None:
    told = play(tmp_path, seed, target, workers=60)
    assert told["wrong"] == []
    assert told["status"] == "failed", "some workers are meant to fail"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_live_edges_and_batch_work_and_those_who_follow_outlive_twenty_routers(tmp_path: Path) -> None:
    assert routers.play(tmp_path, seed=1, kills=19) == [], "the twentieth dies as the engine ends"
