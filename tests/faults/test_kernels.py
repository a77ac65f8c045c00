"""A few kills of `python -m tests.faults --kernels` in every run of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kernels import play


@pytest.mark.slow
def test_runs_do_not_notice_that_twenty_kernels_are_killed_while_they_show_them(tmp_path: Path) -> None:
    told = play(tmp_path, seed=1, kills=20)
    assert told["wrong"] == []
    assert told["runs"] >= 3, "some were started before their kernel was killed"
