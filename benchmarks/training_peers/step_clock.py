"""When the steps of a training ended, and the figures that follow (standard library only)."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence

# The rate leaves these steps out: they allocate, and compile.
_FIRST_STEPS = 5


class StepClock:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._ends: list[float] = []

    def step_ended(self) -> None:
        self._ends.append(time.perf_counter())

    def print_figures(self, tokens: Sequence[int]) -> None:
        """Prints the figures of a training that has just ended, as one line of JSON.

        Args:
            tokens: of each step, without padding.
        """
        ends, first = self._ends, min(_FIRST_STEPS, len(self._ends) - 1)
        figures = {
            "tokens_per_second": sum(tokens[first : len(ends)]) / (ends[-1] - ends[first - 1]),
            "first_step_seconds": ends[0] - self._began,
            "seconds": time.perf_counter() - self._began,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        }
        print(json.dumps(figures))
