"""Shuts down a serving process within a fixed time, whatever runs in it.

A thread receives SIGTERM and SIGINT, since the event loop may hang, and so may the main thread. It asks the loop to
drain and end. If that takes too long, faulthandler's watchdog ends the process; it needs neither the loop nor Python's
lock, and prints the stack of every thread. Before the ports are open there is nothing to drain, and the process ends at
once.
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
"""After the time to drain, for closing connections and models. What still runs then is left behind."""

WATCH_SECONDS = 3.5
"""After the time to drain, until the watchdog ends a process whose event loop hangs."""

KILL_SECONDS = 4.0
"""After the time to drain, until the supervisor kills a worker that has not ended."""

SECOND_SIGNAL_SECONDS = 0.25
"""A signal that arrives sooner is the same one: a terminal and a parent process may both send it."""

_LONGEST_WATCH = 1e6  # seconds; faulthandler refuses more than its clock can hold


class Shutdown:
    """See the module. Create it in the main thread.

    Args:
        drain_seconds: for requests in flight.
        second_signal_exits: whether a second signal ends the process at once. Not in a worker, which gets one from its
            supervisor and another from the terminal; there the supervisor handles the second one.

    Attributes:
        serving: whether there may be requests in flight.
    """

    def __init__(self, drain_seconds: float, *, second_signal_exits: bool) -> None:
        self._drain_seconds, self._second_signal_exits = drain_seconds, second_signal_exits
        self.serving = False
        self._begun: float | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)

    def handle_signals(self) -> None:
        """Handles the signals from now on."""
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, _ignore_in_main_thread)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._read_signals, name="transom_signals", daemon=True).start()

    def attach(self, stop: asyncio.Event) -> None:
        """Sets the event when the shutdown begins. Call it in the event loop."""
        with self._lock:
            self._loop, self._stop = asyncio.get_running_loop(), stop
            if self._begun is not None:
                stop.set()

    def begin(self) -> None:
        """Begins the shutdown. Any thread may call it; only the first call has an effect."""
        with self._lock:
            if self._begun is not None:
                return
            self._begun = time.monotonic()
            left = (self._drain_seconds if self.serving else 0.0) + WATCH_SECONDS
            if left < _LONGEST_WATCH:
                faulthandler.dump_traceback_later(left, exit=True, file=2)
            if self._loop is not None and self._stop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._stop.set)
        if not self.serving:
            LOG.info("stopped before anything was served")
            exit_now(0)

    def seconds_left(self) -> float:
        """Seconds until the process must have closed everything."""
        begun = time.monotonic() if self._begun is None else self._begun
        return begun + self._drain_seconds + CLOSE_SECONDS - time.monotonic()

    def _read_signals(self) -> None:
        while numbers := self._read.recv(64):
            for number in numbers:
                self._handle_signal(number)

    def _handle_signal(self, number: int) -> None:
        if self._begun is None:
            self.begin()
        elif self._second_signal_exits and time.monotonic() - self._begun > SECOND_SIGNAL_SECONDS:
            # Not through `logging`, whose lock a hanging thread may hold.
            os.write(2, f"{signal.Signals(number).name} again: exiting at once\n".encode())
            os._exit(128 + number)


def exit_now(code: int) -> NoReturn:
    """Ends the process at once, whatever its threads are doing."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ignore_in_main_thread(number: int, frame: object) -> None:
    """Must exist: Python passes the number of a signal to the thread only where the signal has a handler."""
