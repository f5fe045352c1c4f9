"""The memory of this process: how much more it may take, what something takes of it, and giving it back. Linux's.

Elsewhere nothing is known, and nothing is limited.
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
"""The C library gives back what is free at the end of its heap beyond this."""

_MAPPED_BYTES = 2**26
"""What is at least as large is given back at once. Smaller, and runs of 64 rows would fetch their pages anew each time,
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
"""The folder, and the names of the limit, the usage, and what in `memory.stat` are pages of files. Those count as used,
a model's files that were read among them, but the system takes them back when memory is asked for."""


def prepare() -> None:
    """Makes TensorFlow give back what a run took. To be called before a model is loaded, while there are few threads.

    TensorFlow's allocator for oneDNN keeps all that it ever had: 3 GB after one run of 4,000 rows. That of the C
    library gives it back. Two heaps serve all threads: each reserves 64 MiB of addresses, and the second can hold no
    large tensor; with a single one, small requests took 2 to 4% more CPU, as threads waited for it.
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
    """Gives back what is free in the heap. It takes milliseconds, in which nobody else can allocate."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Trimming:
    """At most one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def soon(self) -> None:
        """Trims in a second, when what was just let go is free."""
        if self._lock.acquire(blocking=False):
            timer = threading.Timer(_TRIM_AFTER_SECONDS, self._trim)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # there is no memory for a thread: the next one may have more luck
                self._lock.release()

    def _trim(self) -> None:
        self._lock.release()
        trim()


trim_soon = _Trimming().soon


def available(processes: int = 1) -> int | None:
    """The bytes that this process may still take, None where that is not known.

    What the machine and the container have is shared by as many processes; the limit of addresses (`ulimit -v`) is each
    process's own.
    """
    try:
        addresses = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
        free = _machine() // processes
    except (OSError, ValueError, StopIteration):
        return None
    for folder, limit, usage, of_files in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max", or no such controller
            left = int(Path(folder, limit).read_text()) - int(Path(folder, usage).read_text())
            free = min(free, (left + _of_files(Path(folder, "memory.stat"), of_files)) // processes)
    limit_of_addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit_of_addresses != resource.RLIM_INFINITY:
        free = min(free, limit_of_addresses - addresses)
    return max(free, 0)


class Peak:
    """What was taken at most since `measured` began; `bytes` is None while that is not known."""

    bytes: int | None = None


@contextlib.contextmanager
def measured() -> Iterator[Peak]:
    """Finds out how much memory the block took at most beyond what there was. One at a time.

    What other threads take in the meantime is counted as well.
    """
    peak = Peak()
    try:
        trim()  # what is free in the heap would be taken without being seen
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        before = _status("VmRSS:")
    except (OSError, ValueError, StopIteration):
        yield peak
        return
    yield peak
    with contextlib.suppress(OSError, ValueError, StopIteration):
        peak.bytes = max(_status("VmHWM:") - before, 0)


def _of_files(stat: Path, names: tuple[str, ...]) -> int:
    """The bytes of files in a container's memory."""
    return sum(int(line.split()[1]) for line in stat.read_text().splitlines() if line.startswith(names))


def _machine() -> int:
    return _field("/proc/meminfo", "MemAvailable:")


def _status(name: str) -> int:
    return _field("/proc/self/status", name)


def _field(path: str, name: str) -> int:
    """Bytes of a field that is in kB."""
    line = next(line for line in Path(path).read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
