"""Threads for what takes long besides the models' runs: decoding and encoding of large requests.

The event loop does no work that grows with what a stranger sends. What is done here is done in steps, each of which
holds Python's lock only briefly, and is given up between two steps when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from serving.errors import Code, StatusError
from serving.server.calls.budget import Held

INLINE_BYTES = 2**16
"""What is no larger is worked on in the event loop: less than going to a thread and back costs."""

MEDIUM_BYTES = 2**20
"""What is larger waits in a line of its own, so that what is not need not wait for it."""

_IDLE_SECONDS = 10.0
_DEADLINE = "Deadline exceeded before the request was worked on"

T = TypeVar("T")
Check = Callable[[], None]
"""Called between two steps of long work; raises when nobody waits for it any more."""


def unchecked() -> None:
    """The `Check` of what somebody always waits for."""


class Abandoned(Exception):
    """Nobody waits for the work any more. Raised by a `Check`; what works must let it through."""


def in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., T]) -> Callable[..., T]:
    """`function`, always called in the event loop, whoever calls what is returned: from a thread it waits meanwhile."""
    here = threading.get_ident()

    def called(*arguments: Any) -> T:
        if threading.get_ident() == here:
            return function(*arguments)

        async def call() -> T:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), loop).result()

    return called


class Work:
    """Two threads, one for medium and one for large pieces of work; they run while there is some."""

    def __init__(self) -> None:
        self._medium, self._large = _Line("transom_work_medium"), _Line("transom_work_large")

    async def run(
        self, held: Held, size: int, deadline: float | None, function: Callable[..., T], *arguments: Any
    ) -> T:
        """`function(*arguments, check)` in a thread; in the event loop's.

        Args:
            held: kept until the thread has done with it.
            size: roughly how many bytes it works on.
            deadline: a time of the event loop's clock, None for none.
            function: must call its `check` every few milliseconds.
            arguments: its arguments.

        Raises:
            StatusError: DEADLINE_EXCEEDED, or what `function` raises; the caller need not wait for the thread.
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
    """One call, and the future of the event loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, held: Held, function: Any, arguments: tuple[Any, ...]) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self._loop, self._held, self._function, self._arguments = loop, held, function, arguments
        held.keep()

    def refuse(self) -> None:
        """It will not run."""
        self.future.cancel()
        self._held.leave()

    def run(self) -> None:
        """In a thread."""
        result: Any = None
        failure: Exception | None = None
        try:
            self._check()
            result = self._function(*self._arguments, self._check)
        except Exception as error:  # noqa: BLE001 whatever it is, its caller must hear of it and the thread go on
            failure = error
        del self._function, self._arguments  # before the budget hears of it, and whoever still holds the job
        self._held.leave()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
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


class _Line:
    """Jobs in the order of their arrival, and the thread that runs them; it ends when there have been none for long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = False

    def put(self, job: _Job) -> None:
        """Takes a job in.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there is no memory for a thread.
        """
        with self._lock:
            if not self._running:
                # A daemon, so that work that never ends does not keep the process from ending.
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    job.refuse()
                    raise StatusError(Code.RESOURCE_EXHAUSTED, f"No thread for large requests: {error}") from error
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
