"""Work that is done once for all callers that request it at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_PAUSE_FACTOR = 4  # of the work's duration: the work gets a fifth of the time at most, however many callers there are
_MAX_PAUSE_SECONDS = 0.2


class SingleFlight(Generic[T]):
    """Shares one run of the work among its callers.

    Callers that come while the work runs wait for the next run, which they share: no caller gets a result that was
    begun before its call. The work continues when its callers have left. Use it in the event loop only.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._not_before = 0.0

    async def __call__(self) -> T:
        """Returns what the work returns, or raises what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
        return await asyncio.shield(self._next)

    async def _run_after(self, other: asyncio.Task[T] | None) -> T:
        if other is not None:
            await asyncio.wait((other,))
            await asyncio.sleep(self._not_before - time.monotonic())
        self._running, self._next = self._next, None
        start = time.monotonic()
        try:
            return await self._work()
        finally:
            end = time.monotonic()
            self._not_before = end + min(_PAUSE_FACTOR * (end - start), _MAX_PAUSE_SECONDS)
