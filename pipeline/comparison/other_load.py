"""How busy other programs keep this machine. Standard library only."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_SECONDS = 0.5
_IDLE = (3, 4)  # the columns of "cpu" that are no work: idle, and waiting for a disk


def busy_cores() -> float:
    """Cores that are busy while this process waits half a second; 0 where the system does not tell (not Linux).

    In a container, other containers count, too: they take the same cores. See proc_stat(5).
    """
    before = _busy_seconds()
    began = time.monotonic()
    time.sleep(_SECONDS)
    after = _busy_seconds()
    return max(0.0, after - before) / (time.monotonic() - began)


def _busy_seconds() -> float:
    """Of all cores together, since the machine was started; 0 if that is not known."""
    try:
        with _STATISTICS.open(encoding="ascii") as lines:
            name, *columns = next(lines).split()
    except (OSError, StopIteration, ValueError):
        return 0.0
    ticks = [int(column) for column in columns[:8]]  # what follows is part of these already
    busy = sum(count for place, count in enumerate(ticks) if place not in _IDLE)
    return busy / os.sysconf("SC_CLK_TCK") if name == "cpu" else 0.0
