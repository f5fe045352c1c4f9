"""The memory that this process takes from the system, and giving it back. The C library's part is for Linux with glibc.

`serving.server.run.process_memory` does likewise for the server, which must not import `models`.
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
_MAPPED_BYTES = 2**28  # a larger array goes back as soon as it is freed, and leaves no gap
_MAPPED_BYTES_OF_OLD = 2**25
_CORES_PER_HEAP, _MOST_HEAPS = 2, 8  # each but the first keeps up to 64 MiB for good


def prepare(cores: int) -> None:
    """Has the C library keep for the next step what a step has freed, and TensorFlow take its memory from there.

    TensorFlow's own allocator for oneDNN keeps all the memory that it ever had (measured: "Training speed" in
    benchmarks/README.md). With a heap for every thread, as is usual, each keeps memory that others could use.
    Call it before a framework is loaded, while there are few threads; it holds for the whole process.

    Args:
        cores: that this process may use.
    """
    os.environ.setdefault(_SYSTEM_ALLOCATOR, "1")
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, min(max(1, cores // _CORES_PER_HEAP), _MOST_HEAPS))
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        # Older versions of glibc refuse what their further heaps cannot hold.
        if not library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES):
            library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_OF_OLD)


def keep_loaded() -> None:
    """Has Python no longer look for garbage among the objects of this moment; the first call in a process counts.

    To look through all that TensorFlow and TFX have loaded takes a third of a second, each time.
    """
    if not gc.get_freeze_count():
        gc.freeze()


@contextlib.contextmanager
def returned_memory() -> Iterator[None]:
    """Calls `give_back` after the block. After an exception, what its traceback refers to stays."""
    try:
        yield
    finally:
        give_back()


def give_back() -> None:
    """Gives back the free memory of the heap, also what objects in cycles hold."""
    gc.collect()
    trim()


def trim() -> None:
    """Gives back the free memory of the heap. Takes milliseconds, in which no other thread can allocate."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
