"""Ctrl-C, a termination and a closed terminal: the first ends the run in order, with what is kept; a second at once."""

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
from typing import TYPE_CHECKING, Any, NoReturn

from models.errors import Interrupted
from models.training.progress import format_duration

if TYPE_CHECKING:
    from pipeline.runs.run_records import Step

INTERRUPTED = 130  # what a shell reports of a process that SIGINT ended
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One Ctrl-C may arrive twice: from the terminal, and handed on by a parent such as `timeout` or make.
_SAME_REQUEST = 1.0


class Interruption:
    """Who is told of the requests to end, from another thread and without delay.

    Attributes:
        on_first: called when the first comes, whatever the main thread is busy with.
        on_second: called just before the process ends; must not wait for anything.
    """

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = lambda: None
        self.on_second: Callable[[], None] = lambda: None
        self._raised = False

    @property
    def requested(self) -> bool:
        """Whether KeyboardInterrupt was raised, whatever became of it."""
        return self._raised

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler: the first raises KeyboardInterrupt, `watch` sees to a second."""
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def watch(self, end: socket.socket) -> None:
        """Reads the signals' numbers as they arrive, whatever the main thread is busy with, until the socket closes."""
        first: float | None = None
        while received := end.recv(1):
            if received[0] not in SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                with contextlib.suppress(Exception):  # whatever it meets, the second must still be heard
                    self.on_first()
            elif time.monotonic() - first > _SAME_REQUEST:
                self._end()

    def _end(self) -> NoReturn:
        try:
            self.on_second()
        finally:
            os._exit(INTERRUPTED)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; a second one ends the process at once.

    At once means without any clean-up, even while TensorFlow compiles and lets no Python code run in the main thread.
    Signals that are ignored stay so (`nohup`).
    """
    interruption = Interruption()
    before: dict[signal.Signals, Any] = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN and handler is not None:
            before[number] = handler
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    watcher = threading.Thread(target=interruption.watch, args=(ours,), name="interruption", daemon=True)
    watcher.start()
    woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        for number in before:
            signal.signal(number, interruption.handle)
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        theirs.close()
        watcher.join(1.0)
        ours.close()


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error comes of a request to end: Beam, amid its rows, makes a RuntimeError of a KeyboardInterrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def explain_interruption(stopped: KeyboardInterrupt, steps: list[Step]) -> Interrupted:
    """What a person needs to know who has just ended a run: what is kept, what is lost, and how it goes on."""
    results = sum(step.status in ("done", "cached") for step in steps)
    kept = [f"the results of {results} step{'s' if results > 1 else ''}"] if results else []
    step = next((step for step in steps if step.status == "interrupted"), None)
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
