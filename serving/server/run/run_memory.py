"""Keeps the models' runs within the available memory.

A run of many rows can need more memory than there is: a two-layer encoder takes 0.6 MB for a text of 128 tokens, a
large one 30 MB. TensorFlow turns most failed allocations into an error, but some end the process (`std::bad_alloc` in
one of its threads). So a large run starts only if its memory is available. The memory per row is measured, because a
model does not declare it: some of the rows run alone first, at most 16 times as many as ever before, until the request
has no more than 16 times the measured rows. This costs a fifteenth of the request's time, once.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.servable import Servable
from serving.server.run import process_memory
from serving.server.run.executor import SecondsLeft
from serving.server.run.feed_sizes import FREE_ROWS, Feeds, kind_of, longest_rows, rows_of, text_bytes
from serving.server.run.output_sizes import OutputSizes, remember

_GROWTH = 16
"""A measurement is trusted for up to this many times its rows."""

_MARGIN = 1.5
"""The memory reserved for a run, relative to the measurement."""

_BYTES_PER_BYTE = 80
"""Memory of a tokenizer per byte of text: 77 were measured for "a a a a", 2 for a single word of 10 MB. The need of
an unknown text cannot be predicted, so the maximum is assumed."""

_LARGE_SHARE, _BATCH_SHARE = 0.625, 0.125
"""Shares of the free memory: for all large runs together, and for batches of small ones, which never wait for it."""

_FIRST_BATCH_ROWS = 64
_TRIM_BYTES = 2**28
_POLL_SECONDS = 0.1


class RunMemory:
    """The memory for runs in this process. Thread-safe.

    Args:
        processes: number of processes that share the machine's memory.
        batches: maximum number of concurrent batches of small runs.
        available: returns the bytes that this process may still take, None if unknown.
    """

    def __init__(
        self, processes: int, batches: int, available: Callable[[int], int | None] = process_memory.available
    ) -> None:
        self._processes, self._batches, self._available = processes, batches, available
        self._condition = threading.Condition()
        self._measuring = threading.Lock()
        self._queue: deque[object] = deque()
        self._taken = self._running = 0
        self._alone = False
        self._can_measure = True
        self._free, self._free_read_at = available(processes), time.monotonic()
        self.sizes = OutputSizes()
        self._known: WeakKeyDictionary[Servable, dict[Hashable, tuple[int, float]]] = WeakKeyDictionary()

    def run(
        self, servable: Servable, feeds: Feeds, fetches: Sequence[str], seconds_left: SecondsLeft
    ) -> list[np.ndarray]:
        """Runs a large request as soon as there is memory for it.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there never will be; or whatever `seconds_left` or the servable raises.
        """
        if self._free is None:
            return servable.run(feeds, fetches, seconds_left())
        kind, rows, text = kind_of(feeds, fetches), rows_of(feeds), text_bytes(feeds)
        of_row = self.sizes.of_row(servable, feeds, fetches)
        while few := self._trial_rows(servable, kind, rows):
            trial = longest_rows(feeds, few)
            if trial is None:
                break
            need = self._memory_needed(of_row, servable, kind, few, text * few // rows)
            with self._reserved(need, few, seconds_left, alone=True):
                self._measured_run(servable, kind, trial, fetches, seconds_left, running=1)
        alone = rows > _GROWTH * self._measured(servable, kind)[0]
        with self._reserved(self._memory_needed(of_row, servable, kind, rows, text), rows, seconds_left, alone):
            outputs = self._measured_run(servable, kind, feeds, fetches, seconds_left, running=1)
        self.sizes.note(servable, feeds, fetches, outputs)
        return outputs

    def run_small(
        self, servable: Servable, feeds: Feeds, fetches: Sequence[str], seconds_left: SecondsLeft
    ) -> list[np.ndarray]:
        """Runs a small request and records its output size, in case such runs should count as large."""
        outputs = servable.run(feeds, fetches, seconds_left())
        self.sizes.note(servable, feeds, fetches, outputs)
        return outputs

    def max_batch_rows(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> int:
        """The maximum rows of a batch of small requests like this one."""
        rows, per_row = self._measured(servable, kind_of(feeds, fetches))
        free = self._free_memory()
        if free is None or not rows:
            return _FIRST_BATCH_ROWS if free is not None else sys.maxsize
        share = free * _BATCH_SHARE / self._batches
        return max(min(_GROWTH * rows, int(share / (per_row * _MARGIN))), FREE_ROWS)

    def run_batch(
        self, servable: Servable, feeds: Feeds, fetches: Sequence[str], seconds_left: SecondsLeft
    ) -> list[np.ndarray]:
        """Runs a batch of small requests of at most `max_batch_rows` rows."""
        if self._free is None or rows_of(feeds) <= FREE_ROWS:
            return self.run_small(servable, feeds, fetches, seconds_left)
        return self._measured_run(servable, kind_of(feeds, fetches), feeds, fetches, seconds_left, running=0)

    def _measured(self, servable: Servable, kind: Hashable) -> tuple[int, float]:
        """The most rows measured so far, and the bytes per row."""
        return self._known.get(servable, {}).get(kind, (0, 0.0))

    def _trial_rows(self, servable: Servable, kind: Hashable, rows: int) -> int:
        """How many of `rows` should run first; 0 if all may, or if nothing would be learnt."""
        if not self._can_measure:
            return 0
        known, per_row = self._measured(servable, kind)
        most = max(_GROWTH * known, FREE_ROWS)
        if per_row:
            # The memory per row falls with their number: near the limit, measure more before refusing any.
            most = min(most, int((self._free_memory() or 0) * _LARGE_SHARE / (per_row * _MARGIN)))
        return most if 2 * known < most < rows else 0

    def _memory_needed(self, of_row: float, servable: Servable, kind: Hashable, rows: int, text: int) -> int:
        """The memory in bytes for `rows` rows with `text` bytes of strings, at `of_row` output bytes per row."""
        per_row = max(self._measured(servable, kind)[1], of_row)
        return int(max(per_row * rows * _MARGIN, text * _BYTES_PER_BYTE))

    @contextlib.contextmanager
    def _reserved(self, need: int, rows: int, seconds_left: SecondsLeft, alone: bool) -> Iterator[None]:
        """Waits in line until there is memory; with `alone` also until no other large run is active."""
        turn = object()
        with self._condition:
            self._queue.append(turn)
            try:
                while self._queue[0] is not turn or not self._fits(need, rows, alone):
                    seconds_left()
                    self._condition.wait(_POLL_SECONDS)
                self._taken, self._running, self._alone = self._taken + need, self._running + 1, alone
            finally:
                self._queue.remove(turn)
                self._condition.notify_all()
        try:
            yield
        finally:
            if need > _TRIM_BYTES:
                process_memory.trim_soon()
            with self._condition:
                self._taken, self._running = self._taken - need, self._running - 1
                self._alone = False
                self._condition.notify_all()

    def _fits(self, need: int, rows: int, alone: bool) -> bool:
        free = int((self._free_memory() or 0) * _LARGE_SHARE)
        if need > free:
            if self._running:
                return False
            raise StatusError(
                Code.RESOURCE_EXHAUSTED,
                f"A run of {rows} rows like these takes about {need // 2**20} MiB of memory, and {free // 2**20} MiB "
                f"are free for it. Send fewer at a time ({rows * free // need} of these fit), or shorter ones, or give "
                "the server more memory",
            )
        return not self._running or (not alone and not self._alone and self._taken + need <= free)

    def _free_memory(self) -> int | None:
        """The free memory; looked up now and then, while no large run is active."""
        now = time.monotonic()
        if not self._running and now - self._free_read_at > _POLL_SECONDS:
            self._free, self._free_read_at = self._available(self._processes), now
        return self._free

    def _measured_run(
        self,
        servable: Servable,
        kind: Hashable,
        feeds: Feeds,
        fetches: Sequence[str],
        seconds_left: SecondsLeft,
        running: int,
    ) -> list[np.ndarray]:
        """Runs, and measures the memory if exactly `running` large runs are active and the result would be new."""
        rows = rows_of(feeds)
        if rows <= self._measured(servable, kind)[0] * 2 or self._running != running:
            return servable.run(feeds, fetches, seconds_left())
        if not self._measuring.acquire(blocking=False):
            return servable.run(feeds, fetches, seconds_left())
        try:
            with process_memory.measured() as peak:
                outputs = servable.run(feeds, fetches, seconds_left())
        finally:
            self._measuring.release()
        if peak.bytes is None:
            self._can_measure = False  # this system reports no peak: estimates must do
        elif self._running == running:
            remember(self._known.setdefault(servable, {}), kind, (rows, max(peak.bytes / rows, 1.0)))
        return outputs
