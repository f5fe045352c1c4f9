"""Work that is done once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_PAUSES = 4  # times what the work took: it gets a fifth of the time at most, however many ask
_LONGEST_PAUSE = 0.2


class Coalesced(Generic[T]):
    """Who asks while the work is being done waits for the next time, together with all who ask meanwhile: nobody gets
    what was begun before it was asked for. It goes on when they have left. Belongs to the event loop.

    Args:
        work: what is done.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._not_before = 0.0

    async def __call__(self) -> T:
        """What the work gives, or raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, other: asyncio.Task[T] | None) -> T:
        if other is not None:
            await asyncio.wait((other,))
            await asyncio.sleep(self._not_before - time.monotonic())
        self._running, self._next = self._next, None
        start = time.monotonic()
        try:
            return await self._work()
        finally:
            end = time.monotonic()
            self._not_before = end + min(_PAUSES * (end - start), _LONGEST_PAUSE)
