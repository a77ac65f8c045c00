"""No exception may vanish in a callback of the loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coordinator import desk


@pytest.fixture(autouse=True)
def _no_lost_exceptions() -> Iterator[None]:
    desk.COMPLAINTS.clear()
    yield
    assert not desk.COMPLAINTS
