"""The metrics of an evaluation, computed exactly from targets and predictions with scikit-learn. No TensorFlow.

Textbook definitions do not cover three kinds of rows. Every metric here treats them alike:

- A row without a target (`UNLABELLED`) is counted in `unlabelled_count` and otherwise left out.
- A row for which the model predicts NaN or infinity, with or without a target, is counted in `not_finite_count`. If
  there is one, no other metric has a value: a model that breaks on some rows is not measured on the rest.
- A row whose target is a label that the model does not know (`UNKNOWN`) is an error. It lowers accuracy and the
  precision of the predicted label, and it is a negative for every label's ROC curve. It does not count for `log_loss`,
  which would be infinite, and "unknown" is not among the labels that macro metrics average over.

A label's precision is NaN if it was never predicted, its recall if it is no row's target.
Averages over labels take the labels that occur in the slice, as target or as prediction. A metric that the slice
cannot define (a ROC curve without negatives, the correlation with a constant) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

from components.evaluation.thresholds import METRICS, UNCALIBRATED
from models import calibration, shared_metrics
from models.config import TaskConfig
from tflite.host.prediction import TaskType

UNKNOWN = -1
"""Target of a row whose label the model does not know."""
UNLABELLED = -2
"""Target of a row that has none."""
CALIBRATION_BINS = 15
"""Equal-width bins of confidence (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

MOST_CONFUSED = 500
"""With more labels there is no confusion matrix of a task with one label per row: it grows with their square."""
Metrics = dict[str, float]


def measure(
    task: TaskConfig,
    labels: tuple[str, ...],
    targets: np.ndarray,
    predictions: np.ndarray,
    temperatures: Sequence[float] = (),
    confused: bool = True,
) -> tuple[Metrics, np.ndarray | None]:
    """The metrics of any task, and the confusion matrix or matrices, if there are any and they are asked for.

    Args:
        targets, predictions: as the function of the task needs them; for a regression, predictions are [N, 1].
        temperatures: of the model; with any, the metrics without them are among the result (`UNCALIBRATED`).
    """
    if task.type == "regression":
        return regression(targets, predictions[:, 0]), None
    if task.type == "single_label":
        measured, confusion = single_label(targets, predictions, labels, confused)
    else:
        threshold = task.probability_threshold
        measured, confusion = multi_label(targets, predictions, labels, threshold, confused)
    return measured | (_uncalibrated(task, targets, predictions, temperatures) if temperatures else {}), confusion


def single_label(
    targets: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...], confused: bool = True
) -> tuple[Metrics, np.ndarray | None]:
    """Metrics of a task with one label per row.

    Args:
        targets: int [N], index of the label, or `UNKNOWN` or `UNLABELLED`.
        probabilities: float [N, C]. Further columns belong to labels that are not compared and that no row has:
            predicting one is an error, but macro metrics do not average over them.
        labels: the C labels.

    Returns:
        The metrics by name, and the confusion matrix, int64 [C + 1, C]: target by prediction. Its last row holds the
        targets that the model does not know. None for more than `MOST_CONFUSED` labels, or if it is not asked for.
    """
    labelled = targets != UNLABELLED
    counts, broken = _counts(labelled), _broken(probabilities)
    targets, probabilities = targets[labelled], probabilities[labelled].astype(np.float64)
    classes = len(labels)
    confusion = np.zeros((classes + 1, classes), np.int64) if confused and classes <= MOST_CONFUSED else None
    if broken:
        return _unmeasured("single_label", counts, broken), confusion
    predicted = probabilities.argmax(axis=1) if len(targets) else np.zeros(0, np.int64)
    compared, known = predicted < classes, targets != UNKNOWN
    if confusion is not None:
        np.add.at(confusion, (np.where(known, targets, classes)[compared], predicted[compared]), 1)
    measured = {
        **counts,
        "unknown_label_count": float((~known).sum()),
        **_one_label_scores(targets, predicted, labels),
        "auc": _auc(targets, probabilities, classes),
        **one_label_calibration(targets, probabilities, predicted),
    }
    return measured, confusion


