"""Makes the helpers beside these tests importable, and starts the small server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_serving import FakeServing


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    """A server with the four models of `fake_serving`, on two free ports."""
    with FakeServing() as server:
        yield server
