from __future__ import annotations

import math

import numpy as np
import pytest

from models.shared_metrics import correlations, label_scores, mean_f1, micro_f1, occurring_labels


def test_labels_that_occur_are_those_true_or_predicted_below_the_limit() -> None:
    assert occurring_labels(np.array([0, -1, 2]), np.array([0, 5, 4]), 5).tolist() == [0, 2, 4]
    assert occurring_labels(np.array([[1, 0, 0, 1]]), np.array([[0, 0, 1, 0]]), 3).tolist() == [0, 2]


def test_one_label_of_many_is_measured_as_a_label_and_not_as_a_number() -> None:
    true, predicted = np.array([[1], [0], [1], [0]]), np.array([[1], [1], [0], [0]], bool)
    assert mean_f1(true, predicted, 1) == (0.5, 0.5)
    assert micro_f1(true, predicted) == 0.5


def test_scores_are_nan_where_nothing_defines_them() -> None:
    nothing = np.zeros((3, 2), bool)
    assert all(map(math.isnan, mean_f1(nothing, nothing, 2)))
    assert math.isnan(micro_f1(nothing, nothing))
    precision, recall, _, _ = label_scores(np.array([0, 0]), np.array([1, 0]), np.array([0, 1]))
    assert precision.tolist() == [1.0, 0.0]
    assert recall[0] == 0.5
    assert math.isnan(recall[1])


@pytest.mark.parametrize("predicted", [[1.0, 1.0, 1.0], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_a_constant_or_a_number_that_is_not_finite_has_no_correlation(predicted: list[float]) -> None:
    found = correlations(np.array([1.0, 2.0, 3.0]), np.array(predicted))
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])
