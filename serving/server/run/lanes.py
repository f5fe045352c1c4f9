"""Separate threads for small and large runs, so that small runs wait for large ones no longer than the operating
system's scheduler makes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from serving.errors import StatusError
from serving.server.calls.servable import Servable
from serving.server.run.executor import Task, TaskExecutor, ThreadExecutor
from serving.server.run.feed_sizes import Feeds, is_large
from serving.server.run.output_sizes import RunSize

SizeByOutput = Callable[[Servable, Feeds, Sequence[str]], RunSize]


class Lanes:
    """A `TaskExecutor` with a lane, itself a `TaskExecutor`, for each size of run.

    Args:
        make_lane: creates the lane for a size: the small one now, the others with their first task.
        size_by_output: the size of a run by its outputs.
    """

    def __init__(self, make_lane: Callable[[RunSize], TaskExecutor], size_by_output: SizeByOutput) -> None:
        self._make_lane, self._size_by_output = make_lane, size_by_output
        self._lanes: dict[RunSize, TaskExecutor] = {}
        self._add(RunSize.SMALL)

    def submit(self, task: Task) -> None:
        self._submit(task, RunSize.LARGE if is_large(task.feeds) else self._size_of(task))

    def _size_of(self, task: Task) -> RunSize:
        return self._size_by_output(task.servable, task.feeds, task.fetches)

    def _submit(self, task: Task, size: RunSize) -> None:
        lane = self._lanes.get(size)
        if lane is None:
            lane = self._add(size)
        lane.submit(task)
        if size is RunSize.LARGE:
            task.drop_when_unwanted()

    def _add(self, size: RunSize) -> TaskExecutor:
        lane = self._lanes[size] = self._make_lane(size)
        if isinstance(lane, ThreadExecutor) and size is not RunSize.LARGE:
            lane.redirect = self._redirect
        return lane

    def _redirect(self, task: Task) -> bool:
        """Moves a task to the large lane if runs like it turned out to be large while it waited. In a thread."""
        if self._size_of(task) is not RunSize.LARGE:
            return False
        with contextlib.suppress(RuntimeError):  # the loop is closed: the caller has left
            task.future.get_loop().call_soon_threadsafe(self._submit_or_settle, task)
        return True

    def _submit_or_settle(self, task: Task) -> None:
        """Submits a task that was accepted before: a refusal becomes its error."""
        try:
            self._submit(task, RunSize.LARGE)
        except StatusError as error:
            task.error = error
            task.settle()

    def stop(self) -> None:
        for lane in self._lanes.values():
            lane.stop()
