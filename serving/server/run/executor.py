"""Runs happen in threads, off the event loop: tasks go out through a queue, and come back many at a wake-up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.servable import Servable
from serving.server.run.relief_threads import Relief

DEADLINE = "Deadline exceeded before the model answered"

_BEHIND = 5  # Linux's "nice" is a thread's own; weight 335 to 1024

Left = Callable[[], float | None]
"""The seconds that are left to a run, None without a deadline. Raises StatusError where nobody waits for it."""

Run = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str], Left], list[np.ndarray]]


class Task:
    """One run of a servable, and the future of the event loop that waits for it.

    Args:
        servable: what runs it.
        feeds, fetches: see `Servable.run`.
        expires: `time.monotonic()` by which it must have begun, None for never.
        finished: called in the event loop with the seconds of the run (None where it gave nothing), exactly once,
            whether anybody still waits or not.
    """

    __slots__ = (
        "_begun",
        "_ended",
        "_timer",
        "error",
        "expires",
        "feeds",
        "fetches",
        "finished",
        "future",
        "outputs",
        "seconds",
        "servable",
    )

    def __init__(
        self,
        servable: Servable,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        future: asyncio.Future[list[np.ndarray]],
        expires: float | None = None,
        finished: Callable[[float | None], None] = lambda seconds: None,
    ) -> None:
        self.servable, self.feeds, self.fetches = servable, feeds, fetches
        self.future, self.expires, self.finished = future, expires, finished
        self.outputs: list[np.ndarray] | None = None
        self.error: StatusError | None = None
        self.seconds: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = self._ended = False

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits: false after a deadline or a cancellation, in any thread."""
        return not self.future.done()

    def timeout(self) -> float | None:
        """The seconds that are left to it; negative when they are over."""
        return None if self.expires is None else self.expires - time.monotonic()

    def left(self) -> float | None:
        """The seconds that are left to it, asked when it begins.

        Raises:
            StatusError: nobody waits any more.
        """
        self._begun = True
        timeout = self.timeout()
        if timeout is not None and timeout <= 0:
            raise StatusError(Code.DEADLINE_EXCEEDED, DEADLINE)
        if not self.wanted:
            raise StatusError(Code.CANCELLED, "Cancelled")
        return timeout

    def watch(self) -> None:
        """Sees to it that nobody waits beyond the deadline, whatever the threads are doing. In the event loop."""
        timeout = self.timeout()
        if timeout is not None:
            self._timer = self.future.get_loop().call_later(max(timeout, 0.0), self._expire)

    def _expire(self) -> None:
        if self.wanted:
            self.future.set_exception(StatusError(Code.DEADLINE_EXCEEDED, DEADLINE))

    def drop_when_unwanted(self) -> None:
        """Gives up what a large task holds as soon as nobody waits for it, not when its turn comes."""
        self.future.add_done_callback(self._drop)

    def _drop(self, future: Any) -> None:
        # The thread looks whether it is wanted after it has said that it begins: no run finds its feeds gone.
        if not self._begun:
            self.feeds = {}
            self._end()

    def run(self, run: Run) -> None:
        """Runs it, unless nobody waits any more. In a thread."""
        started = time.perf_counter()
        try:
            self.left()
            self.outputs = run(self.servable, self.feeds, self.fetches, self.left)
            self.seconds = time.perf_counter() - started
        except StatusError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 whatever it is, its caller must hear of it and the thread go on
            self.error = internal(error)

    def settle(self) -> None:
        """Hands the outputs, or the error, to who waits. In the event loop."""
        self._end()
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.outputs or [])

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended:
            self._ended = True
            self.finished(self.seconds)


def at_once(
    servable: Servable, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], left: Left
) -> list[np.ndarray]:
    """The `Run` of small tasks."""
    return servable.run(feeds, fetches, left())


def internal(error: BaseException) -> StatusError:
    """An error that nothing foresaw, as the answer to a request."""
    return StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")


class Executor(Protocol):
    """Runs tasks. `submit` is called in the event loop."""

    def submit(self, task: Task) -> None:
        """Takes a task, or refuses it at once.

        Raises:
            StatusError: it is not taken, and will not be settled.
        """
        ...

    def stop(self) -> None:
        """Ends the threads, after what is queued. Blocks."""
        ...


class Settled:
    """Tasks on their way back to the event loop, which is woken once for all that wait there.

    Waking it is a system call and a turn of the loop, the largest part of handing over a small run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: deque[Task] = deque()
        self._woken = False

    def put(self, task: Task) -> None:
        """In any thread."""
        self._tasks.append(task)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # First the flag: what is appended from now on wakes the loop again, what was appended before is seen below.
        self._woken = False
        while self._tasks:
            self._tasks.popleft().settle()


class Threads:
    """An `Executor` that runs each request by itself, in the order of their arrival.

    Attributes:
        pass_on: asked, in a thread, before a task runs; whether it went elsewhere.
    """

    def __init__(
        self, count: int, settled: Settled, run: Run = at_once, name: str = "transom_run", behind: bool = False
    ) -> None:
        self.pass_on: Callable[[Task], bool] = lambda task: False
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._settled, self._run, self._behind = settled, run, behind
        self._relief = Relief(
            lambda: not self._queue.empty(), lambda: start_threads(f"{name}_more", 1, self._help, behind)
        )
        self._threads = start_threads(name, count, self._work, behind)

    def submit(self, task: Task) -> None:
        self._queue.put(task)
        if not self._behind:
            self._relief.watch(task.future.get_loop())

    def stop(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            self._do(task)
            del task  # with its arrays: it may be long until the next one comes

    def _help(self) -> None:
        """Runs what waits, and ends."""
        with contextlib.suppress(Empty):
            while (task := self._queue.get_nowait()) is not None:
                self._do(task)
            self._queue.put(None)  # it was for one of the other threads
        self._relief.left()

    def _do(self, task: Task) -> None:
        if not self.pass_on(task):
            task.run(self._run)
            self._settled.put(task)
        self._relief.done += 1


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_threads(name: str, count: int, target: Callable[[], Any], behind: bool = False) -> list[threading.Thread]:
    """Daemons, so that a run that never ends does not keep the process from ending.

    `behind`: the system's scheduler gives them a third of what it gives others, where there is too little for all.

    Returns:
        Those that run: fewer where there is no memory for more of them.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, there is none for a single one.
    """

    def work() -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _BEHIND)
        target()

    threads = [
        threading.Thread(target=work if behind else target, name=f"{name}_{index}", daemon=True)
        for index in range(count)
    ]
    running: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError as error:
            if not running:
                raise StatusError(Code.RESOURCE_EXHAUSTED, f"No thread for a run: {error}") from error
            break
        running.append(thread)
    return running
