"""What a training has freed goes back to the system."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import heap

_PROGRAM = """
import json, sys
from pathlib import Path
from models import heap, runtime

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

runtime.prepare()
import tensorflow as tf

before = resident()
with heap.returned_memory():
    values = [tf.random.uniform((500, 500)) for _ in range(200)]  # of 1 MB each
    taken = resident()
    del values
print(json.dumps([before, taken, resident()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc and /proc")
def test_memory_of_tensors_goes_back(repository: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, check=True)
    before, taken, after = json.loads(done.stdout.splitlines()[-1])
    assert taken - before > 190
    assert after - before < 60


def test_cycles_that_a_block_leaves_are_freed_and_the_collector_is_as_before() -> None:
    class Node:
        freed = False

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Node.freed = True

    def fail() -> None:
        Node()
        assert gc.get_freeze_count()
        raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"), heap.returned_memory():
        fail()
    assert Node.freed
    assert gc.get_freeze_count() == 0
