"""The tensors that a run is fed: their rows and bytes, and whether the run is large."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

Feeds = Mapping[str, np.ndarray]

FREE_ROWS = 16
"""Runs of up to this many rows are small and are not measured."""

LARGE_BYTES = 2**18
"""A tokenizer takes about 100 ns per byte: 25 ms."""

_LARGE_ELEMENTS = 2**10


def is_large(feeds: Feeds) -> bool:
    """Whether a run takes so long, or so much memory, that small runs must not wait for it."""
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


def rows_of(feeds: Feeds) -> int:
    """The rows of a run: the largest first dimension."""
    return max([array.shape[0] if array.ndim and array.size else 1 for array in feeds.values()], default=1)


def text_bytes(feeds: Feeds) -> int:
    """The bytes of all strings."""
    return sum(int(_lengths(array).sum()) for array in feeds.values() if array.dtype == object)


def kind_of(feeds: Feeds, fetches: Sequence[str]) -> Hashable:
    """Equal for runs that take about as much per row: same signature, longest row within a factor of two."""
    longest = sum([_longest_row(array) for array in feeds.values()])
    return (frozenset(feeds), frozenset(fetches), longest.bit_length())


def longest_rows(feeds: Feeds, count: int) -> dict[str, np.ndarray] | None:
    """The `count` longest rows; None if the inputs do not have the same number of rows."""
    sizes = {array.shape[0] if array.size else -1 for array in feeds.values()}
    if len(sizes) != 1 or max(sizes) < count:
        return None
    lengths = np.zeros(max(sizes), np.int64)
    for array in feeds.values():
        lengths += _row_bytes(array)
    chosen = np.sort(np.argpartition(lengths, -count)[-count:])
    return {name: array[chosen] for name, array in feeds.items()}


def _longest_row(array: np.ndarray) -> int:
    """The bytes of the longest row. Avoids NumPy for common arrays, where its calls cost more than the work."""
    rows = array.shape[0] if array.ndim else 1
    if array.dtype != object or not array.size:
        return int(array.nbytes // max(rows, 1))
    if array.size == rows:
        return max(map(len, array.flat))
    return int(_row_bytes(array).max())


def _lengths(array: np.ndarray) -> np.ndarray:
    return np.fromiter(map(len, array.flat), np.int64, array.size)


def _row_bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of each row, or a single number if all rows have the same size."""
    rows = array.shape[0] if array.ndim else 1
    if array.dtype != object or not array.size:
        return np.array([array.nbytes // max(rows, 1)])
    return np.asarray(_lengths(array).reshape(rows, -1).sum(1))
