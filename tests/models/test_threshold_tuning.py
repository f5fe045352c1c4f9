"""The threshold is the best of all, and as far as possible from the probabilities on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from models import threshold_tuning
from models.shared_metrics import mean_f1
from models.threshold_tuning import HIGHEST, LOWEST, best_threshold


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 30), labels=st.integers(1, 5), macro=st.booleans())
def test_no_other_threshold_is_better(seed: int, rows: int, labels: int, macro: bool) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 12, (rows, labels)).astype(np.float32) / 11  # many ties, 0 and 1 among them
    true = rng.random((rows, labels)) < 0.4
    true[0, 0] = True

    def score(threshold: float) -> float:
        predicted = probabilities >= np.float32(threshold)
        return mean_f1(true, predicted, labels)[0 if macro else 1]

    found = best_threshold(probabilities, true, macro=macro)
    assert LOWEST <= found <= HIGHEST
    others = [LOWEST, HIGHEST, *((np.arange(11) + 0.5) / 11)]
    assert score(found) == pytest.approx(max(map(score, others)), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 30), labels=st.integers(1, 6))
def test_macro_f1_is_that_of_each_label_for_itself(seed: int, rows: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    true = (rng.random((rows, labels)) < 0.4) & (np.arange(labels) % 3 < 2)  # each third label occurs in no row
    true[0, 0] = True
    order = rng.permutation(true.size)
    columns, hits = np.tile(np.arange(labels), rows)[order], true.ravel()[order]
    gains, appears = np.zeros(len(hits)), np.zeros(len(hits))
    for label in range(labels):
        places, count = np.flatnonzero(columns == label), int(true[:, label].sum())
        f1 = 2 * np.cumsum(hits[places]) / (np.arange(1, rows + 1) + count)
        gains[places] = np.diff(f1, prepend=0.0)
        appears[places[0]] = not count
    expected = np.cumsum(gains) / (np.cumsum(appears) + true.any(axis=0).sum())
    assert np.array_equal(threshold_tuning._macro_f1(hits, columns, true), expected)


def test_it_is_the_middle_of_the_widest_best_interval() -> None:
    true = np.array([[True], [True], [False], [False]])
    assert best_threshold(np.array([[0.9], [0.6], [0.2], [0.1]], np.float32), true, macro=False) == pytest.approx(0.4)


def test_a_label_that_no_row_has_counts_from_its_first_prediction() -> None:
    """Macro-F1 averages over the labels that occur, so a false alarm of an absent label costs half of it."""
    probabilities = np.array([[0.9, 0.1], [0.4, 0.3], [0.2, 0.1]], np.float32)
    true = np.array([[True, False], [True, False], [False, False]])
    threshold = best_threshold(probabilities, true, macro=True)
    predicted = probabilities >= threshold
    assert threshold == pytest.approx(0.35)
    assert reference.f1_score(true, predicted, average="macro", labels=[0]) == 1.0
