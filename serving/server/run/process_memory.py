"""The memory of this process: how much is still available, measuring the use of a block, and giving memory back.

For Linux. Elsewhere nothing is measured and nothing is limited.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

_SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_KEPT_BYTES = 2**28
"""Free memory at the end of the heap that the C library keeps; more is given back."""

_MAPPED_BYTES = 2**26
"""Larger allocations are given back at once. With a smaller value, runs of 64 rows fetch their pages again each time,
which was measured to take a third of their time; the tensors of a run of thousands of rows are larger."""

_HEAPS = 2
_TRIM_AFTER_SECONDS = 1.0
_PAGE = resource.getpagesize()
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file ", "active_file ")),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file ", "total_active_file "),
    ),
)
"""Folder, the names of the limit and the usage, and the lines of `memory.stat` for pages of files. Those count as used,
such as a model's files that were read, but the system reclaims them when needed."""


def prepare() -> None:
    """Makes TensorFlow give memory back after a run. Call it before a model is loaded, while there are few threads.

    TensorFlow's allocator for oneDNN keeps all the memory that it ever had: 3 GB after one run of 4,000 rows. The C
    library's gives it back. Two heaps serve all threads: each reserves 64 MiB of addresses, and the second can hold no
    large tensor; with a single heap, small requests took 2 to 4% more CPU because threads waited for it.
    """
    os.environ.setdefault(_SYSTEM_ALLOCATOR, "1")
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in (
            (_M_ARENA_MAX, _HEAPS),
            (_M_MMAP_THRESHOLD, _MAPPED_BYTES),
            (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        ):
            library.mallopt(parameter, value)


def trim() -> None:
    """Gives back the free memory of the heap. Takes milliseconds, in which no other thread can allocate."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Trimming:
    """Runs `trim` in the background, once at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def soon(self) -> None:
        """Trims in a second, when memory that was just released is free."""
        if self._lock.acquire(blocking=False):
            timer = threading.Timer(_TRIM_AFTER_SECONDS, self._trim)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # no memory for a thread: the next call may succeed
                self._lock.release()

    def _trim(self) -> None:
        self._lock.release()
        trim()


trim_soon = _Trimming().soon


def available(processes: int = 1) -> int | None:
    """The bytes that this process may still take, None if unknown.

    The memory of the machine and the container is shared by `processes`; the limit of addresses (`ulimit -v`) applies
    to each process.
    """
    try:
        addresses = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
        free = _field("/proc/meminfo", "MemAvailable:") // processes
    except (OSError, ValueError, StopIteration):
        return None
    for folder, limit, usage, of_files in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max", or no such controller
            left = int(Path(folder, limit).read_text()) - int(Path(folder, usage).read_text())
            free = min(free, (left + _file_bytes(Path(folder, "memory.stat"), of_files)) // processes)
    limit_of_addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit_of_addresses != resource.RLIM_INFINITY:
        free = min(free, limit_of_addresses - addresses)
    return max(free, 0)


class Peak:
    """The peak memory since `measured` began; `bytes` is None while unknown."""

    bytes: int | None = None


@contextlib.contextmanager
def measured() -> Iterator[Peak]:
    """Measures the block's peak memory beyond the memory in use before. Not reentrant.

    Memory that other threads take in the meantime is counted as well.
    """
    peak = Peak()
    try:
        trim()  # the use of free heap memory would not show
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _field("/proc/self/status", "VmRSS:")
    except (OSError, ValueError, StopIteration):
        yield peak
        return
    yield peak
    with contextlib.suppress(OSError, ValueError, StopIteration):
        peak.bytes = max(_field("/proc/self/status", "VmHWM:") - before, 0)


def _file_bytes(stat: Path, names: tuple[str, ...]) -> int:
    """The bytes of file pages in a container's memory."""
    return sum(int(line.split()[1]) for line in stat.read_text().splitlines() if line.startswith(names))


def _field(path: str, name: str) -> int:
    """The bytes in a field given in kB."""
    line = next(line for line in Path(path).read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
