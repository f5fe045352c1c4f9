"""What one request may be, and what the requests of one process may hold at the same time: bytes, and rows.

A request is counted before it is expanded: with the bytes that came, then with those that its message and its tensors
take in memory and its rows (strings, `tf.Example`s), then with those of its answer. What it holds is given back when it
has ended in every thread, whoever still waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from serving.errors import Code, StatusError

_FOR_THE_SMALL = 8
"""One in so many of the bytes and rows is kept for small requests, so that large ones do not keep them out."""

_SMALL_BYTES, _SMALL_ROWS = 2**18, 64
_MANY_BYTES = 2**24

Take = Callable[[int, int], None]
"""Takes so many bytes and rows, before they are there. In any thread.

Raises:
    StatusError: RESOURCE_EXHAUSTED.
"""


def _nothing(size: int, rows: int) -> None:
    pass


@dataclass(slots=True)
class Limits:
    """What one request may be; what decodes it refuses more, and says what it expands.

    Attributes:
        max_bytes: of a message as it comes, unpacked, and of its tensors together.
        max_rows: strings and `tf.Example`s.
        max_depth, max_values: of JSON.
        take: to be called with the memory in bytes and the rows of what is about to be made.
    """

    max_bytes: int = 2**26
    max_rows: int = 2**16
    max_depth: int = 64
    max_values: int = 2**22
    take: Take = _nothing


NO_LIMITS = Limits(2**62, 2**62, 2**62, 2**62)
"""For what is the operator's own."""


class Budget:
    """Of one process. Any thread may take and give.

    Args:
        max_bytes: that all requests together may hold.
        max_rows: likewise.
        freed: called, in any thread, when a request has given back many bytes.
    """

    def __init__(self, max_bytes: int, max_rows: int, freed: Callable[[], None] = lambda: None) -> None:
        self.max_bytes, self.max_rows, self.freed = max_bytes, max_rows, freed
        self.bytes = self.rows = 0
        self.lock = threading.Lock()


class Held:
    """What one request holds of a budget. `release` it, once or more often, when the request has ended.

    What works for it in a thread keeps it in between (`keep`, `leave`): a thread goes on after its caller has left.
    """

    __slots__ = ("_budget", "_kept", "_released", "bytes", "rows")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = self.rows = 0
        self._kept, self._released = 0, False

    def take(self, size: int = 0, rows: int = 0) -> None:
        """Takes so many bytes and rows more. In any thread.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, they are not there; nothing was taken.
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
        """Puts off `release` until as many `leave` have been called. In any thread."""
        with self._budget.lock:
            self._kept += 1

    def leave(self) -> None:
        """Ends one `keep`."""
        with self._budget.lock:
            self._kept -= 1
            given = self._give_back()
        self._tell(given)

    def release(self) -> None:
        """Gives everything back, now or when nothing keeps it any more."""
        with self._budget.lock:
            self._released = True
            given = self._give_back()
        self._tell(given)

    def _give_back(self) -> int:
        """The bytes that were given back."""
        if not self._released or self._kept:
            return 0
        given = self.bytes
        self._add(-self.bytes, -self.rows)
        return given

    def _tell(self, given: int) -> None:
        """Not under the lock, which every request needs: whoever hears of it may take its time."""
        if given >= _MANY_BYTES:
            self._budget.freed()

    def _add(self, size: int, rows: int) -> None:
        self.bytes, self.rows = self.bytes + size, self.rows + rows
        self._budget.bytes, self._budget.rows = self._budget.bytes + size, self._budget.rows + rows


def _most(limit: int, large: bool) -> int:
    return limit - limit // _FOR_THE_SMALL if large else limit


def _exhausted(what: str, held: int, more: int, most: int, flag: str) -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED,
        f"The requests in flight hold {held} {what}; {more} more would exceed {most} (--{flag}). Ask again later, or "
        "send smaller requests",
    )
