"""Models run in threads, outside the event loop: tasks go out through a queue and come back many per wake-up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.servable import Servable
from serving.server.run.extra_threads import ExtraThreads

DEADLINE = "Deadline exceeded before the run ended"

_NICE_INCREMENT = 5  # in Linux each thread has its own; weight 335 against 1024

SecondsLeft = Callable[[], float | None]
"""Returns the seconds that a run has left, None without a deadline. Raises StatusError if no caller still waits."""

RunFunction = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str], SecondsLeft], list[np.ndarray]]


@dataclass(slots=True, eq=False)
class Task:
    """One run of a servable, and the future of the event loop that waits for it.

    Attributes:
        servable: what runs it.
        feeds, fetches: see `Servable.run`.
        expires: `time.monotonic()` by which it must have started, None for no limit.
        finished: called once, in the event loop, with the seconds of the run (None without a result), even if no
            caller waits any more.
    """

    servable: Servable
    feeds: Mapping[str, np.ndarray]
    fetches: Sequence[str]
    future: asyncio.Future[list[np.ndarray]]
    expires: float | None = None
    finished: Callable[[float | None], None] = lambda seconds: None
    outputs: list[np.ndarray] | None = None
    error: StatusError | None = None
    seconds: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _begun: bool = False
    _ended: bool = False

    @property
    def wanted(self) -> bool:
        """Whether a caller still waits: false after a deadline or a cancellation. Thread-safe."""
        return not self.future.done()

    def timeout(self) -> float | None:
        """The seconds until the deadline, negative after it."""
        return None if self.expires is None else self.expires - time.monotonic()

    def seconds_left(self) -> float | None:
        """The seconds until the deadline; marks the task as started.

        Raises:
            StatusError: no caller is still waiting.
        """
        self._begun = True
        timeout = self.timeout()
        if timeout is not None and timeout <= 0:
            raise StatusError(Code.DEADLINE_EXCEEDED, DEADLINE)
        if not self.wanted:
            raise StatusError(Code.CANCELLED, "Cancelled")
        return timeout

    def watch(self) -> None:
        """Ends the caller's wait at the deadline, whatever the threads are doing. Call it in the event loop."""
        timeout = self.timeout()
        if timeout is not None:
            self._timer = self.future.get_loop().call_later(max(timeout, 0.0), self._expire)

    def _expire(self) -> None:
        if self.wanted:
            self.future.set_exception(StatusError(Code.DEADLINE_EXCEEDED, DEADLINE))

    def drop_when_unwanted(self) -> None:
        """Frees the inputs as soon as no caller waits, before the task's turn comes."""
        self.future.add_done_callback(self._drop)

    def _drop(self, future: Any) -> None:
        # A thread marks the task as started before it checks `wanted`, so a run never finds its feeds gone.
        if not self._begun:
            self.feeds = {}
            self._end()

    def run(self, run: RunFunction) -> None:
        """Runs the task unless no caller is still waiting. Call it in a thread."""
        started = time.perf_counter()
        try:
            self.seconds_left()
            self.outputs = run(self.servable, self.feeds, self.fetches, self.seconds_left)
            self.seconds = time.perf_counter() - started
        except StatusError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 the caller must get any error, and the thread must continue
            self.error = internal_error(error)

    def settle(self) -> None:
        """Passes the outputs or the error to the waiting caller. Call it in the event loop."""
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


def run_now(
    servable: Servable, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], seconds_left: SecondsLeft
) -> list[np.ndarray]:
    """The `RunFunction` for small tasks."""
    return servable.run(feeds, fetches, seconds_left())


def internal_error(error: BaseException) -> StatusError:
    """An unexpected error as the response to a request."""
    return StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")


class TaskExecutor(Protocol):
    """Runs tasks. Call `submit` in the event loop."""

    def submit(self, task: Task) -> None:
        """Accepts a task or refuses it at once.

        Raises:
            StatusError: it is refused and will not be settled.
        """
        ...

    def stop(self) -> None:
        """Ends the threads after all queued tasks. Blocks."""
        ...


class SettledTasks:
    """Finished tasks on their way back to the event loop, which is woken once for all of them.

    A wake-up is a system call and an iteration of the loop, the largest part of handing over a small run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: deque[Task] = deque()
        self._woken = False

    def put(self, task: Task) -> None:
        """Thread-safe."""
        self._tasks.append(task)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # The flag first: tasks appended from now on wake the loop again, earlier ones are handled below.
        self._woken = False
        while self._tasks:
            self._tasks.popleft().settle()


class ThreadExecutor:
    """A `TaskExecutor` that runs each request separately, in order of arrival.

    Attributes:
        redirect: called in a thread before a task runs; returns whether it passed the task on to another executor.
    """

    def __init__(
        self,
        count: int,
        settled: SettledTasks,
        run: RunFunction = run_now,
        name: str = "transom_run",
        low_priority: bool = False,
    ) -> None:
        self.redirect: Callable[[Task], bool] = lambda task: False
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._settled, self._run, self._low_priority = settled, run, low_priority
        self._extra_threads = ExtraThreads(
            lambda: not self._queue.empty(), lambda: start_threads(f"{name}_more", 1, self._run_waiting, low_priority)
        )
        self._threads = start_threads(name, count, self._work, low_priority)

    def submit(self, task: Task) -> None:
        self._queue.put(task)
        if not self._low_priority:
            self._extra_threads.watch(task.future.get_loop())

    def stop(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            self._run_task(task)
            del task  # frees its arrays; the next task may be long in coming

    def _run_waiting(self) -> None:
        """Runs the waiting tasks, then ends."""
        with contextlib.suppress(Empty):
            while (task := self._queue.get_nowait()) is not None:
                self._run_task(task)
            self._queue.put(None)  # the end signal was meant for one of the regular threads
        self._extra_threads.thread_ended()

    def _run_task(self, task: Task) -> None:
        if not self.redirect(task):
            task.run(self._run)
            self._settled.put(task)
        self._extra_threads.done += 1


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_threads(
    name: str, count: int, target: Callable[[], Any], low_priority: bool = False
) -> list[threading.Thread]:
    """Starts daemon threads, so that a run that never ends does not keep the process alive.

    `low_priority`: on a busy machine they get a third of the CPU time of other threads.

    Returns:
        The started threads: fewer than `count` if there is no memory for more.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, there is no memory for a single one.
    """

    def work() -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(
                os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICE_INCREMENT
            )
        target()

    threads = [
        threading.Thread(target=work if low_priority else target, name=f"{name}_{index}", daemon=True)
        for index in range(count)
    ]
    running: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError as error:
            if not running:
                raise StatusError(Code.RESOURCE_EXHAUSTED, f"No thread could be started for a run: {error}") from error
            break
        running.append(thread)
    return running
