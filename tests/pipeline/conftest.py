"""Makes the tiny models of `tests/models` importable: bundles are made of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
