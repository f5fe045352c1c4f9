"""A clock for upper bounds on delays, which holds on a machine that does other work, too."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def unhindered_time() -> float:
    """Seconds, without those during which threads of this process were ready to run but had to wait for a core.

    A difference of two is at most the wall-clock time, and equal to it on a quiet machine. So a bound of a second
    on it finds a stall of a second that this process causes, and not one that others cause. Linux counts the waits;
    elsewhere this is `time.monotonic()`.
    """
    waited = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            waited += int(thread.read_text().split()[1])
    return time.monotonic() - waited / 1e9
