"""Two lanes for runs: large ones go beside the small ones, which never wait for them longer than the system's scheduler
makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from serving.server.executor import Executor, Task
from serving.server.run_memory import FREE_ROWS

LARGE_BYTES = 2**18
"""A tokenizer takes about 100 ns for a byte: 25 ms."""

_LARGE_ELEMENTS = 2**10


class Lanes:
    """An `Executor` made of two.

    Args:
        small: for the small tasks.
        make_large: makes the one for the large tasks, when the first of them comes.
    """

    def __init__(self, small: Executor, make_large: Callable[[], Executor]) -> None:
        self._small, self._make_large = small, make_large
        self._large: Executor | None = None

    def submit(self, task: Task) -> None:
        if not is_large(task.feeds):
            self._small.submit(task)
            return
        if self._large is None:
            self._large = self._make_large()
        self._large.submit(task)
        task.drop_when_unwanted()

    def stop(self) -> None:
        self._small.stop()
        if self._large is not None:
            self._large.stop()


def is_large(feeds: Mapping[str, np.ndarray]) -> bool:
    """Whether a run takes so long, or so much memory, that small ones must not wait for it."""
    return any(_is_large(array) for array in feeds.values())


def _is_large(array: np.ndarray) -> bool:
    if array.ndim and array.shape[0] > FREE_ROWS:
        return True
    if array.dtype.kind != "O":
        return array.nbytes > LARGE_BYTES
    return array.size > _LARGE_ELEMENTS or sum(map(len, array.flat)) > LARGE_BYTES
