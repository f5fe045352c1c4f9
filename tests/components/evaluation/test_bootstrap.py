"""The interval of a loss: its coverage, its determinism, and that few rows have none."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation import weighted_metrics
from components.evaluation.bootstrap import loss_intervals
from components.evaluation.measurements import FEWEST_ROWS


def interval(own: np.ndarray, other: np.ndarray, name: str = "mae", order: np.ndarray | None = None) -> tuple | None:
    targets = np.zeros(len(own))
    sides = [weighted_metrics.regression([name], targets, side) for side in (own, other)]
    rows = np.arange(len(own)) if order is None else order
    return loss_intervals([name], *sides, lambda name: name == "spearman", rows).get(name)


def test_the_interval_is_that_of_the_paired_differences() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(5.0, 400)  # rows that are hard for both models do not widen the difference's interval
    own, other = hard + rng.normal(0.2, 0.5, 400), hard
    difference = np.abs(own) - np.abs(other)
    low, high = interval(own, other)
    error = difference.std() / np.sqrt(400)
    assert (low + high) / 2 == pytest.approx(difference.mean(), abs=0.2 * error)
    assert high - low == pytest.approx(2 * 1.2816 * error, rel=0.1)
    assert high - low < 0.2 * hard.std() / np.sqrt(400) * 2 * 1.2816


def test_nine_of_ten_equal_models_are_not_judged_worse() -> None:
    rng, worse = np.random.default_rng(1), 0
    for _ in range(60):
        own, other = (rng.random((2, 100)) > 0.9).astype(float)
        worse += interval(own, other)[0] > 0
    assert 1 <= worse <= 12


def test_a_loss_of_five_points_is_detected_on_four_hundred_rows() -> None:
    rng, seen = np.random.default_rng(5), 0
    for _ in range(40):
        kind = rng.random(
            400
        )  # the live model is wrong on 12% of the rows; the candidate loses 6.5% of the others and wins 1.5%
        other = kind < 0.12
        own = np.where(other, kind > 0.015, kind > 0.935)
        seen += interval(own.astype(float), other.astype(float))[0] > 0
    assert seen >= 38


def test_the_same_rows_have_the_same_interval() -> None:
    rng = np.random.default_rng(2)
    own, other = rng.random((2, 300))
    assert interval(own, other) == interval(own, other)
    shuffled = rng.permutation(300)
    order = np.argsort(shuffled)  # the new position of each row
    assert interval(own[shuffled], other[shuffled], order=order) == pytest.approx(interval(own, other))


def test_equal_predictions_have_no_loss() -> None:
    own = np.random.default_rng(3).random(200)
    assert interval(own, own) == (0.0, 0.0)


@pytest.mark.parametrize("rows", [0, 1, FEWEST_ROWS - 1])
def test_few_rows_have_no_interval(rows: int) -> None:
    assert interval(np.ones(rows), np.zeros(rows)) is None
    assert interval(np.ones(FEWEST_ROWS), np.zeros(FEWEST_ROWS)) == (1.0, 1.0)


def test_a_metric_that_the_rows_cannot_define_has_no_interval() -> None:
    assert interval(np.ones(50), np.random.default_rng(4).random(50), "spearman") is None
