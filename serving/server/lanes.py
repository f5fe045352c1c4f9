"""Two lanes for runs: large ones go beside the small ones, which never wait for them longer than the system's scheduler
makes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serving.errors import StatusError
from serving.server.executor import Executor, Task, Threads
from serving.server.run_memory import FREE_ROWS
from serving.server.servable import Servable

LARGE_BYTES = 2**18
"""A tokenizer takes about 100 ns for a byte: 25 ms."""

_LARGE_ELEMENTS = 2**10

Heavy = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str]], bool]


class Lanes:
    """An `Executor` made of two.

    Args:
        small: for the small tasks.
        make_large: makes the one for the large tasks, when the first of them comes.
        heavy: whether a run is large by what it gives.
    """

    def __init__(self, small: Executor, make_large: Callable[[], Executor], heavy: Heavy) -> None:
        self._small, self._make_large, self._heavy = small, make_large, heavy
        self._large: Executor | None = None
        if isinstance(small, Threads):
            small.pass_on = self._pass_on

    def submit(self, task: Task) -> None:
        if is_large(task.feeds) or self._heavy(task.servable, task.feeds, task.fetches):
            self._submit_large(task)
        else:
            self._small.submit(task)

    def _submit_large(self, task: Task) -> None:
        if self._large is None:
            self._large = self._make_large()
        self._large.submit(task)
        task.drop_when_unwanted()

    def _pass_on(self, task: Task) -> bool:
        """Takes a task for large after all, where that was learnt while it waited. In a thread of the small ones."""
        if not self._heavy(task.servable, task.feeds, task.fetches):
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            task.future.get_loop().call_soon_threadsafe(self._submit_or_settle, task)
        return True

    def _submit_or_settle(self, task: Task) -> None:
        """For a task that has been taken: a refusal is its error."""
        try:
            self._submit_large(task)
        except StatusError as error:
            task.error = error
            task.settle()

    def stop(self) -> None:
        self._small.stop()
        if self._large is not None:
            self._large.stop()


def is_large(feeds: Mapping[str, np.ndarray]) -> bool:
    """Whether a run takes so long, or so much memory, that small ones must not wait for it."""
    for array in feeds.values():
        if array.ndim and array.shape[0] > FREE_ROWS:
            if array.size:
                return True
        elif array.dtype.kind != "O":
            if array.nbytes > LARGE_BYTES:
                return True
        elif array.size > _LARGE_ELEMENTS or sum(map(len, array.flat)) > LARGE_BYTES:
            return True
    return False