def multi_label(
    targets: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...], threshold: float, confused: bool = True
) -> tuple[Metrics, np.ndarray | None]:
    """Metrics of a task with any number of labels per row.

    Args:
        targets: int [N, C + 1], 1 where the row has the label; the last column is 1 where it has a label that the
            model does not know.
        probabilities: float [N, C].
        labels: the C labels.
        threshold: probability from which a label counts as predicted.

    Returns:
        The metrics by name, and each label's confusion matrix, if asked for, int64 [C, 2, 2]: target by prediction.
    """
    classes = len(labels)
    counts, broken = _counts(np.ones(len(targets), bool)), _broken(probabilities)
    if broken or not len(targets):
        return _unmeasured("multi_label", counts, broken), np.zeros((classes, 2, 2), np.int64) if confused else None
    # Compared as float32, as the exported model does.
    predicted = probabilities >= np.float32(threshold)
    probabilities = probabilities.astype(np.float64)
    known, unknown = targets[:, :classes].astype(bool), targets[:, classes].astype(bool)
    with_unknown = np.column_stack([predicted, np.zeros(len(targets), bool)])
    measured = {
        **counts,
        "unknown_label_count": float(unknown.sum()),
        "micro_f1": shared_metrics.micro_f1(targets, with_unknown),
        "subset_accuracy": float(sk.accuracy_score(targets, with_unknown)),
        **_many_label_scores(targets, with_unknown, probabilities, labels),
        **many_label_calibration(known, probabilities, predicted),
    }
    if not confused:
        return measured, None
    confusion = np.stack(
        [
            np.stack([(~known & ~predicted).sum(0), (~known & predicted).sum(0)], axis=-1),
            np.stack([(known & ~predicted).sum(0), (known & predicted).sum(0)], axis=-1),
        ],
        axis=1,
    )
    return measured, confusion.astype(np.int64)


def regression(targets: np.ndarray, predictions: np.ndarray) -> Metrics:
    """Metrics of a regression: float [N] each, NaN if a row has no target."""
    labelled = np.isfinite(targets)
    counts, broken = _counts(labelled), _broken(predictions[:, None])
    targets, predictions = targets[labelled].astype(np.float64), predictions[labelled].astype(np.float64)
    if broken or not len(targets):
        return _unmeasured("regression", counts, broken)
    return {
        **counts,
        "mse": shared_metrics.mean_squared_error(targets, predictions),
        "mae": float(sk.mean_absolute_error(targets, predictions)),
        **shared_metrics.correlations(targets, predictions),
    }


def counts_only(task: TaskConfig, targets: np.ndarray, predictions: np.ndarray) -> Metrics:
    """How many rows there are, as far as `measure` tells it."""
    one_label = np.ones(len(targets), bool) if task.type == "multi_label" else targets != UNLABELLED
    labelled = np.isfinite(targets) if task.type == "regression" else one_label
    return _counts(labelled) | {"not_finite_count": float(_broken(predictions))}


def _counts(labelled: np.ndarray) -> Metrics:
    counted = {"example_count": labelled.sum(), "unlabelled_count": (~labelled).sum(), "not_finite_count": 0}
    return {name: float(count) for name, count in counted.items()}


def _broken(numbers: np.ndarray) -> int:
    """The number of rows of [N, C] with a number that is NaN or infinite."""
    return int((~np.isfinite(numbers).all(axis=1)).sum())


def _unmeasured(task: TaskType, counts: Metrics, broken: int) -> Metrics:
    """The metrics if there are no rows to measure, or a model that breaks on some."""
    return dict.fromkeys(METRICS[task], math.nan) | counts | {"not_finite_count": float(broken)}


def _one_label_scores(targets: np.ndarray, predicted: np.ndarray, labels: tuple[str, ...]) -> Metrics:
    if not len(targets):
        return {"accuracy": math.nan, "macro_f1": math.nan, "weighted_f1": math.nan}
    present = shared_metrics.occurring_labels(targets, predicted, len(labels))
    if not len(present):
        return {"accuracy": 0.0, "macro_f1": math.nan, "weighted_f1": math.nan}
    precision, recall, f1, support = shared_metrics.label_scores(targets, predicted, present)
    scores = {
        "accuracy": float((targets == predicted).mean()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=support)) if support.sum() else math.nan,
    }
    return scores | _by_label(present, labels, precision=precision, recall=recall, f1=f1)


