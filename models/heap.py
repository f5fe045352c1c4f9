"""The memory that this process has taken from the system, and giving it back. For Linux with glibc; elsewhere nothing.

`serving.server.run.process_memory` does the same for a server, which uses nothing of this project.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator

_SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# A step frees what the next one takes again. What is given back in between is fetched anew, page by page.
_KEPT_BYTES = 2**30


def prepare(heaps: int) -> None:
    """Has the C library keep for the next step what a step has freed, and TensorFlow take its memory from there.

    TensorFlow's own allocator for oneDNN keeps all the memory that it ever had (measured: "Training speed" in
    benchmarks/README.md). Call it before a framework is loaded, while there are few threads.

    Args:
        heaps: that threads share. More take more memory; with fewer, threads wait for each other.
    """
    os.environ.setdefault(_SYSTEM_ALLOCATOR, "1")
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in (
            (_M_ARENA_MAX, heaps),
            (_M_MMAP_THRESHOLD, _KEPT_BYTES),
            (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        ):
            library.mallopt(parameter, value)


@contextlib.contextmanager
def returned_memory() -> Iterator[None]:
    """Gives back memory that is free, before and after the block, also what objects in cycles hold.

    Within it and at its end, Python looks for cycles only among what was made since: with TensorFlow and TFX loaded, to
    look through everything takes a third of a second.
    """
    gc.collect()
    trim()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        trim()


def trim() -> None:
    """Gives back the free memory of the heap. Takes milliseconds, in which no other thread can allocate."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
