"""One request in progress: its limits, reservation, deadline, and the threads that work on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from serving.server.calls.request_limits import Budget, Limits, Reservation
from serving.server.calls.worker_threads import INLINE_BYTES, WorkerThreads, unchecked

MAX_INLINE_BYTES = 2**20
"""Memory that a small request may take in the event loop."""

T = TypeVar("T")


class _ExpandsError(Exception):
    """A small request is about to become large and belongs in a thread."""


class _Take:
    """The `take` of a request's limits. As a method of `RequestContext` it would make each one a reference cycle."""

    __slots__ = ("held", "inline")

    def __init__(self, held: Reservation) -> None:
        self.held = held
        self.inline: int | None = None  # bytes left for work in the event loop, None in a thread

    def __call__(self, size: int, rows: int) -> None:
        if self.inline is not None:
            self.inline -= size
            if self.inline < 0:
                raise _ExpandsError
        self.held.take(size, rows)


class RequestContext:
    """One request in progress.

    Args:
        most: maximum bytes, rows, JSON depth and JSON values; unlimited by default.
        held: the request's reservation.
        deadline: by the event loop's clock, None for none: a request that has not started by then is not run.
        size: bytes of the decompressed request.
        work: the threads.

    Attributes:
        limits: for decoders; what they take is added to the reservation.
    """

    __slots__ = ("_take", "_work", "deadline", "held", "limits", "size")

    def __init__(
        self,
        most: tuple[int, int, int, int] = (2**62, 2**62, 2**62, 2**62),
        held: Reservation | None = None,
        deadline: float | None = None,
        size: int = 0,
        work: WorkerThreads | None = None,
    ) -> None:
        self.held = held or Reservation(Budget(sys.maxsize, sys.maxsize))
        self.deadline, self.size, self._work = deadline, size, work or WorkerThreads()
        self._take = _Take(self.held)
        self.limits = Limits(*most, self._take)

    async def run(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments, check)`: a small amount of work here, else in a thread (see `WorkerThreads.run`).

        If `size`, in bytes, is small but the function takes much memory, it is called again in a thread.
        """
        if size <= INLINE_BYTES:
            self._take.inline = MAX_INLINE_BYTES
            try:
                return function(*arguments, unchecked)
            except _ExpandsError:
                pass
            finally:
                self._take.inline = None
        return await self._work.run(self.held, size, self.deadline, function, *arguments)
