"""Parts of any size give what NumPy gives for all keys at once."""

from __future__ import annotations

import numpy as np
import pytest

from components.data.gate.key_sets import count_distinct, found_in, with_several


def some(rows: int, distinct: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**64, distinct, np.uint64)
    values[:2] = 0, 2**64 - 1
    return generator.choice(values, rows)


@pytest.mark.parametrize("part_keys", [1, 7, 100, 10**6])
@pytest.mark.parametrize("rows", [0, 1, 3, 500])
def test_parts_of_any_size(part_keys: int, rows: int) -> None:
    keys, others = some(rows, 300, 0), np.concatenate([some(400, 300, 0)[:200], some(50, 50, 1)])
    codes = np.random.default_rng(2).integers(0, 3, rows).astype(np.int32)
    assert (found_in(keys, others, part_keys) == np.isin(keys, others)).all()
    assert (found_in(others, keys, part_keys) == np.isin(others, keys)).all()
    assert count_distinct(keys, part_keys) == len(np.unique(keys))
    expected = [key for key in np.unique(keys) if len(set(codes[keys == key].tolist())) > 1]
    assert with_several(keys, codes, part_keys).tolist() == expected
