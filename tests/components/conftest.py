"""Makes the tiny models of `tests/models` importable, and exports each of them once: the gates ask them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))

if TYPE_CHECKING:
    from tiny_exports import Exported


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Kind of task to its model, exported as a run does it. Tests that change one copy it."""
    from tiny_exports import KINDS, export

    folder = tmp_path_factory.mktemp("exports")
    return {kind: export(kind, folder / kind / "Format-Serving") for kind in KINDS}
