"""What the requests of one process may hold at the same time: bytes, and rows.

A request is counted before it is expanded: with the bytes that came, then with those that its tensors take in memory
and its rows (strings, `tf.Example`s), then with those of its answer. What it holds is given back when it has ended,
whoever still waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serving.errors import Code, StatusError

Take = Callable[[int, int], None]
"""Takes so many bytes and rows, before they are there. In any thread.

Raises:
    StatusError: RESOURCE_EXHAUSTED.
"""


def _nothing(size: int, rows: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be; what decodes it refuses more, and says what it expands.

    Attributes:
        max_bytes: of a message as it comes, unpacked, and of its tensors together.
        max_rows: strings and `tf.Example`s.
        max_depth, max_values: of JSON.
        take: to be called with the memory in bytes and the rows of what is about to be made.
    """

    max_bytes: int = 2**26
    max_rows: int = 2**14
    max_depth: int = 64
    max_values: int = 2**22
    take: Take = _nothing


class Budget:
    """Belongs to the event loop.

    Args:
        max_bytes: that all requests together may hold.
        max_rows: likewise.
    """

    def __init__(self, max_bytes: int, max_rows: int) -> None:
        self.max_bytes, self.max_rows = max_bytes, max_rows
        self.bytes = self.rows = 0


class Held:
    """What one request holds of a budget. Release it, once or more often, when the request has ended."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = self.rows = 0

    def take(self, *, size: int = 0, rows: int = 0) -> None:
        """Takes so many bytes and rows more.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, they are not there; nothing was taken.
        """
        budget = self._budget
        if size > 0 and budget.bytes + size > budget.max_bytes:
            raise _exhausted("bytes", budget.bytes, size, budget.max_bytes, "max_pending_bytes")
        if rows > 0 and budget.rows + rows > budget.max_rows:
            raise _exhausted("rows", budget.rows, rows, budget.max_rows, "max_pending_rows")
        self._add(size, rows)

    def release(self) -> None:
        """Gives everything back."""
        self._add(-self.bytes, -self.rows)

    def _add(self, size: int, rows: int) -> None:
        self.bytes, self.rows = self.bytes + size, self.rows + rows
        self._budget.bytes, self._budget.rows = self._budget.bytes + size, self._budget.rows + rows


def _exhausted(what: str, held: int, more: int, most: int, flag: str) -> StatusError:
    return StatusError(
        Code.RESOURCE_EXHAUSTED,
        f"The requests in flight hold {held} {what}; {more} more would exceed {most} (--{flag}). Ask again later, or "
        "send smaller requests",
    )
