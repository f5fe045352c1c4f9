"""Short runs in the event loop itself, for a process that has one core to run models on.

A thread gains nothing there, and costs as much as a small model does: two switches, caches gone cold, waits for the
interpreter's lock. Whether a run will be short is known from earlier ones of the same servable and about the same
size. What is long, or not known yet, is left to a thread, so that the loop looks at its sockets every few milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from weakref import WeakKeyDictionary

import numpy as np

from serving.server.servable import Servable

SHORT = 0.004
"""Seconds of a short run, and of all runs between two looks at the sockets."""

_FORGETTING = 0.9
"""What becomes of the longest run with each other run: one that was long by chance is forgotten after a few."""


class Near:
    """Which runs happen in the event loop, and when."""

    def __init__(self) -> None:
        self._longest: WeakKeyDictionary[Servable, dict[int, float]] = WeakKeyDictionary()
        self._waiting: deque[Callable[[], None]] = deque()
        self._turn_ends = 0.0
        self._in_turn = self._working = False

    def note(self, servable: Servable, size: int, seconds: float) -> None:
        """Learns from a run, in any thread; `size` is what `size_of` gives."""
        known = self._longest.setdefault(servable, {})
        known[size] = max(seconds, known.get(size, 0.0) * _FORGETTING)

    def takes(self, servable: Servable, size: int) -> bool:
        """Whether a run will be short, as far as can be told, and keep the loop waiting for no other."""
        return not servable.waits and self._longest.get(servable, {}).get(size, math.inf) <= SHORT

    def do(self, run: Callable[[], None]) -> None:
        """Calls `run`: at once, or after what waits already where this turn of the loop has had its share."""
        self._waiting.append(run)
        if not self._in_turn:
            self._turn()
        elif not self._working:
            self._work()

    def soon(self, run: Callable[[], None]) -> None:
        """Calls `run` in the next turn of the loop."""
        self._waiting.append(run)
        if not self._in_turn:
            self._in_turn = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_ends = time.perf_counter() + SHORT
        self._in_turn = bool(self._waiting)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
            self._work()

    def _work(self) -> None:
        self._working = True
        try:
            while self._waiting and time.perf_counter() < self._turn_ends:
                self._waiting.popleft()()
        finally:
            self._working = False


def size_of(feeds: Iterable[Mapping[str, np.ndarray]]) -> int:
    """The bits that the number of bytes of all arrays has; strings count by their own bytes."""
    total = sum(_bytes(array) for one in feeds for array in one.values())
    return total.bit_length()


def _bytes(array: np.ndarray) -> int:
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes
