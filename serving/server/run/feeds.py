"""What is asked of a run: the tensors that it is fed, by their rows and bytes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

Feeds = Mapping[str, np.ndarray]


def rows_of(feeds: Feeds) -> int:
    """The rows of a run: the largest first dimension."""
    return max([array.shape[0] if array.ndim and array.size else 1 for array in feeds.values()], default=1)


def text_bytes(feeds: Feeds) -> int:
    """Of all strings."""
    return sum(int(_lengths(array).sum()) for array in feeds.values() if array.dtype == object)


def kind_of(feeds: Feeds, fetches: Sequence[str]) -> Hashable:
    """Runs that take about as much for a row: the same signature, and the longest row within a factor of two."""
    longest = sum([_longest_row(array) for array in feeds.values()])
    return (frozenset(feeds), frozenset(fetches), longest.bit_length())


def longest_rows(feeds: Feeds, count: int) -> dict[str, np.ndarray] | None:
    """The longest rows; None where the inputs do not have the same number of rows."""
    sizes = {array.shape[0] if array.size else -1 for array in feeds.values()}
    if len(sizes) != 1 or max(sizes) < count:
        return None
    lengths = np.zeros(max(sizes), np.int64)
    for array in feeds.values():
        lengths += _row_bytes(array)
    chosen = np.sort(np.argpartition(lengths, -count)[-count:])
    return {name: array[chosen] for name, array in feeds.items()}


def _longest_row(array: np.ndarray) -> int:
    """The bytes of the longest row, of the usual arrays without NumPy, whose calls cost more than they do."""
    rows = array.shape[0] if array.ndim else 1
    if array.dtype != object or not array.size:
        return int(array.nbytes // max(rows, 1))
    if array.size == rows:
        return max(map(len, array.flat))
    return int(_row_bytes(array).max())


def _lengths(array: np.ndarray) -> np.ndarray:
    return np.fromiter(map(len, array.flat), np.int64, array.size)


def _row_bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of each row, or of any where all are alike."""
    rows = array.shape[0] if array.ndim else 1
    if array.dtype != object or not array.size:
        return np.array([array.nbytes // max(rows, 1)])
    return np.asarray(_lengths(array).reshape(rows, -1).sum(1))
