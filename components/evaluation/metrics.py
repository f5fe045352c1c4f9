"""From answers and predictions to the figures of the report, exactly, with scikit-learn and scipy. No TensorFlow.

Three kinds of rows have no place in a textbook's definition, and every figure treats them alike:

- a row without an answer (`UNLABELLED`) is counted in `unlabelled_count` and left out of everything else, but for:
- a row that the model answers with NaN or infinity, whether it has an answer or not, is counted in `not_finite_count`,
  and where there is one, no other figure has a value: a model that breaks on some rows is not measured on the rest;
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

from components.evaluation.thresholds import METRICS
from tflite.host.prediction import TaskType

UNKNOWN = -1
"""Answer of a row whose label the model does not know."""
UNLABELLED = -2
"""Answer of a row that has none."""
CALIBRATION_BINS = 15
"""Equal-width bins of confidence (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

Metrics = dict[str, float]


def single_label(answers: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]) -> tuple[Metrics, np.ndarray]:
    """Figures of a task with one label a row.

    Args:
        answers: int [N], index of the label, or `UNKNOWN` or `UNLABELLED`.
        probabilities: float [N, C], or more columns: of labels that are not compared, which no row has. To give one is
            an error, but they are none of the labels that figures average over.
        labels: the C labels.

    Returns:
        The figures by name, and the confusion matrix, int64 [C + 1, C]: answer by prediction, its last row the
        answers that the model does not know.
    """
    labelled = answers != UNLABELLED
    counts, broken = _counts(labelled), _broken(probabilities)
    answers, probabilities = answers[labelled], probabilities[labelled].astype(np.float64)
    classes = len(labels)
    if broken:
        return _unmeasured("single_label", counts, broken), np.zeros((classes + 1, classes), np.int64)
    predicted = probabilities.argmax(axis=1) if len(answers) else np.zeros(0, np.int64)
    confusion = np.zeros((classes + 1, classes), np.int64)
    compared = predicted < classes
    np.add.at(confusion, (np.where(answers == UNKNOWN, classes, answers)[compared], predicted[compared]), 1)
    figures = {
        **counts,
        "unknown_label_count": float((answers == UNKNOWN).sum()),
        **_one_label_scores(answers, predicted, labels),
        "auc": _auc(answers, probabilities, classes),
        "log_loss": _log_loss(answers, probabilities),
        "calibration_error": _calibration_error(probabilities.max(axis=1, initial=0.0), predicted == answers),
    }
    return figures, confusion


