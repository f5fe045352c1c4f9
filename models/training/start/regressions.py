"""Logistic and ridge regressions of scikit-learn, as the weights of a linear layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

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


def fit_each_label(
    features: Any, targets: np.ndarray, label_weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """A binary regression for each label; one that all or no rows have gets the log odds of its share.

    Args:
        features: [N, K], dense or sparse; K may be 0.
        targets: [N, C], 1 where the row has the label.
        label_weights: [C], of the rows that have the label.
        strength: as for `fit_softmax`.

    Returns:
        Weights [K, C] and biases [C].
    """
    weights, biases = np.zeros((features.shape[1], len(label_weights))), np.zeros(len(label_weights))
    for label, weight in enumerate(label_weights):
        has = targets[:, label] > 0.5
        biases[label] = np.log((has.sum() + 0.5) / ((~has).sum() + 0.5))
        if has.any() and not has.all() and features.shape[1]:
            weights[:, label], biases[label] = fit_sigmoid(features, has, strength, np.where(has, weight, 1.0))
    return weights, biases


def fit_number(
    features: Any, targets: np.ndarray, label_weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression.

    Args:
        features: [N, K], dense or sparse.
        targets: float [N].
        label_weights: not used; a number has none.
        strength: 1 / alpha.

    Returns:
        Weights [K, 1] and bias [1].
    """
    fitted = Ridge(alpha=1 / strength).fit(features, targets)
    return np.asarray(fitted.coef_)[:, None], np.array([fitted.intercept_])


def _fit(features: Any, targets: np.ndarray, strength: float, row_weights: np.ndarray | None) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS).fit(features, targets, row_weights)
