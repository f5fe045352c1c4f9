"""The end of a serving process, which comes within a time whatever runs in it.

SIGTERM and SIGINT are heard by a thread: the event loop may hang, and so may the main thread. It asks the loop to drain
and end. What is not over in time is left to faulthandler's watch, which needs neither the loop nor Python's lock; it
tells where every thread is. Before the ports are open nothing is to be drained, and the end comes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

LOG = logging.getLogger("serving")

CLOSE_SECONDS = 3.0
"""After the time to drain: for connections and models to be closed. What still runs then is left behind."""

WATCH_SECONDS = 3.5
"""After the time to drain: for all of that where the event loop hangs."""

KILL_SECONDS = 4.0
"""After the time to drain: for a worker to have ended, before its supervisor kills it."""

SECOND_SIGNAL_SECONDS = 0.25
"""A signal that comes sooner is the same one, by another way: from the terminal and from a parent that passes it on."""

_LONGEST_WATCH = 1e6  # seconds; faulthandler refuses more than its clock holds


class Ending:
    """See the module. Made in the main thread.

    Args:
        drain_seconds: for requests in flight.
        insists: whether a second signal ends the process at once. A worker gets one from its supervisor and another
            from the terminal; there the supervisor sees to it.

    Attributes:
        serving: whether there may be requests in flight.
    """

    def __init__(self, drain_seconds: float, *, insists: bool) -> None:
        self._drain_seconds, self._insists = drain_seconds, insists
        self.serving = False
        self._begun: float | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)

    def listen(self) -> None:
        """Heeds the signals from now on."""
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, _noted_by_the_thread)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._heed, name="transom_signals", daemon=True).start()

    def attach(self, stop: asyncio.Event) -> None:
        """Sets the event when the end begins. In the event loop."""
        with self._lock:
            self._loop, self._stop = asyncio.get_running_loop(), stop
            if self._begun is not None:
                stop.set()

    def begin(self) -> None:
        """Begins the end. In any thread; only the first call counts."""
        with self._lock:
            if self._begun is not None:
                return
            self._begun = time.monotonic()
            left = (self._drain_seconds if self.serving else 0.0) + WATCH_SECONDS
            if left < _LONGEST_WATCH:
                faulthandler.dump_traceback_later(left, exit=True, file=2)
            if self._loop is not None and self._stop is not None:
                with contextlib.suppress(RuntimeError):  # it is closed
                    self._loop.call_soon_threadsafe(self._stop.set)
        if not self.serving:
            LOG.info("stopped before anything was served")
            leave(0)

    def left(self) -> float:
        """Seconds from now until the process has to have closed all."""
        begun = time.monotonic() if self._begun is None else self._begun
        return begun + self._drain_seconds + CLOSE_SECONDS - time.monotonic()

    def _heed(self) -> None:
        while numbers := self._read.recv(64):
            for number in numbers:
                self._signalled(number)

    def _signalled(self, number: int) -> None:
        if self._begun is None:
            self.begin()
        elif self._insists and time.monotonic() - self._begun > SECOND_SIGNAL_SECONDS:
            # Not through `logging`, whose lock may be held by what hangs.
            os.write(2, f"{signal.Signals(number).name} again: ended at once\n".encode())
            os._exit(128 + number)


def leave(code: int) -> NoReturn:
    """Ends the process now, whatever its threads are doing."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _noted_by_the_thread(number: int, frame: object) -> None:
    """Python writes the number of a signal for the thread only where the signal has a handler."""
