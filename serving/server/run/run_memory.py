"""Keeps the models' runs within the memory that there is.

A run of many rows can take more than there is: a two-layer encoder takes 0.6 MB for a text of 128 tokens, a large one
30 MB. TensorFlow answers most failed allocations with an error, but some end the process (`std::bad_alloc` in a thread
of its own). So a large run begins only where what it will take is there. What a row takes is measured, because nothing
in a model tells it: some of the rows run alone first, at most 16 times as many as ever before, until the request has no
more than 16 times the rows that were measured. That costs a fifteenth of the request's time, once.
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
from serving.server.run.executor import Left
from serving.server.run.feeds import Feeds, kind_of, longest_rows, rows_of, text_bytes
from serving.server.run.output_sizes import AnswerSizes, note

FREE_ROWS = 16
"""So many rows run unmeasured."""

_GROWTH = 16
"""To how many times the rows that were measured the measurement is believed."""

_MARGIN = 1.5
"""What is reckoned for a run, of what was measured for its rows."""

_BYTES_PER_BYTE = 80
"""What a tokenizer takes for a byte of text: 77 were measured for "a a a a", 2 for a single word of 10 MB; what a
stranger's text will take is not known before, so the most is reckoned."""

_LARGE_SHARE, _JOINED_SHARE = 0.625, 0.125
"""Of the memory that is free: for large runs together, and for joined small ones, which never wait for memory."""

_FIRST_JOINED_ROWS = 64
_TRIM_BYTES = 2**28
_LOOK_SECONDS = 0.1


class RunMemory:
    """Of one process; in any thread.

    Args:
        processes: that share the machine's memory.
        joined: joined runs that there may be at one time.
        available: the bytes that this process may still take, None where it is not known.
    """

    def __init__(
        self, processes: int, joined: int, available: Callable[[int], int | None] = process_memory.available
    ) -> None:
        self._processes, self._joined, self._available = processes, joined, available
        self._condition = threading.Condition()
        self._measuring = threading.Lock()
        self._line: deque[object] = deque()
        self._taken = self._running = 0
        self._alone = False
        self._can_measure = True
        self._free, self._looked = available(processes), time.monotonic()
        self.sizes = AnswerSizes()
        self._known: WeakKeyDictionary[Servable, dict[Hashable, tuple[int, float]]] = WeakKeyDictionary()

    def run(self, servable: Servable, feeds: Feeds, fetches: Sequence[str], left: Left) -> list[np.ndarray]:
        """Runs a large request, when there is memory for it.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there never is; or what `left` or the servable raises.
        """
        if self._free is None:
            return servable.run(feeds, fetches, left())
        kind, rows, text = kind_of(feeds, fetches), rows_of(feeds), text_bytes(feeds)
        of_row = self.sizes.of_row(servable, feeds, fetches)
        while few := self._rows_to_try(servable, kind, rows):
            trial = longest_rows(feeds, few)
            if trial is None:
                break
            need = self._need(of_row, servable, kind, few, text * few // rows)
            with self._reserved(need, few, left, alone=True):
                self._measured_run(servable, kind, trial, fetches, left, running=1)
        alone = rows > _GROWTH * self._learnt(servable, kind)[0]
        with self._reserved(self._need(of_row, servable, kind, rows, text), rows, left, alone):
            outputs = self._measured_run(servable, kind, feeds, fetches, left, running=1)
        self.sizes.note(servable, feeds, fetches, outputs)
        return outputs

    def run_small(self, servable: Servable, feeds: Feeds, fetches: Sequence[str], left: Left) -> list[np.ndarray]:
        """Runs a small request, and looks whether its like should better have been taken for large."""
        outputs = servable.run(feeds, fetches, left())
        self.sizes.note(servable, feeds, fetches, outputs)
        return outputs

    def most_joined(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> int:
        """The rows that small requests with rows such as these may be joined to."""
        rows, per_row = self._learnt(servable, kind_of(feeds, fetches))
        free = self._look()
        if free is None or not rows:
            return _FIRST_JOINED_ROWS if free is not None else sys.maxsize
        share = free * _JOINED_SHARE / self._joined
        return max(min(_GROWTH * rows, int(share / (per_row * _MARGIN))), FREE_ROWS)

    def run_joined(self, servable: Servable, feeds: Feeds, fetches: Sequence[str], left: Left) -> list[np.ndarray]:
        """Runs joined small requests, no more rows than `most_joined`."""
        if self._free is None or rows_of(feeds) <= FREE_ROWS:
            return self.run_small(servable, feeds, fetches, left)
        return self._measured_run(servable, kind_of(feeds, fetches), feeds, fetches, left, running=0)

    def _learnt(self, servable: Servable, kind: Hashable) -> tuple[int, float]:
        """The most rows that were measured, and bytes for a row."""
        return self._known.get(servable, {}).get(kind, (0, 0.0))

    def _rows_to_try(self, servable: Servable, kind: Hashable, rows: int) -> int:
        """How many of so many rows should run first; 0 where all may, or where nothing would be learnt."""
        if not self._can_measure:
            return 0
        known, per_row = self._learnt(servable, kind)
        most = max(_GROWTH * known, FREE_ROWS)
        if per_row:
            # What a row takes falls with their number: near the limit, more is to be learnt before any are refused.
            most = min(most, int((self._look() or 0) * _LARGE_SHARE / (per_row * _MARGIN)))
        return most if 2 * known < most < rows else 0

    def _need(self, of_row: float, servable: Servable, kind: Hashable, rows: int, text: int) -> int:
        """The memory that so many rows take, of a run that gives so many bytes for a row."""
        per_row = max(self._learnt(servable, kind)[1], of_row)
        return int(max(per_row * rows * _MARGIN, text * _BYTES_PER_BYTE))

    @contextlib.contextmanager
    def _reserved(self, need: int, rows: int, left: Left, alone: bool) -> Iterator[None]:
        """Waits, behind those who came before, until there is memory; `alone` also until no other large one runs."""
        turn = object()
        with self._condition:
            self._line.append(turn)
            try:
                while self._line[0] is not turn or not self._fits(need, rows, alone):
                    left()
                    self._condition.wait(_LOOK_SECONDS)
                self._taken, self._running, self._alone = self._taken + need, self._running + 1, alone
            finally:
                self._line.remove(turn)
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
        free = int((self._free or 0) * _LARGE_SHARE) if self._running else int((self._look() or 0) * _LARGE_SHARE)
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

    def _look(self) -> int | None:
        """What is free besides what runs; looked up now and then, while nothing large runs."""
        now = time.monotonic()
        if not self._running and now - self._looked > _LOOK_SECONDS:
            self._free, self._looked = self._available(self._processes), now
        return self._free

    def _measured_run(
        self, servable: Servable, kind: Hashable, feeds: Feeds, fetches: Sequence[str], left: Left, running: int
    ) -> list[np.ndarray]:
        """Runs, and takes note of what that took where no more than so many large ones run, and something is learnt."""
        rows = rows_of(feeds)
        if rows <= self._learnt(servable, kind)[0] * 2 or self._running != running:
            return servable.run(feeds, fetches, left())
        if not self._measuring.acquire(blocking=False):
            return servable.run(feeds, fetches, left())
        try:
            with process_memory.measured() as peak:
                outputs = servable.run(feeds, fetches, left())
        finally:
            self._measuring.release()
        if peak.bytes is None:
            self._can_measure = False  # this system does not tell: what is known before a run has to do
        elif self._running == running:
            note(self._known.setdefault(servable, {}), kind, (rows, max(peak.bytes / rows, 1.0)))
        return outputs
