"""Extra threads while all regular ones are busy with long tasks and others wait."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from serving.errors import StatusError

LOG = logging.getLogger("serving")

_PATIENCE_SECONDS = 0.3
MAX_EXTRA_THREADS = 6
"""Enough for a few unexpectedly long tasks, and too few to overload a machine."""


class ExtraThreads:
    """Watches the waiting tasks from the event loop.

    Args:
        waiting: whether tasks wait.
        start: starts one more thread, which ends when no task waits and then calls `thread_ended`.

    Attributes:
        done: number of finished tasks; a thread that finishes one increments it.
    """

    def __init__(self, waiting: Callable[[], bool], start: Callable[[], object]) -> None:
        self._waiting, self._start = waiting, start
        self.done = self.threads = 0
        self._watching = False
        self._lock = threading.Lock()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts checking whether tasks make progress, as long as any wait; called with each new task."""
        if not self._watching and self._waiting():
            self._watching = True
            loop.call_later(_PATIENCE_SECONDS, self._check, loop, self.done)

    def thread_ended(self) -> None:
        """Called by an extra thread when it ends."""
        with self._lock:
            self.threads -= 1

    def _check(self, loop: asyncio.AbstractEventLoop, done: int) -> None:
        self._watching = False
        if self._waiting() and self.done == done and self.threads < MAX_EXTRA_THREADS:
            with self._lock:
                self.threads += 1
            try:
                self._start()
            except StatusError as error:  # no memory for a thread; try again later
                self.thread_ended()
                LOG.warning("Runs are waiting for long ones: %s", error)
        self.watch(loop)
