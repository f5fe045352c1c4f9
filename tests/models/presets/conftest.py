from __future__ import annotations

from pathlib import Path

import pytest
import tiny_checkpoints
from reference_states import FAMILIES


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict, dict]]:
    """Model type to folder, configuration and tensors."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {kind: (root / kind, *tiny_checkpoints.write(root / kind, kind)) for kind in FAMILIES}
