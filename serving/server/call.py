"""One request on its way: what it may be, what it holds, until when, and where it is worked on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from serving.server.budget import Budget, Held, Limits
from serving.server.work import INLINE_BYTES, Work, unchecked

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """See the module.

    Attributes:
        limits: of what is decoded; `take` counts against what is held.
        held: what the request holds of the process's budget.
        deadline: a time of the event loop's clock, None for none: a request that has not begun by then is not run.
        size: bytes of the request as it came, unpacked.
    """

    limits: Limits = field(default_factory=Limits)
    held: Held = field(default_factory=lambda: Held(Budget(sys.maxsize, sys.maxsize)))
    deadline: float | None = None
    size: int = 0
    work: Work = field(default_factory=Work)

    async def run(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments, check)`: here where `size`, in bytes, is small, else in a thread (see `Work.run`)."""
        if size <= INLINE_BYTES:
            return function(*arguments, unchecked)
        return await self.work.run(self.held, size, self.deadline, function, *arguments)
