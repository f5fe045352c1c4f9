"""The metrics that the supervisor has heard of its workers: what a dead one counted goes on to count."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from serving.server.front.server_metrics import Metrics
from serving.server.processes.frames import Kind
from serving.server.processes.reloads import Send

W = TypeVar("W")
Answer = Callable[[bytes], None]

PAGE_SECONDS = 1.0
"""So long a page waits for a worker; then it shows what was heard of it before."""


@dataclasses.dataclass(eq=False)
class _Page(Generic[W]):
    by: float
    left: set[W]
    answer: Answer


class Heard(Generic[W]):
    """See the module. All times are `time.monotonic()`.

    Args:
        send: tells a worker that it shall tell its metrics.
    """

    def __init__(self, send: Send[W]) -> None:
        self._send = send
        self._last: dict[W, bytes] = {}
        self._departed = Metrics().dump()
        self._numbers = itertools.count(1)
        self._pages: dict[int, _Page[W]] = {}

    def ask(self, workers: Iterable[W], answer: Answer, now: float) -> None:
        """Collects the metrics of all workers, merged, for `answer`."""
        number, page = next(self._numbers), _Page(now + PAGE_SECONDS, set(workers), answer)
        self._pages[number] = page
        for worker in list(page.left):
            self._send(worker, Kind.DO_METRICS, number)

    def heard(self, worker: W, number: int, dump: bytes) -> None:
        """A worker has told its metrics, for the page of that number or as a sign of life (0)."""
        self._last[worker] = dump
        self._without(worker, number)

    def leave(self, worker: W) -> None:
        """A worker has died: what it counted stays, the state of its models does not."""
        dump = self._last.pop(worker, None)
        if dump is not None:
            self._departed = Metrics.merged((self._departed, dump), gauges=False).dump()
        for number in list(self._pages):
            self._without(worker, number)

    def due(self) -> float | None:
        """When `expire` should be called, None for no need."""
        return min((page.by for page in self._pages.values()), default=None)

    def expire(self, now: float) -> None:
        """Ends the pages that have waited long enough."""
        for number, page in list(self._pages.items()):
            if page.by <= now:
                self._end(number)

    def _without(self, worker: W, number: int) -> None:
        page = self._pages.get(number)
        if page is not None and worker in page.left:
            page.left.discard(worker)
            if not page.left:
                self._end(number)

    def _end(self, number: int) -> None:
        self._pages.pop(number).answer(Metrics.merged((self._departed, *self._last.values())).dump())
