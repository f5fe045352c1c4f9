"""Makes the helpers of the models' tests importable here (golden_text, tiny_byte_pairs), and those beside these."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "models")]
