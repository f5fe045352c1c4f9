"""From answers and predictions to the figures of the report, exactly, with scikit-learn and scipy. No TensorFlow.

Two kinds of rows have no place in a textbook's definition, and every figure treats them alike:

- a row without an answer (`UNLABELLED`) is counted in `unlabelled_count` and left out of everything else;
- a row whose answer is a label that the model does not know (`UNKNOWN`) is an error: it lowers accuracy and the
  precision of the label that was predicted instead, and it is a negative for every label's ROC curve. It has no
  place in `log_loss`, which would be infinite, nor among the labels that macro figures average over.

A label's precision is NaN where it was never predicted, its recall where it is no row's answer.
Averages over labels take the labels that occur in the slice, as answer or as prediction; a figure that the slice
cannot define (a ROC curve without negatives, a correlation with a constant) is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from components.thresholds import METRICS

UNKNOWN = -1
"""Answer of a row whose label the model does not know."""
UNLABELLED = -2
"""Answer of a row that has none."""
CALIBRATION_BINS = 15
"""Equal-width bins of confidence (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

Figures = dict[str, float]


def single_label(answers: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]) -> tuple[Figures, np.ndarray]:
    """Figures of a task with one label a row.

    Args:
        answers: int [N], index of the label, or `UNKNOWN` or `UNLABELLED`.
        probabilities: float [N, C].
        labels: the C labels.

    Returns:
        The figures by name, and the confusion matrix, int64 [C + 1, C]: answer by prediction, its last row the
        answers that the model does not know.
    """
    labelled = answers != UNLABELLED
    counts = _counts(labelled)
    answers, probabilities = answers[labelled], probabilities[labelled].astype(np.float64)
    predicted = probabilities.argmax(axis=1) if len(answers) else np.zeros(0, np.int64)
    classes = len(labels)
    confusion = np.zeros((classes + 1, classes), np.int64)
    np.add.at(confusion, (np.where(answers == UNKNOWN, classes, answers), predicted), 1)
    figures = {
        **counts,
        "unknown_label_count": float((answers == UNKNOWN).sum()),
        **_one_label_scores(answers, predicted, labels),
        "auc": _auc(answers, probabilities),
        "log_loss": _log_loss(answers, probabilities),
        "calibration_error": _calibration_error(probabilities.max(axis=1, initial=0.0), predicted == answers),
    }
    return figures, confusion


def multi_label(
    answers: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...], threshold: float
) -> tuple[Figures, np.ndarray]:
    """Figures of a task with any number of labels a row.

    Args:
        answers: int [N, C + 1], 1 where the row has the label; the last column is 1 where it has a label that the
            model does not know.
        probabilities: float [N, C].
        labels: the C labels.
        threshold: probability from which a label counts as given.

    Returns:
        The figures by name, and each label's confusion, int64 [C, 2, 2]: answer by prediction, no before yes.
    """
    classes = len(labels)
    if not len(answers):
        return dict.fromkeys(METRICS["multi_label"], math.nan) | _counts(np.zeros(0, bool)), np.zeros(
            (classes, 2, 2), int
        )
    # Compared as float32, as the exported model does.
    predicted = probabilities >= np.float32(threshold)
    probabilities = probabilities.astype(np.float64)
    known, unknown = answers[:, :classes].astype(bool), answers[:, classes].astype(bool)
    with_unknown = np.column_stack([predicted, np.zeros(len(answers), bool)])
    figures = {
        **_counts(np.ones(len(answers), bool)),
        "unknown_label_count": float(unknown.sum()),
        "micro_f1": float(sk.f1_score(answers, with_unknown, average="micro", zero_division=0)),
        "subset_accuracy": float(sk.accuracy_score(answers, with_unknown)),
        **_many_label_scores(answers, with_unknown, probabilities, labels),
        "log_loss": _binary_log_loss(known, probabilities),
        "calibration_error": _calibration_error(
            np.where(predicted, probabilities, 1.0 - probabilities).ravel(), (predicted == known).ravel()
        ),
    }
    confusion = np.stack(
        [
            np.stack([(~known & ~predicted).sum(0), (~known & predicted).sum(0)], axis=-1),
            np.stack([(known & ~predicted).sum(0), (known & predicted).sum(0)], axis=-1),
        ],
        axis=1,
    )
    return figures, confusion.astype(np.int64)


