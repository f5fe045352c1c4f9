"""Makes the helpers beside these tests importable: numpy_encoders, tiny_checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
