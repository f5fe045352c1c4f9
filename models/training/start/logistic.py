"""Logistic regressions of scikit-learn, as the weights of a linear layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

_MOST_ITERATIONS = 100  # about 20 are usual; weights that training starts from need not be the best ones


def fit_softmax(
    features: Any, targets: np.ndarray, strength: float, row_weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A multinomial regression.

    Args:
        features: [N, K], dense or sparse.
        targets: integers [N], of two labels or more.
        strength: scikit-learn's C; the higher, the larger the weights may be.
        row_weights: [N]; default: 1 each.

    Returns:
        The labels that occur, ascending, [P]; their weights [K, P] and biases [P].
    """
    fitted = _fit(features, targets, strength, row_weights)
    weights, biases = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn gives the difference of the two logits
        weights, biases = (np.concatenate([-values, values]) / 2 for values in (weights, biases))
    return fitted.classes_, weights.T, biases


def fit_sigmoid(
    features: Any, has: np.ndarray, strength: float, row_weights: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """A binary regression: the weights [K] and the bias of the label's logit.

    Args:
        features, strength, row_weights: as for `fit_softmax`.
        has: bool [N], whether a row has the label; not the same for all.
    """
    fitted = _fit(features, has, strength, row_weights)
    return fitted.coef_[0], float(fitted.intercept_[0])


def _fit(features: Any, targets: np.ndarray, strength: float, row_weights: np.ndarray | None) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS).fit(features, targets, row_weights)