def regression(answers: np.ndarray, predictions: np.ndarray) -> Figures:
    """Figures of a task whose answer is a number: float [N] each, NaN where a row has no answer."""
    labelled = ~np.isnan(answers)
    counts = _counts(labelled)
    answers, predictions = answers[labelled].astype(np.float64), predictions[labelled].astype(np.float64)
    if not len(answers):
        return {**counts, "mse": math.nan, "mae": math.nan, "pearson": math.nan, "spearman": math.nan}
    varies = len(answers) > 1 and np.ptp(answers) > 0 and np.ptp(predictions) > 0
    return {
        **counts,
        "mse": float(sk.mean_squared_error(answers, predictions)),
        "mae": float(sk.mean_absolute_error(answers, predictions)),
        "pearson": float(stats.pearsonr(answers, predictions).statistic) if varies else math.nan,
        "spearman": float(stats.spearmanr(answers, predictions).statistic) if varies else math.nan,
    }


def _counts(labelled: np.ndarray) -> Figures:
    return {"example_count": float(labelled.sum()), "unlabelled_count": float((~labelled).sum())}


def _one_label_scores(answers: np.ndarray, predicted: np.ndarray, labels: tuple[str, ...]) -> Figures:
    if not len(answers):
        return {"accuracy": math.nan, "macro_f1": math.nan, "weighted_f1": math.nan}
    present = np.union1d(answers[answers != UNKNOWN], predicted)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        answers, predicted, labels=present, average=None, zero_division=np.nan
    )
    figures = {
        "accuracy": float((answers == predicted).mean()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=support)) if support.sum() else math.nan,
    }
    return figures | _by_label(present, labels, precision=precision, recall=recall, f1=f1)


def _many_label_scores(
    answers: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]
) -> Figures:
    # The last column, unknown labels, is there for scikit-learn to see a matrix even where there is one label.
    answered = np.flatnonzero(answers[:, :-1].any(0))
    present = np.union1d(answered, np.flatnonzero(predicted.any(0)))
    if not len(present):
        return {"macro_f1": math.nan, "mean_average_precision": math.nan}
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        answers, predicted, labels=present, average=None, zero_division=np.nan
    )
    average = np.array([sk.average_precision_score(answers[:, i], probabilities[:, i]) for i in answered])
    return {
        "macro_f1": float(f1.mean()),
        "mean_average_precision": float(average.mean()) if len(average) else math.nan,
        **_by_label(present, labels, precision=precision, recall=recall, f1=f1),
        **_by_label(answered, labels, average_precision=average),
    }


def _by_label(which: np.ndarray, labels: tuple[str, ...], **figures: np.ndarray) -> Figures:
    return {
        f"{name}/{labels[index]}": float(value)
        for name, values in figures.items()
        for index, value in zip(which, values, strict=True)
    }


def _auc(answers: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve: of the second label where there are two, else the mean over one label against the
    rest, for the labels that have both kinds of rows."""
    classes = probabilities.shape[1]
    judged = [1] if classes == 2 else np.unique(answers[answers != UNKNOWN])
    areas = []
    for label in judged:
        positive = answers == label
        if positive.any() and not positive.all():
            areas.append(sk.roc_auc_score(positive, probabilities[:, label]))
    return float(np.mean(areas)) if areas else math.nan


def _log_loss(answers: np.ndarray, probabilities: np.ndarray) -> float:
    known = answers != UNKNOWN
    if not known.any():
        return math.nan
    given = probabilities[known, answers[known]]
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def _binary_log_loss(known: np.ndarray, probabilities: np.ndarray) -> float:
    if not known.size:
        return math.nan
    given = np.where(known, probabilities, 1.0 - probabilities)
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: |share correct - mean confidence| over equal-width bins, weighted by their rows."""
    if not len(confidence):
        return math.nan
    # Bins are closed at the right, as in the paper: a confidence of exactly 1/15 is in the first.
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=correct.astype(np.float64) - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))
