"""How far a step is with its rows: how many are done, how fast, and the time that is left (standard library only).

Whatever reads or predicts rows calls `count_rows`; whoever began it tells the user, about once a second. The processes
that are forked meanwhile count too.
"""

from __future__ import annotations

import logging
import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from models.training.progress import format_duration

PROGRESS_LOG = logging.getLogger("transom.progress")
_EVERY_S = 1.0
# Seconds after which a rate is one, and not the first few rows' luck.
_STEADY_S = 3.0
# What each process counts.
_ROWS, _FINISHED_ROWS, _FINISHED_BYTES, _FIELDS = 0, 1, 2, 3
_current: RowProgress | None = None


class RowProgress:
    """The rows that some processes have done.

    Args:
        rows: the number of all rows; None: it is estimated from the files that are finished.
        size: the bytes of all files, for that estimate.
        processes: the number of processes that count.
        what: follows the number of rows: "with Keras".
    """

    def __init__(self, rows: int | None = None, size: int = 0, processes: int = 1, what: str = "") -> None:
        self._rows, self._size, self._what = rows, size, f" {what}" if what else ""
        # In memory that forked processes share. Each writes its own numbers: none waits for one that was killed.
        self._counts = memoryview(mmap.mmap(-1, 8 * _FIELDS * max(1, processes))).cast("q")
        self._place = 0
        self._told = time.monotonic()
        self._first: tuple[float, int] | None = None

    def use_place(self, process: int) -> None:
        """Has this process count as number `process`, from 0."""
        self._place = _FIELDS * process

    def add(self, rows: int) -> None:
        """Counts rows of this process, and tells if it is time."""
        self._counts[self._place + _ROWS] += rows
        self.tell()

    def finish(self, size: int) -> None:
        """Notes that this process has finished a file of so many bytes, to which all rows since the last belong."""
        self._counts[self._place + _FINISHED_ROWS] = self._counts[self._place + _ROWS]
        self._counts[self._place + _FINISHED_BYTES] += size

    def tell(self) -> None:
        """Logs the progress, at most once a second, if there is any."""
        now, rows = time.monotonic(), self._total(_ROWS)
        if self._first is None and rows:
            self._first = now, rows  # what came before, such as making a graph, says nothing about the rest
        if self._first is not None and now - self._told >= _EVERY_S:
            self._told = now
            seconds, more = now - self._first[0], rows - self._first[1]
            amounts = self.amounts(more / seconds if more and seconds >= _STEADY_S else None)
            PROGRESS_LOG.info("%s", amounts.note(self._what), extra={"amounts": amounts.as_dict()})

    def _total(self, field: int) -> int:
        return sum(self._counts.tolist()[field::_FIELDS])

    def amounts(self, rate: float | None) -> Amounts:
        """The progress. `rate`: rows per second; None if it is not known yet."""
        rows, finished, size = map(self._total, range(_FIELDS))
        total, about = self._rows, False
        if total is None and size and self._size:
            estimate = round(finished * self._size / size)
            total, about = (estimate, True) if estimate > rows else (None, False)
        return Amounts(rows, total, about, rate)


@dataclass(frozen=True)
class Amounts:
    """How far some work is.

    Attributes:
        done: rows.
        total: of all rows; None if it is not known.
        is_estimated: whether `total` is an estimate.
        rate: rows per second; None if it is not known yet.
    """

    done: int
    total: int | None = None
    is_estimated: bool = False
    rate: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For programs: the attributes, the unit, and the seconds left."""
        left = self.seconds_left
        return {
            "unit": "rows",
            "done": self.done,
            "total": self.total,
            "total_is_estimated": self.is_estimated,
            "per_second": None if self.rate is None else round(self.rate, 1),
            "seconds_left": None if left is None else round(left, 1),
        }

    @property
    def seconds_left(self) -> float | None:
        return max(0, self.total - self.done) / self.rate if self.total is not None and self.rate else None

    def note(self, what: str = "") -> str:
        """For people, the most important part first. `what` follows the number of rows: "with Keras"."""
        about = "about " if self.is_estimated else ""
        parts = [f"{self.done:,}" + ("" if self.total is None else f" of {about}{self.total:,}") + f" rows{what}"]
        if self.seconds_left is not None:
            parts.append(f"{format_duration(self.seconds_left)} left")
        if self.rate:
            parts.append(f"{self.rate:,.0f} rows/s")
        return ", ".join(parts)


def count_rows(rows: int) -> None:
    """Counts rows as done, if somebody wants to tell."""
    if _current is not None:
        _current.add(rows)


def finish_file(size: int) -> None:
    """Notes that a file of so many bytes is done, if somebody wants to tell."""
    if _current is not None:
        _current.finish(size)


def count_as(process: int) -> None:
    """Has a forked process count as number `process`, from 0."""
    if _current is not None:
        _current.use_place(process)


@contextmanager
def row_progress(progress: RowProgress) -> Iterator[RowProgress]:
    """Has `count_rows` count there in the block, in this process and those that are forked."""
    global _current
    before, _current = _current, progress
    try:
        yield progress
    finally:
        _current = before
