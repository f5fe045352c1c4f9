"""Waiting requests to the same signature run as one batch, concatenated along the first dimension.

The scheduling is that of TF Serving's `SharedBatchScheduler` (tensorflow/core/kernels/batching_util): a queue of
batches per kind of request, and threads shared by all queues. Differences: only requests with matching shapes are
batched; if a batch fails, its requests run again one by one, so that a bad one fails alone (unless the batch took too
long); a full queue is RESOURCE_EXHAUSTED, like every overload of this server, where TF Serving says UNAVAILABLE.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.servable import Servable
from serving.server.run.batch_arrays import join, pad_rows, split
from serving.server.run.batching_options import BatchingOptions
from serving.server.run.executor import RunFunction, SettledTasks, Task, internal_error, run_now, start_threads

MaxRows = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str]], int]

_FAIL_WHOLE_BATCH = (Code.DEADLINE_EXCEEDED, Code.CANCELLED)
"""Errors after which requests are not run again one by one: no caller is still waiting, or the server's limit was
reached. Each slow request would hold the thread up to the limit again."""


@dataclass
class BatchedTask:
    """A task in batches; it is settled when all its slices have run."""

    task: Task
    rows: int
    outputs: dict[int, list[np.ndarray]] = field(default_factory=dict)
    left: int = 0


@dataclass(frozen=True)
class TaskSlice:
    """Rows `start` to `stop` of a task."""

    batched_task: BatchedTask
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def feeds(self) -> Mapping[str, np.ndarray]:
        feeds = self.batched_task.task.feeds
        if self.rows == self.batched_task.rows:
            return feeds
        return {name: array[self.start : self.stop] for name, array in feeds.items()}


@dataclass
class RequestBatch:
    opened: float
    rows: int = 0
    slices: list[TaskSlice] = field(default_factory=list)

    def add(self, part: TaskSlice) -> None:
        self.slices.append(part)
        self.rows += part.rows


class Batcher:
    """A `TaskExecutor` that batches requests.

    Args:
        options: sizes and times.
        count: number of threads.
        settled: receives finished tasks.
        run: runs a batch.
        max_rows: the maximum rows of a batch with such feeds; a larger batch of several requests runs in parts.
        low_priority: see `start_threads`.
    """

    def __init__(
        self,
        options: BatchingOptions,
        count: int,
        settled: SettledTasks,
        run: RunFunction = run_now,
        max_rows: MaxRows = lambda servable, feeds, fetches: sys.maxsize,
        low_priority: bool = False,
    ) -> None:
        self._options, self._settled, self._run_batch, self._max_rows = options, settled, run, max_rows
        self._queues: dict[Hashable, deque[RequestBatch]] = {}
        self._condition = threading.Condition()
        self._slices_lock = threading.Lock()
        self._stopping = False
        self._threads = start_threads(options.thread_pool_name, count, self._work, low_priority)

    def submit(self, task: Task) -> None:
        batched_task = BatchedTask(task, _rows(task.feeds))
        limit = self._options.max_batch_size
        if batched_task.rows > limit:
            raise invalid_argument(f"Task size {batched_task.rows} is larger than maximum input batch size {limit}")
        key = self._kind(task)
        with self._condition:
            queue = self._queues.get(key) or deque()
            self._check_capacity(queue, batched_task.rows)
            self._enqueue(queue, batched_task)
            self._queues[key] = queue
            self._condition.notify()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _kind(self, task: Task) -> Hashable:
        """Equal for tasks that can be in one batch."""
        pad = self._options.pad_variable_length_inputs
        kinds = [(name, array.dtype, array.ndim if pad else array.shape[1:]) for name, array in task.feeds.items()]
        return (id(task.servable), tuple(task.fetches), *kinds)

    def _check_capacity(self, queue: Sequence[RequestBatch], rows: int) -> None:
        """`ValidateBatchTaskQueueCapacity`; even an empty queue has an open batch."""
        options = self._options
        enqueued, open_rows = max(len(queue), 1), queue[-1].rows if queue else 0
        full = "The batch scheduling queue to which this task was submitted is full; "
        if options.enable_large_batch_splitting:
            limit = options.execution_limit
            capacity = (options.max_enqueued_batches - enqueued) * limit + limit - open_rows
            if rows > capacity:
                raise StatusError(
                    Code.RESOURCE_EXHAUSTED,
                    f"{full}task size is {rows} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={enqueued}, max_enqueued_batches={options.max_enqueued_batches}, "
                    f"open_batch_size={open_rows}, max_execution_batch_size={limit})",
                )
        elif open_rows + rows > options.max_batch_size and enqueued >= options.max_enqueued_batches:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"{full}currently {enqueued} batches enqueued and max_enqueued_batches is "
                f"{options.max_enqueued_batches}",
            )

    def _enqueue(self, queue: deque[RequestBatch], batched_task: BatchedTask) -> None:
        limit, start = self._options.execution_limit, 0
        if not self._options.enable_large_batch_splitting:
            if not queue or queue[-1].rows + batched_task.rows > limit:
                queue.append(RequestBatch(time.monotonic()))
            queue[-1].add(TaskSlice(batched_task, 0, batched_task.rows))
            batched_task.left = 1
            return
        while start < batched_task.rows or batched_task.left == 0:
            if not queue or queue[-1].rows >= limit:
                queue.append(RequestBatch(time.monotonic()))
            stop = min(batched_task.rows, start + limit - queue[-1].rows)
            queue[-1].add(TaskSlice(batched_task, start, stop))
            batched_task.left += 1
            start = stop

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._run([part for part in batch.slices if self._still_wanted(part)])
            del batch  # frees its arrays; the next batch may be long in coming

    def _next(self) -> RequestBatch | None:
        """Waits for a batch that is full or old enough; None after `stop`."""
        with self._condition:
            while True:
                now, due = time.monotonic(), None
                for key, queue in self._queues.items():
                    ready_at = 0.0 if self._stopping else self._ready_at(queue)
                    if ready_at <= now:
                        return self._pop(key, queue)
                    due = ready_at if due is None else min(due, ready_at)
                if self._stopping:
                    return None
                self._condition.wait(None if due is None else due - now)

    def _ready_at(self, queue: Sequence[RequestBatch]) -> float:
        first = queue[0]
        if len(queue) > 1 or first.rows >= self._options.execution_limit:
            return 0.0
        return first.opened + self._options.batch_timeout_micros / 1e6

    def _pop(self, key: Hashable, queue: deque[RequestBatch]) -> RequestBatch:
        batch = queue.popleft()
        del self._queues[key]
        if queue:
            self._queues[key] = queue  # at the end, so that no kind of request starves another
            self._condition.notify()  # this thread is busy from now on: another must watch the queues
        return batch

    def _still_wanted(self, part: TaskSlice) -> bool:
        task = part.batched_task.task
        try:
            task.seconds_left()
        except StatusError as error:
            self._fail(part, error)
            return False
        if task.error is not None:
            self._fail(part, task.error)
            return False
        return True

    def _run(self, slices: Sequence[TaskSlice]) -> None:
        if not slices:
            return
        started = time.perf_counter()
        try:
            parts = self._outputs(slices)
        except StatusError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 the callers must get any error, and the thread must continue
            failure = internal_error(error)
        else:
            seconds = time.perf_counter() - started
            for part, outputs in zip(slices, parts, strict=True):
                self._succeed(part, outputs, seconds)
            return
        if len(slices) == 1 or failure.code in _FAIL_WHOLE_BATCH:
            for part in slices:
                self._fail(part, failure)
            return
        for part in slices:
            if self._still_wanted(part):
                self._run([part])

    def _outputs(self, slices: Sequence[TaskSlice]) -> list[list[np.ndarray]]:
        rows = sum(part.rows for part in slices)
        feeds = join([part.feeds() for part in slices], self._options.pad_variable_length_inputs)
        first = slices[0].batched_task.task
        if len(slices) > 1 and rows > self._max_rows(first.servable, feeds, first.fetches):
            half = len(slices) // 2
            return self._outputs(slices[:half]) + self._outputs(slices[half:])
        padding = self._options.allowed(rows) - rows
        if padding and rows:
            feeds = pad_rows(feeds, padding)
        outputs = self._run_batch(first.servable, feeds, first.fetches, lambda: _seconds_left(slices))
        return split(outputs, [part.rows for part in slices], padding if rows else 0)

    def _succeed(self, part: TaskSlice, outputs: list[np.ndarray], seconds: float) -> None:
        with self._slices_lock:
            part.batched_task.outputs[part.start] = outputs
        self._finish(part, seconds)

    def _fail(self, part: TaskSlice, error: StatusError) -> None:
        with self._slices_lock:
            part.batched_task.task.error = part.batched_task.task.error or error
        self._finish(part, None)

    def _finish(self, part: TaskSlice, seconds: float | None) -> None:
        batched_task = part.batched_task
        with self._slices_lock:
            batched_task.left -= 1
            batched_task.task.seconds = seconds if seconds is not None else batched_task.task.seconds
            if batched_task.left:
                return
        if batched_task.task.error is None:
            try:
                slices = [outputs for _, outputs in sorted(batched_task.outputs.items())]
                batched_task.task.outputs = _concatenated(slices)
            except ValueError as error:  # the slices' outputs differ in more than rows
                batched_task.task.error = StatusError(Code.INTERNAL, f"Tensor concat operation failed: {error}")
        self._settled.put(batched_task.task)


def _seconds_left(slices: Sequence[TaskSlice]) -> float | None:
    """The seconds left to the slice with the latest deadline; see `SecondsLeft`."""
    waiting = [part.batched_task.task for part in slices if part.batched_task.task.wanted]
    if not waiting:
        return slices[0].batched_task.task.seconds_left()  # raises
    timeouts = [task.timeout() for task in waiting]
    return None if None in timeouts else max(one for one in timeouts if one is not None)


def _concatenated(parts: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    return parts[0] if len(parts) == 1 else [np.concatenate(one) for one in zip(*parts, strict=True)]


def _rows(feeds: Mapping[str, np.ndarray]) -> int:
    """The size of the first dimension, the same of all inputs (`ComputeTensorBatchSize`)."""
    if not feeds:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    rows = None
    for array in feeds.values():
        if array.ndim == 0:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        if rows is not None and array.shape[0] != rows:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        rows = array.shape[0]
    return rows or 0
