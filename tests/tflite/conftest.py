"""Makes the helpers of the models' tests importable here: golden_text, tiny_byte_pairs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
