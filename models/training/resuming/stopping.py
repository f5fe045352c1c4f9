"""Ctrl-C or a termination ends training between two steps, so that a checkpoint can keep its state."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_REQUEST = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal, and passed on by a parent such as `timeout` or make."""


class StopRequested(Exception):
    """Raised between steps, where the state of the training is consistent."""


@dataclass
class StopRequest:
    """Whether a signal requested a stop, and when (`time.monotonic`)."""

    since: float | None = None
    agree: Callable[[bool], bool] = bool
    """Whether any of the processes that train together is to stop, see `ProcessGroup.any`."""

    def check(self) -> None:
        """Raises StopRequested if a signal requested a stop; of several processes, all of them do so at once."""
        if self.agree(self.since is not None):
            raise StopRequested


def is_main_thread() -> bool:
    """Whether this thread may set the handlers of signals."""
    return threading.current_thread() is threading.main_thread()


def usual_handlers() -> dict[signal.Signals, Any]:
    """The current handlers of `SIGNALS`, without ignored signals, which must stay ignored (`nohup`)."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}


@contextlib.contextmanager
def stoppable(on_request: Callable[[], None] = lambda: None) -> Iterator[StopRequest]:
    """Within the block, a first SIGINT, SIGTERM or SIGHUP only requests a stop; a second one has its usual effect.

    `on_request` is called with the request, in the signal's handler.

    Outside the main thread nothing changes.
    """
    stop = StopRequest()
    if not is_main_thread():
        yield stop
        return
    before = usual_handlers()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.since is None:
            stop.since = time.monotonic()
            on_request()
        elif time.monotonic() - stop.since > SAME_REQUEST:
            _run_handler(before[signal.Signals(number)], number, frame)

    try:
        for number in before:
            signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_handler(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    else:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends the block with a TimeoutError after this many seconds; only in the main thread."""
    if not is_main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
