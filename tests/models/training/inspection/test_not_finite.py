"""To which rows of a batch the numbers of a tensor belong."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.batches import Batch
from models.training.inspection.not_finite import counts, rows_with

# Two lines of five tokens: row 1 and row 2 share the first, row 3 is on the second; the fourth of the batch is empty.
LINES = np.array([[1, 1, 2, 2, 0], [3, 3, 3, 0, 0]], np.int32)
BATCH = Batch({"rows": LINES}, np.zeros(4), np.array([70, 20, 50]), 7, np.zeros((4, 1), np.float32))


def _bad(shape: tuple[int, ...], *places: tuple[int, ...]) -> np.ndarray:
    bad = np.zeros(shape, bool)
    for place in places:
        bad[place] = True
    return bad


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (_bad((2, 5, 8), (0, 2, 1), (0, 3, 7)), (20,)),
        (_bad((2, 5, 8), (0, 0, 0), (1, 1, 1)), (50, 70)),
        (_bad((2, 5), (1, 0)), (50,)),
        (_bad((2, 5, 8), (0, 4, 0)), ()),
        (_bad((10, 8), (3, 0)), (20,)),
        (_bad((4, 8), (0, 0)), (70,)),
        (_bad((4,), (1,), (3,)), (20,)),
        (_bad((2, 3, 5, 5), (1, 0, 2, 4)), (50,)),
        (_bad((), ()), ()),
        (_bad((7, 3), (1, 1)), ()),
    ],
    ids=["line", "lines", "flags", "padding", "flat", "rows", "loss", "attention", "scalar", "unknown"],
)
def test_rows_of_a_tensor(bad: np.ndarray, expected: tuple[int, ...]) -> None:
    assert rows_with(bad, BATCH) == expected


def test_rows_of_texts_apart() -> None:
    apart = np.array([[1, 2, 3, 0], [4, 4, 5, 6], [6, 6, 0, 0]], np.int32)
    batch = Batch({"rows": LINES, "apart_rows": apart}, np.zeros(4), BATCH.rows, 7, BATCH.base_logits)
    assert rows_with(_bad((3, 4, 8), (1, 1, 0)), batch) == (20,)
    assert rows_with(_bad((8, 8), (4, 0)), batch) == (50,)


def test_numbers_are_counted() -> None:
    assert counts(np.array([[1.0, np.nan, np.inf], [-np.inf, 0.0, 2.0]])) == (1, 2, 6)