def _many_label_scores(
    targets: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: tuple[str, ...]
) -> Metrics:
    present = shared_metrics.occurring_labels(targets, predicted, len(labels))
    if not len(present):
        return {"macro_f1": math.nan, "mean_average_precision": math.nan}
    precision, recall, f1, _ = shared_metrics.label_scores(targets, predicted, present)
    labelled = np.flatnonzero(targets[:, :-1].any(axis=0))
    average = np.array([sk.average_precision_score(targets[:, i], probabilities[:, i]) for i in labelled])
    return {
        "macro_f1": float(f1.mean()),
        "mean_average_precision": float(average.mean()) if len(average) else math.nan,
        **_by_label(present, labels, precision=precision, recall=recall, f1=f1),
        **_by_label(labelled, labels, average_precision=average),
    }


def _by_label(indices: np.ndarray, labels: tuple[str, ...], **scores: np.ndarray) -> Metrics:
    return {
        f"{name}/{labels[index]}": float(value)
        for name, values in scores.items()
        for index, value in zip(indices, values, strict=True)
    }


def _auc(targets: np.ndarray, probabilities: np.ndarray, classes: int) -> float:
    """Area under the ROC curve: of the second of two labels; with more labels the mean of one label against the rest,
    over the labels that have both positives and negatives."""
    compared = [1] if classes == 2 else np.unique(targets[targets != UNKNOWN])
    areas = []
    for label in compared:
        positive = targets == label
        if positive.any() and not positive.all():
            areas.append(sk.roc_auc_score(positive, probabilities[:, label]))
    return float(np.mean(areas)) if areas else math.nan


def one_label_calibration(targets: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray) -> Metrics:
    """`log_loss` and `calibration_error` of rows with a target: targets and predicted labels are int [N]."""
    known = targets != UNKNOWN
    return {
        "log_loss": float(label_loss(targets, probabilities)[known].mean()) if known.any() else math.nan,
        "calibration_error": _calibration_error(probabilities.max(axis=1, initial=0.0), predicted == targets),
    }


def many_label_calibration(known: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray) -> Metrics:
    """The same for several labels per row: which labels each row has and is predicted to have, bool [N, C]."""
    confidence = np.where(predicted, probabilities, 1.0 - probabilities)
    return {
        "log_loss": float(binary_loss(known, probabilities).mean()) if known.size else math.nan,
        "calibration_error": _calibration_error(confidence.ravel(), (predicted == known).ravel()),
    }


def _uncalibrated(
    task: TaskConfig, targets: np.ndarray, probabilities: np.ndarray, temperatures: Sequence[float]
) -> Metrics:
    """`log_loss` and `calibration_error`, named `UNCALIBRATED`, as they would be without the temperatures."""
    if not len(targets) or not np.isfinite(probabilities).all():
        return {f"{UNCALIBRATED}log_loss": math.nan, f"{UNCALIBRATED}calibration_error": math.nan}
    several = task.type == "multi_label"
    before = calibration.undo(probabilities, several, temperatures)
    if several:
        predicted = probabilities >= np.float32(task.probability_threshold)
        measured = many_label_calibration(targets[:, :-1].astype(bool), before, predicted)
    else:
        labelled = targets != UNLABELLED
        predicted = probabilities[labelled].argmax(axis=1)
        measured = one_label_calibration(targets[labelled], before[labelled], predicted)
    return {f"{UNCALIBRATED}{name}": value for name, value in measured.items()}


def label_loss(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The logarithmic loss of each row [N]; meaningless for a row whose target is `UNKNOWN`."""
    predicted = probabilities[np.arange(len(targets)), np.maximum(targets, 0)]
    loss: np.ndarray = -np.log(np.maximum(predicted, np.finfo(np.float32).tiny))
    return loss


def binary_loss(known: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The logarithmic loss of each label of each row, [N, C]."""
    predicted = np.where(known, probabilities, 1.0 - probabilities)
    loss: np.ndarray = -np.log(np.maximum(predicted, np.finfo(np.float32).tiny))
    return loss


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence. Bins are closed on the right, as in the paper: 1/15 itself is in the first."""
    bins: np.ndarray = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    return bins


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: |share correct - mean confidence| over equal-width bins, weighted by their rows."""
    if not len(confidence):
        return math.nan
    gaps = np.bincount(confidence_bins(confidence), correct.astype(np.float64) - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))
