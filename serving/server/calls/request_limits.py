"""Limits for one request, and the budget of bytes and rows for all concurrent requests of a process.

A request is counted before it is expanded: its bytes as received, then the memory of its message and tensors and its
rows (strings, `tf.Example`s), then its response. Its reservation is released when it has ended in every thread, even
if no caller is still waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from serving.errors import Code, StatusError

_SMALL_SHARE = 8
"""One eighth of the bytes and rows is kept for small requests, so that large ones cannot shut them out."""

_SMALL_BYTES, _SMALL_ROWS = 2**18, 64
_MANY_BYTES = 2**24

Take = Callable[[int, int], None]
"""Reserves bytes and rows before they are allocated. Thread-safe.

Raises:
    StatusError: RESOURCE_EXHAUSTED.
"""


@dataclass(slots=True)
class Limits:
    """Limits for one request; decoders refuse more, and reserve memory before they expand it.

    Attributes:
        max_bytes: for a decompressed message, and for all its tensors together.
        max_rows: strings and `tf.Example`s.
        max_depth, max_values: for JSON.
        take: called with the bytes and rows of anything that is about to be created.
    """

    max_bytes: int = 2**26
    max_rows: int = 2**16
    max_depth: int = 64
    max_values: int = 2**22
    take: Take = lambda size, rows: None


NO_LIMITS = Limits(2**62, 2**62, 2**62, 2**62)
"""For the operator's own data."""


class Budget:
    """The bytes and rows that all requests of one process may hold together. Thread-safe.

    Args:
        max_bytes, max_rows: the limits.
        freed: called, in any thread, when a request has released many bytes.
    """

    def __init__(self, max_bytes: int, max_rows: int, freed: Callable[[], None] = lambda: None) -> None:
        self.max_bytes, self.max_rows, self.freed = max_bytes, max_rows, freed
        self.bytes = self.rows = 0
        self.lock = threading.Lock()


class Reservation:
    """One request's share of a budget. Call `release`, at least once, when the request has ended.

    Threads that work for the request call `keep` and `leave`, because they continue after the caller has left.
    """

    __slots__ = ("_budget", "_kept", "_released", "bytes", "rows")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = self.rows = 0
        self._kept, self._released = 0, False

    def take(self, size: int = 0, rows: int = 0) -> None:
        """Reserves more bytes and rows. Thread-safe.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the budget is too small; nothing was reserved.
        """
        budget = self._budget
        with budget.lock:
            if size > 0:
                most = _most(budget.max_bytes, self.bytes + size > _SMALL_BYTES)
                if budget.bytes + size > most:
                    raise _exhausted("bytes", budget.bytes, size, most, "max_pending_bytes")
            if rows > 0:
                most = _most(budget.max_rows, self.rows + rows > _SMALL_ROWS)
                if budget.rows + rows > most:
                    raise _exhausted("rows", budget.rows, rows, most, "max_pending_rows")
            self._add(size, rows)

    def keep(self) -> None:
        """Postpones `release` until `leave` has been called as often. Thread-safe."""
        with self._budget.lock:
            self._kept += 1

    def leave(self) -> None:
        """Ends one `keep`."""
        with self._budget.lock:
            self._kept -= 1
            released = self._release_if_unused()
        self._report(released)

    def release(self) -> None:
        """Releases everything, now or after the last `leave`."""
        with self._budget.lock:
            self._released = True
            released = self._release_if_unused()
        self._report(released)

    def _release_if_unused(self) -> int:
        """Returns the number of released bytes."""
        if not self._released or self._kept:
            return 0
        released = self.bytes
        self._add(-self.bytes, -self.rows)
        return released

    def _report(self, released: int) -> None:
        """Outside the lock, which every request needs: the callback may be slow."""
        if released >= _MANY_BYTES:
            self._budget.freed()

    def _add(self, size: int, rows: int) -> None:
        self.bytes, self.rows = self.bytes + size, self.rows + rows
        self._budget.bytes, self._budget.rows = self._budget.bytes + size, self._budget.rows + rows


def _most(limit: int, large: bool) -> int:
    return limit - limit // _SMALL_SHARE if large else limit


def _exhausted(what: str, held: int, more: int, most: int, flag: str) -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED,
        f"The requests in flight hold {held} {what}; {more} more would exceed {most} (--{flag}). Try again later, or "
        "send smaller requests",
    )
