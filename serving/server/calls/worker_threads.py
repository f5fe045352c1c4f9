"""Threads for decoding and encoding large requests.

The event loop does no work that grows with a stranger's input. Work in these threads is done in steps that hold the GIL
only briefly, and is abandoned between two steps when no caller is still waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Reservation

INLINE_BYTES = 2**16
"""Smaller work is done in the event loop, at less than the cost of a thread switch."""

MEDIUM_BYTES = 2**20
"""Larger work has its own queue, so that smaller work need not wait for it."""

_IDLE_SECONDS = 10.0
_DEADLINE = "Deadline exceeded before the request was processed"

T = TypeVar("T")
Check = Callable[[], None]
"""Called between two steps of long work; raises `Abandoned` when no caller is still waiting."""


def unchecked() -> None:
    """A `Check` that does nothing, for work that is never abandoned."""


class Abandoned(Exception):
    """No caller is still waiting for the work. Raised by a `Check`; workers must not catch it."""


def in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., T]) -> Callable[..., T]:
    """Wraps `function` so that it always runs in the event loop; a call from a thread waits for it."""
    loop_thread = threading.get_ident()

    def called(*arguments: Any) -> T:
        if threading.get_ident() == loop_thread:
            return function(*arguments)

        async def call() -> T:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), loop).result()

    return called


class WorkerThreads:
    """Two threads, one for medium and one for large work; they run only while there is work."""

    def __init__(self) -> None:
        self._medium, self._large = _JobQueue("transom_work_medium"), _JobQueue("transom_work_large")

    async def run(
        self, held: Reservation, size: int, deadline: float | None, function: Callable[..., T], *arguments: Any
    ) -> T:
        """Runs `function(*arguments, check)` in a thread. Call it in the event loop.

        Args:
            held: kept until the thread is done.
            size: approximate bytes of the work.
            deadline: by the event loop's clock, None for none.
            function: must call its `check` every few milliseconds.
            arguments: its arguments.

        Raises:
            StatusError: DEADLINE_EXCEEDED, without waiting for the thread; or whatever `function` raises.
        """
        loop = asyncio.get_running_loop()
        job = _Job(loop, held, function, arguments)
        (self._medium if size <= MEDIUM_BYTES else self._large).put(job)
        try:
            async with asyncio.timeout_at(deadline):
                return await job.future  # type: ignore[no-any-return]
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, _DEADLINE) from error


class _Job:
    """One call and its future in the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, held: Reservation, function: Any, arguments: tuple[Any, ...]
    ) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self._loop, self._held, self._function, self._arguments = loop, held, function, arguments
        held.keep()

    def refuse(self) -> None:
        """Cancels the job before it runs."""
        self.future.cancel()
        self._held.leave()

    def run(self) -> None:
        """Runs the job. Call it in a thread."""
        result: Any = None
        failure: Exception | None = None
        try:
            self._check()
            result = self._function(*self._arguments, self._check)
        except Exception as error:  # noqa: BLE001 the caller must get any error, and the thread must continue
            failure = error
        del self._function, self._arguments  # free them before the budget is released
        self._held.leave()
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
            self._loop.call_soon_threadsafe(self._settle, result, failure)

    def _check(self) -> None:
        if self.future.done():
            raise Abandoned

    def _settle(self, result: Any, failure: Exception | None) -> None:
        if self.future.done():
            return
        if failure is not None:
            self.future.set_exception(failure)
        else:
            self.future.set_result(result)


class _JobQueue:
    """Jobs in order of arrival, and the thread that runs them; it ends after a while without jobs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = False

    def put(self, job: _Job) -> None:
        """Adds a job.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there is no memory for a thread.
        """
        with self._lock:
            if not self._running:
                # A daemon, so that work that never ends does not keep the process alive.
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    job.refuse()
                    raise StatusError(
                        Code.RESOURCE_EXHAUSTED, f"No thread could be started for large requests: {error}"
                    ) from error
                self._running = True
            self._jobs.put(job)

    def _work(self) -> None:
        while True:
            try:
                self._jobs.get(timeout=_IDLE_SECONDS).run()
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._running = False
                        return
