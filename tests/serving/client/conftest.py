"""Makes the helpers beside these tests importable, and starts the small server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_serving import FakeServing


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    """A server with the four models of `fake_serving`, on two free ports."""
    with FakeServing() as server:
        yield server
