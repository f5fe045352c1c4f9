"""The metrics that training and evaluation have in common, by scikit-learn and SciPy. No TensorFlow.

Labels are given as in scikit-learn: int [N], the index of one label a row, or [N, C], 1 where a row has the label.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from sklearn import metrics


def occurring_labels(true: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    """The labels below `labels` that are true or predicted in at least one row, in ascending order."""
    if true.ndim == 2:
        return np.flatnonzero(true[:, :labels].any(axis=0) | predicted[:, :labels].any(axis=0))
    occurring: np.ndarray = np.union1d(true, predicted)
    return occurring[(occurring >= 0) & (occurring < labels)]


def label_scores(true: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Precision, recall, F1 and number of rows of each of `labels`; NaN if a label leaves one undefined."""
    scores: tuple[np.ndarray, ...] = metrics.precision_recall_fscore_support(
        _matrix(true), _matrix(predicted), labels=labels, average=None, zero_division=np.nan
    )
    return scores


def mean_f1(true: np.ndarray, predicted: np.ndarray, labels: int) -> tuple[float, float]:
    """Macro-F1, the mean of the labels below `labels` that occur, and micro-F1 of the same; NaN if none occurs."""
    occurring = occurring_labels(true, predicted, labels)
    if not len(occurring):
        return math.nan, math.nan
    counts = metrics.multilabel_confusion_matrix(_matrix(true), _matrix(predicted), labels=occurring)
    hits = counts[:, 1, 1]
    sizes = 2 * hits + counts[:, 0, 1] + counts[:, 1, 0]
    return float((2 * hits / sizes).mean()), float(2 * hits.sum() / sizes.sum())


def micro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """F1 over all labels together; NaN if no row has a label and none is predicted."""
    return float(metrics.f1_score(_matrix(true), _matrix(predicted), average="micro", zero_division=np.nan))


def mean_squared_error(true: np.ndarray, predicted: np.ndarray) -> float:
    """In the unit of the numbers, squared; NaN or infinite where a prediction is."""
    return float(np.square(predicted - true).mean())


def correlations(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`pearson` and `spearman`; NaN if one side is constant or not finite."""
    if not (np.isfinite(predicted).all() and np.ptp(true) > 0 and np.ptp(predicted) > 0):
        return {"pearson": math.nan, "spearman": math.nan}
    return {
        "pearson": float(stats.pearsonr(true, predicted).statistic),
        "spearman": float(stats.spearmanr(true, predicted).statistic),
    }


def _matrix(labels: np.ndarray) -> np.ndarray:
    """With an empty second column where there is one label: scikit-learn takes a single column for labels by number."""
    return np.pad(labels, [(0, 0), (0, 1)]) if labels.ndim == 2 and labels.shape[1] == 1 else labels
