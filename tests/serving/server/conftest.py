"""The fake service and the harness of the front ends' tests can be imported by their plain names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