def multi_label(
    answers: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...], threshold: float
) -> tuple[Metrics, np.ndarray]:
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
    counts, broken = _counts(np.ones(len(answers), bool)), _broken(probabilities)
    if broken or not len(answers):
        return _unmeasured("multi_label", counts, broken), np.zeros((classes, 2, 2), np.int64)
    # Compared as float32, as the exported model does.
    predicted = probabilities >= np.float32(threshold)
    probabilities = probabilities.astype(np.float64)
    known, unknown = answers[:, :classes].astype(bool), answers[:, classes].astype(bool)
    with_unknown = np.column_stack([predicted, np.zeros(len(answers), bool)])
    figures = {
        **counts,
        "unknown_label_count": float(unknown.sum()),
        "micro_f1": _micro_f1(answers, with_unknown),
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


def regression(answers: np.ndarray, predictions: np.ndarray) -> Metrics:
    """Figures of a task whose answer is a number: float [N] each, NaN where a row has no answer."""
    labelled = np.isfinite(answers)
    counts, broken = _counts(labelled), _broken(predictions[:, None])
    answers, predictions = answers[labelled].astype(np.float64), predictions[labelled].astype(np.float64)
    if broken or not len(answers):
        return _unmeasured("regression", counts, broken)
    varies = len(answers) > 1 and np.ptp(answers) > 0 and np.ptp(predictions) > 0
    return {
        **counts,
        "mse": float(sk.mean_squared_error(answers, predictions)),
        "mae": float(sk.mean_absolute_error(answers, predictions)),
        "pearson": float(stats.pearsonr(answers, predictions).statistic) if varies else math.nan,
        "spearman": float(stats.spearmanr(answers, predictions).statistic) if varies else math.nan,
    }


def _counts(labelled: np.ndarray) -> Metrics:
    counted = {"example_count": labelled.sum(), "unlabelled_count": (~labelled).sum(), "not_finite_count": 0}
    return {name: float(count) for name, count in counted.items()}


def _broken(numbers: np.ndarray) -> int:
    """Rows of [N, C] that are not all numbers."""
    return int((~np.isfinite(numbers).all(axis=1)).sum())


def _unmeasured(task: TaskType, counts: Metrics, broken: int) -> Metrics:
    """The figures where there is nothing, or nothing whole, to measure."""
    return dict.fromkeys(METRICS[task], math.nan) | counts | {"not_finite_count": float(broken)}


def _micro_f1(answers: np.ndarray, predicted: np.ndarray) -> float:
    """F1 over all labels together; NaN where no row has a label and none is given one."""
    size = answers.sum() + predicted.sum()
    return float(2.0 * (answers.astype(bool) & predicted).sum() / size) if size else math.nan


def _one_label_scores(answers: np.ndarray, predicted: np.ndarray, labels: tuple[str, ...]) -> Metrics:
    if not len(answers):
        return {"accuracy": math.nan, "macro_f1": math.nan, "weighted_f1": math.nan}
    present = np.union1d(answers[answers != UNKNOWN], predicted[predicted < len(labels)])
    if not len(present):
        return {"accuracy": 0.0, "macro_f1": math.nan, "weighted_f1": math.nan}
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
) -> Metrics:
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


def _by_label(which: np.ndarray, labels: tuple[str, ...], **figures: np.ndarray) -> Metrics:
    return {
        f"{name}/{labels[index]}": float(value)
        for name, values in figures.items()
        for index, value in zip(which, values, strict=True)
    }


def _auc(answers: np.ndarray, probabilities: np.ndarray, classes: int) -> float:
    """Area under the ROC curve: of the second label where there are two, else the mean over one label against the
    rest, for the labels that have both kinds of rows."""
    judged = [1] if classes == 2 else np.unique(answers[answers != UNKNOWN])
    areas = []
    for label in judged:
        positive = answers == label
        if positive.any() and not positive.all():
            areas.append(sk.roc_auc_score(positive, probabilities[:, label]))
    return float(np.mean(areas)) if areas else math.nan


def _log_loss(answers: np.ndarray, probabilities: np.ndarray) -> float:
    known = answers != UNKNOWN
    return float(label_loss(answers, probabilities)[known].mean()) if known.any() else math.nan


def _binary_log_loss(known: np.ndarray, probabilities: np.ndarray) -> float:
    return float(binary_loss(known, probabilities).mean()) if known.size else math.nan


def label_loss(answers: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The logarithmic loss of each row [N]; what it says of a row whose answer is `UNKNOWN` means nothing."""
    given = probabilities[np.arange(len(answers)), np.maximum(answers, 0)]
    loss: np.ndarray = -np.log(np.maximum(given, np.finfo(np.float32).tiny))
    return loss


def binary_loss(known: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The logarithmic loss of each label of each row, [N, C]."""
    given = np.where(known, probabilities, 1.0 - probabilities)
    loss: np.ndarray = -np.log(np.maximum(given, np.finfo(np.float32).tiny))
    return loss


def bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence. They are closed at the right, as in the paper: 1/15 itself is in the first."""
    found: np.ndarray = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    return found


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: |share correct - mean confidence| over equal-width bins, weighted by their rows."""
    if not len(confidence):
        return math.nan
    gaps = np.bincount(bins(confidence), correct.astype(np.float64) - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))
