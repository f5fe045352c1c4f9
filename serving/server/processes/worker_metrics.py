"""The metrics that the supervisor has received from its workers. The counts of a dead worker are kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from serving.server.front.server_metrics import Metrics
from serving.server.processes.control_frames import FrameKind
from serving.server.processes.reloads import SendFrame

W = TypeVar("W")
Reply = Callable[[bytes], None]

PAGE_SECONDS = 1.0
"""How long a page waits for a worker; then it shows the worker's last metrics."""


@dataclasses.dataclass(eq=False)
class _PendingPage(Generic[W]):
    deadline: float
    waiting_for: set[W]
    reply: Reply


class WorkerMetrics(Generic[W]):
    """See the module. All times are `time.monotonic()`."""

    def __init__(self, send: SendFrame[W]) -> None:
        self._send = send
        self._last: dict[W, bytes] = {}
        self._departed = Metrics().dump()
        self._numbers = itertools.count(1)
        self._pages: dict[int, _PendingPage[W]] = {}

    def collect(self, workers: Iterable[W], reply: Reply, now: float) -> None:
        """Calls `reply` with the merged metrics of all workers, once they have arrived."""
        number, page = next(self._numbers), _PendingPage(now + PAGE_SECONDS, set(workers), reply)
        self._pages[number] = page
        for worker in list(page.waiting_for):
            self._send(worker, FrameKind.DO_METRICS, number, b"")

    def record(self, worker: W, number: int, dump: bytes) -> None:
        """Records a worker's metrics, for the page of that number or as a heartbeat (0)."""
        self._last[worker] = dump
        self._stop_waiting_for(worker, number)

    def worker_died(self, worker: W) -> None:
        """Keeps the counts of a dead worker, but not its gauges."""
        dump = self._last.pop(worker, None)
        if dump is not None:
            self._departed = Metrics.merged((self._departed, dump), gauges=False).dump()
        for number in list(self._pages):
            self._stop_waiting_for(worker, number)

    def next_expiry(self) -> float | None:
        """When `expire` should be called, None for no need."""
        return min((page.deadline for page in self._pages.values()), default=None)

    def expire(self, now: float) -> None:
        """Sends the pages that have waited long enough."""
        for number, page in list(self._pages.items()):
            if page.deadline <= now:
                self._send_page(number)

    def _stop_waiting_for(self, worker: W, number: int) -> None:
        page = self._pages.get(number)
        if page is not None and worker in page.waiting_for:
            page.waiting_for.discard(worker)
            if not page.waiting_for:
                self._send_page(number)

    def _send_page(self, number: int) -> None:
        self._pages.pop(number).reply(Metrics.merged((self._departed, *self._last.values())).dump())
