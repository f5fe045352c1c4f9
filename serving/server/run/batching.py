"""Requests to the same signature that wait at the same time run as one, along the first dimension.

The scheduling is that of TF Serving's `SharedBatchScheduler` (tensorflow/core/kernels/batching_util): a queue of
batches for each kind of request, and threads that all queues share. What differs: only requests whose shapes fit are
joined; when a joined run fails its requests are run again one by one, so that a bad one fails alone (but not where it
took too long); a full queue is RESOURCE_EXHAUSTED, as every overload of this server is, where TF Serving says
UNAVAILABLE.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.servable import Servable
from serving.server.run.batch_arrays import join, pad_rows, split
from serving.server.run.batching_options import BatchingOptions
from serving.server.run.executor import Run, Settled, Task, at_once, internal, start_threads

MostRows = Callable[[Servable, Mapping[str, np.ndarray], Sequence[str]], int]

_OVER_FOR_ALL = (Code.DEADLINE_EXCEEDED, Code.CANCELLED)
"""What ends all that run together: no caller waits any more, or the server's limit is reached. One by one those that
go on would hold the thread for the limit each, and the others have waited for so long already."""


@dataclass
class Joined:
    """A task on its way through batches: it is settled when all of its pieces have run."""

    task: Task
    rows: int
    outputs: dict[int, list[np.ndarray]] = field(default_factory=dict)
    left: int = 0


@dataclass(frozen=True)
class Piece:
    """The rows `start` to `stop` of a task."""

    joined: Joined
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def feeds(self) -> Mapping[str, np.ndarray]:
        feeds = self.joined.task.feeds
        if self.rows == self.joined.rows:
            return feeds
        return {name: array[self.start : self.stop] for name, array in feeds.items()}


@dataclass
class Batch:
    opened: float
    rows: int = 0
    pieces: list[Piece] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.rows += piece.rows


class Batcher:
    """An `Executor` that joins requests.

    Args:
        options: sizes and times.
        count: threads.
        settled: where tasks go that are done.
        run: runs a batch.
        most_rows: of a batch with such feeds; a larger one runs in parts, where it is several requests.
        behind: see `start_threads`.
    """

    def __init__(
        self,
        options: BatchingOptions,
        count: int,
        settled: Settled,
        run: Run = at_once,
        most_rows: MostRows = lambda servable, feeds, fetches: sys.maxsize,
        behind: bool = False,
    ) -> None:
        self._options, self._settled, self._run_batch, self._most_rows = options, settled, run, most_rows
        self._queues: dict[Hashable, deque[Batch]] = {}
        self._condition = threading.Condition()
        self._pieces = threading.Lock()
        self._stopping = False
        self._threads = start_threads(options.thread_pool_name, count, self._work, behind)

    def submit(self, task: Task) -> None:
        joined = Joined(task, _rows(task.feeds))
        limit = self._options.max_batch_size
        if joined.rows > limit:
            raise StatusError(
                Code.INVALID_ARGUMENT, f"Task size {joined.rows} is larger than maximum input batch size {limit}"
            )
        key = self._kind(task)
        with self._condition:
            queue = self._queues.get(key) or deque()
            self._check_room(queue, joined.rows)
            self._enqueue(queue, joined)
            self._queues[key] = queue
            self._condition.notify()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _kind(self, task: Task) -> Hashable:
        """What tasks must have in common to be joined."""
        pad = self._options.pad_variable_length_inputs
        kinds = [(name, array.dtype, array.ndim if pad else array.shape[1:]) for name, array in task.feeds.items()]
        return (id(task.servable), tuple(task.fetches), *kinds)

    def _check_room(self, queue: Sequence[Batch], rows: int) -> None:
        """`ValidateBatchTaskQueueCapacity`; an empty queue has an open batch all the same."""
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

    def _enqueue(self, queue: deque[Batch], joined: Joined) -> None:
        limit, start = self._options.execution_limit, 0
        if not self._options.enable_large_batch_splitting:
            if not queue or queue[-1].rows + joined.rows > limit:
                queue.append(Batch(time.monotonic()))
            queue[-1].add(Piece(joined, 0, joined.rows))
            joined.left = 1
            return
        while start < joined.rows or joined.left == 0:
            if not queue or queue[-1].rows >= limit:
                queue.append(Batch(time.monotonic()))
            stop = min(joined.rows, start + limit - queue[-1].rows)
            queue[-1].add(Piece(joined, start, stop))
            joined.left += 1
            start = stop

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._run([piece for piece in batch.pieces if self._still_wanted(piece)])
            del batch  # with its arrays: it may be long until the next one comes

    def _next(self) -> Batch | None:
        """Waits for a batch that is full, or old enough; None when there will be none."""
        with self._condition:
            while True:
                now, due = time.monotonic(), None
                for key, queue in self._queues.items():
                    ready_at = 0.0 if self._stopping else self._ready_at(queue)
                    if ready_at <= now:
                        return self._take(key, queue)
                    due = ready_at if due is None else min(due, ready_at)
                if self._stopping:
                    return None
                self._condition.wait(None if due is None else due - now)

    def _ready_at(self, queue: Sequence[Batch]) -> float:
        first = queue[0]
        if len(queue) > 1 or first.rows >= self._options.execution_limit:
            return 0.0
        return first.opened + self._options.batch_timeout_micros / 1e6

    def _take(self, key: Hashable, queue: deque[Batch]) -> Batch:
        batch = queue.popleft()
        del self._queues[key]
        if queue:
            self._queues[key] = queue  # behind the others, so that no kind of request starves another
            self._condition.notify()  # this thread is busy from here on: another must watch the rest
        return batch

    def _still_wanted(self, piece: Piece) -> bool:
        task = piece.joined.task
        try:
            task.left()
        except StatusError as error:
            self._fail(piece, error)
            return False
        if task.error is not None:
            self._fail(piece, task.error)
            return False
        return True

    def _run(self, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        started = time.perf_counter()
        try:
            parts = self._outputs(pieces)
        except StatusError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 whatever it is, its callers must hear of it and the thread go on
            failure = internal(error)
        else:
            seconds = time.perf_counter() - started
            for piece, outputs in zip(pieces, parts, strict=True):
                self._succeed(piece, outputs, seconds)
            return
        if len(pieces) == 1 or failure.code in _OVER_FOR_ALL:
            for piece in pieces:
                self._fail(piece, failure)
            return
        for piece in pieces:
            if self._still_wanted(piece):
                self._run([piece])

    def _outputs(self, pieces: Sequence[Piece]) -> list[list[np.ndarray]]:
        rows = sum(piece.rows for piece in pieces)
        feeds = join([piece.feeds() for piece in pieces], self._options.pad_variable_length_inputs)
        first = pieces[0].joined.task
        if len(pieces) > 1 and rows > self._most_rows(first.servable, feeds, first.fetches):
            half = len(pieces) // 2
            return self._outputs(pieces[:half]) + self._outputs(pieces[half:])
        padding = self._options.allowed(rows) - rows
        if padding and rows:
            feeds = pad_rows(feeds, padding)
        outputs = self._run_batch(first.servable, feeds, first.fetches, lambda: _left(pieces))
        return split(outputs, [piece.rows for piece in pieces], padding if rows else 0)

    def _succeed(self, piece: Piece, outputs: list[np.ndarray], seconds: float) -> None:
        with self._pieces:
            piece.joined.outputs[piece.start] = outputs
        self._finish(piece, seconds)

    def _fail(self, piece: Piece, error: StatusError) -> None:
        with self._pieces:
            piece.joined.task.error = piece.joined.task.error or error
        self._finish(piece, None)

    def _finish(self, piece: Piece, seconds: float | None) -> None:
        joined = piece.joined
        with self._pieces:
            joined.left -= 1
            joined.task.seconds = seconds if seconds is not None else joined.task.seconds
            if joined.left:
                return
        if joined.task.error is None:
            try:
                joined.task.outputs = _whole([outputs for _, outputs in sorted(joined.outputs.items())])
            except ValueError as error:  # the pieces' outputs differ beyond their rows
                joined.task.error = StatusError(Code.INTERNAL, f"Tensor concat operation failed: {error}")
        self._settled.put(joined.task)


def _left(pieces: Sequence[Piece]) -> float | None:
    """What is left to the piece that may take longest; see `Left`."""
    waiting = [piece.joined.task for piece in pieces if piece.joined.task.wanted]
    if not waiting:
        return pieces[0].joined.task.left()  # raises
    timeouts = [task.timeout() for task in waiting]
    return None if None in timeouts else max(one for one in timeouts if one is not None)


def _whole(parts: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    return parts[0] if len(parts) == 1 else [np.concatenate(one) for one in zip(*parts, strict=True)]


def _rows(feeds: Mapping[str, np.ndarray]) -> int:
    """The size of the first dimension, the same of all inputs (`ComputeTensorBatchSize`)."""
    if not feeds:
        raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor")
    rows = None
    for array in feeds.values():
        if array.ndim == 0:
            raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension")
        if rows is not None and array.shape[0] != rows:
            raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have equal 0th-dimension size")
        rows = array.shape[0]
    return rows or 0
