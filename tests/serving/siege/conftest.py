"""Makes the attackers' tools importable: `benchmarks` is not an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
