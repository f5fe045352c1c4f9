"""The linear baseline: logistic or ridge regression on counted words and characters.

TF-IDF with a linear model is what is usually tried first (Joachims, "Text Categorization with Support Vector Machines",
1998; Wang and Manning, "Baselines and Bigrams", 2012). Logistic regression is fitted label by label (one against the
rest) by averaged stochastic gradient descent (Bottou, "Large-Scale Machine Learning with Stochastic Gradient Descent",
2010), which on such data is as good as L-BFGS and several times as fast.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, special
from sklearn.linear_model import Ridge, SGDClassifier

from components.baselines.text_rows import TextRows
from components.baselines.text_vectors import TextVectors
from tflite.host.prediction import TaskType

PENALTIES = {"single_label": (4.0, 1.0, 16.0), "multi_label": (4.0, 1.0, 16.0), "regression": (3.0, 1.0, 10.0)}
"""The regularization to try, the usual one first: the inverse strength C of logistic regression, alpha of ridge
regression."""
_MOST_TRIED = 200_000
"""With more rows times labels, only the usual regularization is fitted."""
_ENOUGH_UPDATES, _FEWEST_PASSES, _MOST_PASSES = 60_000, 5, 300
"""Updates of the weights that are enough; the fewest and the most passes over the rows."""
_MOST_WEIGHTS = 30_000_000
_CONSTANT = 20.0
"""The log-odds of a label that all training rows have, or negative: none has."""


@dataclass(frozen=True)
class LinearModel:
    """Weights [F, K] and biases [K], float32: K is the number of labels, or 1 for two labels or a regression."""

    task_type: TaskType
    weights: np.ndarray
    biases: np.ndarray

    def predict(self, features: sparse.csr_matrix) -> np.ndarray:
        """Probabilities, float32 [N, C], or numbers, float32 [N, 1], for features [N, F]."""
        scores: np.ndarray = np.asarray(features @ self.weights, np.float32) + self.biases
        if self.task_type == "regression":
            return scores
        probabilities = np.asarray(special.expit(scores), np.float32)
        if self.task_type == "single_label":
            if probabilities.shape[1] == 1:
                return np.hstack([1 - probabilities, probabilities])
            probabilities = probabilities / np.maximum(
                probabilities.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny
            )
        return probabilities


class LinearBaseline:
    """A linear model of training rows.

    Attributes:
        features: of the training rows, float32 [N, F].
        model: fitted to all of them.
        penalty: its regularization, one of `PENALTIES`.
    """

    def __init__(self, task_type: TaskType, labels: int, rows: TextRows, targets: np.ndarray) -> None:
        """Fits a model with the usual regularization; `choose_penalty` may find a better one.

        Args:
            task_type: `task.type`.
            labels: their number C; not used for a regression.
            rows: N training rows.
            targets: int [N], index of the label; bool [N, C]; or float [N].

        Raises:
            NothingToCountError: the texts are empty or only white space.
        """
        self._type, self._targets = task_type, targets
        if task_type == "single_label":
            self._targets = targets[:, None] == (np.array([1]) if labels == 2 else np.arange(labels))
        self._vectors = TextVectors(_MOST_WEIGHTS // max(1, labels))
        self.features = self._vectors.fit_transform(rows)
        self.penalty = PENALTIES[task_type][0]
        self.model = self.fit(np.arange(len(rows)))

    def choose_penalty(self, rows: TextRows, score: Callable[[np.ndarray], float]) -> None:
        """Keeps the model that is best on other rows.

        Args:
            rows: such as the eval rows.
            score: how good predictions for them are; higher is better.
        """
        if not len(rows) or self._targets.size > _MOST_TRIED:
            return
        features, every = self._vectors.transform(rows), np.arange(len(self._targets))
        best = score(self.model.predict(features))
        for penalty in PENALTIES[self._type][1:]:
            model = self.fit(every, penalty)
            found = score(model.predict(features))
            if found > best:
                best, self.model, self.penalty = found, model, penalty

    def fit(self, rows: np.ndarray, penalty: float | None = None) -> LinearModel:
        """A model of some of the training rows, int [M]. `penalty`: by default the chosen one."""
        features, targets, penalty = self.features[rows], self._targets[rows], penalty or self.penalty
        if self._type == "regression":
            ridge = Ridge(penalty, solver="sparse_cg", tol=1e-3).fit(features, targets)
            return LinearModel(self._type, *_float32(ridge.coef_.reshape(-1, 1), [ridge.intercept_]))
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # scikit-learn fits without holding Python's lock
            fitted = pool.map(lambda target: _fit_label(features, target, penalty), targets.T)
            weights, biases = zip(*fitted, strict=True)
        return LinearModel(self._type, *_float32(np.stack(weights, axis=1), biases))

    def cross_validated(self, folds: np.ndarray) -> np.ndarray:
        """Predictions for the training rows by models of the other rows, as `LinearModel.predict`.

        With the usual regularization: a weaker one may have a higher accuracy on the eval rows, but its probabilities
        are too high.

        Args:
            folds: int [N], the fold of each row, from 0.
        """
        parts = [np.flatnonzero(folds == fold) for fold in range(folds.max() + 1)]
        found = [
            self.fit(np.flatnonzero(folds != fold), PENALTIES[self._type][0]).predict(self.features[part])
            for fold, part in enumerate(parts)
        ]
        predictions: np.ndarray = np.concatenate(found)[np.argsort(np.concatenate(parts))]
        return predictions

    def predict(self, rows: TextRows) -> np.ndarray:
        """As `LinearModel.predict`, for the rows' texts."""
        return self.model.predict(self._vectors.transform(rows))


def _fit_label(features: sparse.csr_matrix, has: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights [F] and bias of one label; `has`: bool [N]."""
    if has.all() or not has.any():
        return np.zeros(features.shape[1], np.float32), _CONSTANT if has.any() else -_CONSTANT
    rows = len(has)
    passes = min(_MOST_PASSES, max(_FEWEST_PASSES, -(-_ENOUGH_UPDATES // rows)))
    model = SGDClassifier(
        "log_loss", alpha=1 / (penalty * rows), max_iter=passes, tol=None, average=True, random_state=0
    ).fit(features, has)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def _float32(*arrays: Any) -> list[np.ndarray]:
    return [np.asarray(array, np.float32) for array in arrays]
