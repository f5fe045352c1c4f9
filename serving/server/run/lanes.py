"""Lanes for runs: large ones, and those that may be, go beside the small ones, which never wait for them longer than
the system's scheduler makes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serving.errors import StatusError
from serving.server.calls.servable import Servable
from serving.server.run.executor import Executor, Task, Threads
from serving.server.run.output_sizes import Size
from serving.server.run.run_memory import FREE_ROWS

LARGE_BYTES = 2**18
"""A tokenizer takes about 100 ns for a byte: 25 ms."""

_LARGE_ELEMENTS = 2**10

SizeOf = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str]], Size]


class Lanes:
    """An `Executor` made of several.

    Args:
        make: makes the one for tasks of a size; that for small ones now, any other when its first task comes.
        size: of a run by what it gives.
    """

    def __init__(self, make: Callable[[Size], Executor], size: SizeOf) -> None:
        self._make, self._size = make, size
        self._lanes: dict[Size, Executor] = {}
        self._add(Size.SMALL)

    def submit(self, task: Task) -> None:
        self._submit(task, Size.LARGE if is_large(task.feeds) else self._size_of(task))

    def _size_of(self, task: Task) -> Size:
        return self._size(task.servable, task.feeds, task.fetches)

    def _submit(self, task: Task, size: Size) -> None:
        lane = self._lanes.get(size)
        if lane is None:
            lane = self._add(size)
        lane.submit(task)
        if size is Size.LARGE:
            task.drop_when_unwanted()

    def _add(self, size: Size) -> Executor:
        lane = self._lanes[size] = self._make(size)
        if isinstance(lane, Threads) and size is not Size.LARGE:
            lane.pass_on = self._pass_on
        return lane

    def _pass_on(self, task: Task) -> bool:
        """Takes a task for large after all, where that was learnt while it waited. In a thread of the other lanes."""
        if self._size_of(task) is not Size.LARGE:
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            task.future.get_loop().call_soon_threadsafe(self._submit_or_settle, task)
        return True

    def _submit_or_settle(self, task: Task) -> None:
        """For a task that has been taken: a refusal is its error."""
        try:
            self._submit(task, Size.LARGE)
        except StatusError as error:
            task.error = error
            task.settle()

    def stop(self) -> None:
        for lane in self._lanes.values():
            lane.stop()


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
