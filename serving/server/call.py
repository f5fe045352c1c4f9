"""One request on its way: what it may be, what it holds, until when, and where it is worked on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from serving.server.budget import Budget, Held, Limits
from serving.server.work import INLINE_BYTES, Work, unchecked

MOST_INLINE_BYTES = 2**20
"""What may be made of a small request in the event loop."""

T = TypeVar("T")


class _ExpandsError(Exception):
    """A small request is about to become large: it is for a thread."""


class Call:
    """See the module.

    Args:
        most: of bytes, rows, and depth and values of JSON; the default: any.
        held: what the request holds of the process's budget.
        deadline: a time of the event loop's clock, None for none: a request that has not begun by then is not run.
        size: bytes of the request as it came, unpacked.
        work: the threads.

    Attributes:
        limits: for what decodes; what it takes is counted as held.
    """

    __slots__ = ("_inline", "_work", "deadline", "held", "limits", "size")

    def __init__(
        self,
        most: tuple[int, int, int, int] = (2**62, 2**62, 2**62, 2**62),
        held: Held | None = None,
        deadline: float | None = None,
        size: int = 0,
        work: Work | None = None,
    ) -> None:
        self.held = held or Held(Budget(sys.maxsize, sys.maxsize))
        self.deadline, self.size, self._work = deadline, size, work or Work()
        self.limits = Limits(*most, self._take)
        self._inline: int | None = None

    async def run(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments, check)`: here where that is little work, else in a thread (see `Work.run`).

        Where `size`, in bytes, is small but the function takes much of the limits, it is called again, in a thread.
        """
        if size <= INLINE_BYTES:
            self._inline = MOST_INLINE_BYTES
            try:
                return function(*arguments, unchecked)
            except _ExpandsError:
                pass
            finally:
                self._inline = None
        return await self._work.run(self.held, size, self.deadline, function, *arguments)

    def _take(self, size: int, rows: int) -> None:
        if self._inline is not None:
            self._inline -= size
            if self._inline < 0:
                raise _ExpandsError
        self.held.take(size, rows)
