"""What a training has freed goes back to the system."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import heap

_PROGRAM = """
import json, resource
from pathlib import Path
from models import heap, runtime

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

runtime.prepare()
import tensorflow as tf

with heap.returned_memory():
    tf.random.uniform((500, 500))
    before = resident()
    values = [tf.random.uniform((500, 500)) for _ in range(200)]  # of 1 MB each
    taken = resident()
    del values
    kept = resident()
print(json.dumps([before, taken, kept, resident()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc and /proc")
def test_memory_of_tensors_is_kept_for_the_next_ones_and_goes_back_at_the_end(repository: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    before, taken, kept, after = json.loads(done.stdout.splitlines()[-1])
    assert taken - before > 190
    assert kept - before > 150, "the next step would fetch it anew"
    assert after - before < 60


def test_cycles_that_a_block_leaves_are_freed() -> None:
    class Node:
        freed = False

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Node.freed = True

    def fail() -> None:
        Node()
        raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"), heap.returned_memory():
        fail()
    assert Node.freed


def test_garbage_is_not_looked_for_among_what_was_there_at_the_first_call() -> None:
    def is_looked_at(one: object) -> bool:
        return any(each is one for each in gc.get_objects())

    gc.unfreeze()
    before: list[object] = [[]]
    assert is_looked_at(before)
    try:
        heap.keep_loaded()
        assert not is_looked_at(before)
        after: list[object] = [[]]
        heap.keep_loaded()
        assert is_looked_at(after)
    finally:
        gc.unfreeze()
