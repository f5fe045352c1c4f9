"""Makes the tiny models of `tests/models` importable: the gate serves them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
