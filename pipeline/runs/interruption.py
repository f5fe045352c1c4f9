"""Ctrl-C, SIGTERM and a closed terminal: the first signal ends the run cleanly, a second one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from models.errors import Interrupted, causes
from models.training.progress import format_duration
from models.training.resuming.stopping import SAME_REQUEST, SIGNALS, usual_handlers

if TYPE_CHECKING:
    from pipeline.runs.run_records import StepRecord

INTERRUPTED = 130  # a shell's exit code for a process that SIGINT ended


class Interruption:
    """Handles the requests to stop; the callbacks run in another thread, without delay.

    Attributes:
        on_first: called at the first request, even if the main thread is busy.
        on_second: called just before the process exits; must not block.
        requested: whether KeyboardInterrupt was raised, even if it was caught.
    """

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = lambda: None
        self.on_second: Callable[[], None] = lambda: None
        self.requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: the first signal raises KeyboardInterrupt; `watch` handles a second one."""
        if not self.requested:
            self.requested = True
            raise KeyboardInterrupt

    def watch(self, end: socket.socket) -> None:
        """Reads the signals' numbers as they arrive, even if the main thread is busy, until the socket closes."""
        first: float | None = None
        while received := end.recv(1):
            if received[0] not in SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                with contextlib.suppress(Exception):  # a second request must still be handled
                    self.on_first()
            elif time.monotonic() - first > SAME_REQUEST:
                self._end()

    def _end(self) -> NoReturn:
        try:
            self.on_second()
        finally:
            os._exit(INTERRUPTED)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; a second one ends the process at once.

    At once means without clean-up, even while TensorFlow compiles and no Python code runs in the main thread.
    """
    interruption = Interruption()
    before = usual_handlers()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    watcher = threading.Thread(target=interruption.watch, args=(receiver,), name="interruption", daemon=True)
    watcher.start()
    woken = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        for number in before:
            signal.signal(number, interruption.handle)
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        sender.close()
        watcher.join(1.0)
        receiver.close()


def is_interruption(error: BaseException) -> bool:
    """Whether an error comes from a request to stop: Beam turns a KeyboardInterrupt into a RuntimeError."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def explain_interruption(stopped: KeyboardInterrupt, steps: list[StepRecord]) -> Interrupted:
    """Explains an interruption to the user: what is kept, what is lost, and what running again does."""
    results = sum(step.status in ("done", "cached") for step in steps)
    kept = [f"the results of {results} step{'s' if results > 1 else ''}"] if results else []
    interrupted = [step for step in steps if step.status == "interrupted"]
    told = stopped.step if isinstance(stopped, Interrupted) else ""
    # Of several, the one that tells what it has kept, or that has run longest.
    step = max(interrupted, key=lambda one: (one.name == told, one.seconds), default=None)
    if not steps:
        return Interrupted("interrupted before the first step", lost="nothing", then="run again")
    if step is None:
        return Interrupted(
            "interrupted between two steps", kept="; ".join(kept), then="run it again: no step is repeated"
        )
    if isinstance(stopped, Interrupted):
        kept += [stopped.kept] if stopped.kept else []
        what, lost, then = f"interrupted in {step.name}: {stopped.what}", stopped.lost, stopped.then
    else:
        what = f"interrupted in {step.name}, after {format_duration(step.seconds)}"
        lost, then = f"{format_duration(step.seconds)} of {step.name}", f"{step.name} starts from its beginning"
    return Interrupted(what, kept="; ".join(kept), lost=lost, then=f"run it again: {then}")
