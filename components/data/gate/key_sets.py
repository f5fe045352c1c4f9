"""Keys that occur in two splits, or with two labels, among hundreds of millions. Imports no TensorFlow.

Keys are hashes, so they are divided by their first bits, and a part at a time is sorted. Beside the keys themselves
that takes a few bytes for each, and what a part takes: little, if most of the keys are distinct.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_PART_KEYS = 2**22


def found_in(keys: np.ndarray, others: np.ndarray, part_keys: int = _PART_KEYS) -> np.ndarray:
    """Which of the keys, uint64 [rows], are among the others, uint64 [other rows]: bool [rows]."""
    found = np.zeros(len(keys), bool)
    for (place, part), (_, sought) in zip(*_parts(part_keys, keys, others), strict=True):
        found[place] = np.isin(part, sought)
    return found


def with_several(keys: np.ndarray, codes: np.ndarray, part_keys: int = _PART_KEYS) -> np.ndarray:
    """The distinct keys, ascending, of rows with different codes, int32 [rows]."""
    several = [np.empty(0, np.uint64)]
    for place, part in next(_parts(part_keys, keys)):
        order = np.argsort(part, kind="stable")
        ordered, own = part[order], codes[place][order]
        # Among equal keys, if not all codes are equal, two neighbours differ.
        differs = (ordered[1:] == ordered[:-1]) & (own[1:] != own[:-1])
        several.append(np.unique(ordered[1:][differs]))
    return np.concatenate(several)


def count_distinct(keys: np.ndarray, part_keys: int = _PART_KEYS) -> int:
    """The number of distinct keys."""
    return sum(len(np.unique(part)) for _, part in next(_parts(part_keys, keys)))


def _parts(part_keys: int, *arrays: np.ndarray) -> Iterator[Iterator[tuple[np.ndarray | slice, np.ndarray]]]:
    """For each array its parts, in the same order: the places of some keys, and these keys."""
    bits = (max(map(len, arrays)) // part_keys).bit_length()

    def parts(keys: np.ndarray) -> Iterator[tuple[np.ndarray | slice, np.ndarray]]:
        if not bits:
            yield slice(None), keys
            return
        number = np.empty(len(keys), np.uint16)
        np.right_shift(keys, np.uint64(64 - bits), out=number, casting="unsafe")  # no copy of the keys
        for each in range(2**bits):
            place = np.flatnonzero(number == each)
            yield place, keys[place]

    return map(parts, arrays)
