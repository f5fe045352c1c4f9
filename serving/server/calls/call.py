"""One request on its way: what it may be, what it holds, until when, and where it is worked on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from serving.server.calls.budget import Budget, Held, Limits
from serving.server.calls.worker_threads import INLINE_BYTES, Work, unchecked

MOST_INLINE_BYTES = 2**20
"""What may be made of a small request in the event loop."""

T = TypeVar("T")


class _ExpandsError(Exception):
    """A small request is about to become large: it is for a thread."""


class _Take:
    """What the limits of a call take. An object of its own: with a method of the call, each call would be a cycle."""

    __slots__ = ("held", "inline")

    def __init__(self, held: Held) -> None:
        self.held = held
        self.inline: int | None = None  # what may still be made in the event loop, None in a thread

    def __call__(self, size: int, rows: int) -> None:
        if self.inline is not None:
            self.inline -= size
            if self.inline < 0:
                raise _ExpandsError
        self.held.take(size, rows)


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

    __slots__ = ("_take", "_work", "deadline", "held", "limits", "size")

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
        self._take = _Take(self.held)
        self.limits = Limits(*most, self._take)

    async def run(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments, check)`: here where that is little work, else in a thread (see `Work.run`).

        Where `size`, in bytes, is small but the function takes much of the limits, it is called again, in a thread.
        """
        if size <= INLINE_BYTES:
            self._take.inline = MOST_INLINE_BYTES
            try:
                return function(*arguments, unchecked)
            except _ExpandsError:
                pass
            finally:
                self._take.inline = None
        return await self._work.run(self.held, size, self.deadline, function, *arguments)
