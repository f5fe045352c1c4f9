"""More threads where those that there are run the same tasks for long, and others wait."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from serving.errors import StatusError

LOG = logging.getLogger("serving")

_PATIENCE_SECONDS = 0.3
MOST = 6
"""Threads besides the others: enough for a few tasks that take unforeseen time, and too few to wear a machine out."""


class Relief:
    """Watches in the event loop while tasks wait.

    Args:
        waiting: whether tasks wait.
        start: starts one more thread, which ends when no task waits; it calls `left` then.

    Attributes:
        done: tasks that have ended; whoever ends one counts it here.
    """

    def __init__(self, waiting: Callable[[], bool], start: Callable[[], object]) -> None:
        self._waiting, self._start = waiting, start
        self.done = self.threads = 0
        self._watching = False
        self._lock = threading.Lock()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Looks, for as long as tasks wait, whether any of them has ended since; with each new task."""
        if not self._watching and self._waiting():
            self._watching = True
            loop.call_later(_PATIENCE_SECONDS, self._look, loop, self.done)

    def left(self) -> None:
        """One of the threads has ended. In any thread."""
        with self._lock:
            self.threads -= 1

    def _look(self, loop: asyncio.AbstractEventLoop, done: int) -> None:
        self._watching = False
        if self._waiting() and self.done == done and self.threads < MOST:
            with self._lock:
                self.threads += 1
            try:
                self._start()
            except StatusError as error:  # there is no memory for a thread; it is tried again
                self.left()
                LOG.warning("Runs wait for long ones: %s", error)
        self.watch(loop)
