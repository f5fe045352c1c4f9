"""The metrics of `components/evaluation/metrics.py` for many weightings of the same rows at once. No TensorFlow.

A metric here is a function of counts, float64 [N, D]: how often each of the N rows occurs in each of D draws. It
returns the metric of every draw, [D], with the value that `metrics.py` computes for the rows repeated that often, and
NaN for a draw that does not define it. What does not depend on the draw (order, ties, right or wrong) is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from scipy import sparse, stats

from components.evaluation.metrics import CALIBRATION_BINS, UNKNOWN, binary_loss, confidence_bins, label_loss

WeightedMetric = Callable[[np.ndarray], np.ndarray]


def single_label(
    names: Iterable[str], targets: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> dict[str, WeightedMetric]:
    """The named metrics of a task with one label per row.

    Args:
        names: of metrics; names that are not the task's are left out.
        targets: int [N], index of the label, or `UNKNOWN`.
        probabilities: float [N, C], or more columns, see `metrics.single_label`.
        labels: the C labels.
    """
    probabilities = probabilities.astype(np.float64)
    predicted, known, classes = probabilities.argmax(axis=1), targets != UNKNOWN, np.arange(len(labels))
    f1 = _Counts(targets[:, None] == classes, predicted[:, None] == classes, labels)
    compared = [1] if len(labels) == 2 else np.unique(targets[known])
    builders: dict[str, Callable[[], WeightedMetric]] = {
        "accuracy": lambda: _mean(predicted == targets),
        "macro_f1": lambda: f1.macro,
        "weighted_f1": lambda: f1.weighted,
        "auc": lambda: _average([_Auc(targets == label, probabilities[:, label]) for label in compared]),
        "log_loss": lambda: _mean(label_loss(targets, probabilities), known),
        "calibration_error": lambda: _Calibration(probabilities.max(axis=1)[:, None], (predicted == targets)[:, None]),
    }
    return _build(names, builders, f1.label_metric)


def multi_label(
    names: Iterable[str], targets: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], threshold: float
) -> dict[str, WeightedMetric]:
    """The named metrics of a task with any number of labels per row; for the arguments see `metrics.multi_label`."""
    predicted = probabilities >= np.float32(threshold)
    probabilities = probabilities.astype(np.float64)
    known, unknown = targets[:, :-1].astype(bool), targets[:, -1].astype(bool)
    f1 = _Counts(known, predicted, labels)
    confidence = np.where(predicted, probabilities, 1.0 - probabilities)
    precisions = {
        label: partial(_AveragePrecision, known[:, index], probabilities[:, index])
        for index, label in enumerate(labels)
        if known[:, index].any()
    }
    hits, size = (known & predicted).sum(axis=1), known.sum(axis=1) + predicted.sum(axis=1) + unknown
    builders: dict[str, Callable[[], WeightedMetric]] = {
        "micro_f1": lambda: _ratio(2.0 * hits, size),
        "macro_f1": lambda: f1.macro,
        "mean_average_precision": lambda: _average([build() for build in precisions.values()]),
        "subset_accuracy": lambda: _mean((known == predicted).all(axis=1) & ~unknown),
        "log_loss": lambda: _mean(binary_loss(known, probabilities).mean(axis=1)),
        "calibration_error": lambda: _Calibration(confidence, predicted == known),
        **{f"average_precision/{label}": build for label, build in precisions.items()},
    }
    return _build(names, builders, f1.label_metric)


def regression(names: Iterable[str], targets: np.ndarray, predictions: np.ndarray) -> dict[str, WeightedMetric]:
    """The named metrics of a regression; targets and predictions are float [N]."""
    targets, predictions = targets.astype(np.float64), predictions.astype(np.float64)
    builders: dict[str, Callable[[], WeightedMetric]] = {
        "mse": lambda: _mean(np.square(targets - predictions)),
        "mae": lambda: _mean(np.abs(targets - predictions)),
        "pearson": lambda: partial(_correlation, _constant(targets), _constant(predictions)),
        "spearman": lambda: partial(_correlation, _Ranks(targets), _Ranks(predictions)),
    }
    return _build(names, builders, lambda name: None)


def _build(
    names: Iterable[str],
    builders: dict[str, Callable[[], WeightedMetric]],
    label_metric: Callable[[str], WeightedMetric | None],
) -> dict[str, WeightedMetric]:
    metrics = ((name, builders[name]() if name in builders else label_metric(name)) for name in names)
    return {name: metric for name, metric in metrics if metric is not None}


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotient, NaN if the divisor is 0."""
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)


def _ratio(above: np.ndarray, below: np.ndarray) -> WeightedMetric:
    """The sum of one number per row, divided by the sum of another."""
    both = np.stack([above, below]).astype(np.float64)
    return lambda draws: _quotient(*(both @ draws))


def _mean(values: np.ndarray, rows: np.ndarray | None = None) -> WeightedMetric:
    """The mean of one number per row, over all rows or those where `rows` is true."""
    counted = np.ones(len(values), bool) if rows is None else rows
    return _ratio(np.where(counted, values, 0.0), counted)


def _average(metrics: Sequence[WeightedMetric]) -> WeightedMetric:
    """The mean of the metrics that the draw defines."""

    def average(draws: np.ndarray) -> np.ndarray:
        total, defined = np.zeros(draws.shape[1]), np.zeros(draws.shape[1])
        for metric in metrics:
            values = metric(draws)
            total += np.nan_to_num(values)
            defined += ~np.isnan(values)
        return _quotient(total, defined)

    return average


class _Counts:
    """Precision, recall and F1 of labels: bool [N, C], whether each row has and is predicted to have each label."""

    def __init__(self, true: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> None:
        self._hits, self._true, self._predicted = (
            sparse.csr_matrix(part.T.astype(np.float64)) for part in (true & predicted, true, predicted)
        )
        self._index = {label: index for index, label in enumerate(labels)}

    def label_metric(self, name: str) -> WeightedMetric | None:
        """The metric METRIC/LABEL."""
        family, _, label = name.partition("/")
        if label not in self._index or family not in ("precision", "recall", "f1"):
            return None
        index = self._index[label]

        def metric(draws: np.ndarray) -> np.ndarray:
            hits, true, predicted = (part[index] @ draws for part in (self._hits, self._true, self._predicted))
            parts = {"precision": (hits, predicted), "recall": (hits, true), "f1": (2 * hits, true + predicted)}
            values: np.ndarray = _quotient(*parts[family])[0]
            return values

        return metric

    def macro(self, draws: np.ndarray) -> np.ndarray:
        """Mean F1 over the labels that occur, as target or as prediction."""
        occurring = self._true @ draws + self._predicted @ draws
        f1 = _quotient(2 * (self._hits @ draws), occurring)
        return _quotient(np.nan_to_num(f1).sum(axis=0), (occurring > 0).sum(axis=0))

    def weighted(self, draws: np.ndarray) -> np.ndarray:
        """Mean F1, weighted by the rows that have the label."""
        true = self._true @ draws
        f1 = _quotient(2 * (self._hits @ draws), true + self._predicted @ draws)
        return _quotient((np.nan_to_num(f1) * true).sum(axis=0), true.sum(axis=0))


class _Sorted:
    """Rows in ascending order of a score, with rows of the same score in one group."""

    def __init__(self, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._all_differ = len(self.starts) == len(scores)

    def groups(self, ordered: np.ndarray) -> np.ndarray:
        """Sums of [N, D], in the sorted order, over each group: [G, D]."""
        return ordered if self._all_differ else np.add.reduceat(ordered, self.starts, axis=0)


class _Auc:
    """Area under the ROC curve: the share of pairs of a positive and a negative that are in the right order."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self._positive = np.flatnonzero(positive)
        self._ranks = _Ranks(scores, self._positive)

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        positive = draws[self._positive]
        count = positive.sum(axis=0)
        # Mann and Whitney: the positives' ranks among all rows, minus those among themselves.
        right = np.einsum("pd,pd->d", positive, self._ranks(draws)) - count * count / 2
        return _quotient(right, count * (draws.sum(axis=0) - count))


class _AveragePrecision:
    """The mean of the precision at each score, weighted by the increase of the recall there."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self._sorted = _Sorted(-scores)
        self._positive = positive[self._sorted.order]

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        ordered = draws[self._sorted.order]
        positive = self._sorted.groups(ordered * self._positive[:, None])
        taken = np.cumsum(self._sorted.groups(ordered), axis=0)
        precision = np.cumsum(positive, axis=0) / np.maximum(taken, 1.0)
        return _quotient(np.einsum("gd,gd->d", positive, precision), positive.sum(axis=0))


class _Calibration:
    """Expected calibration error of cells [N, K]: a row's predictions, one or as many as there are labels."""

    def __init__(self, confidence: np.ndarray, correct: np.ndarray) -> None:
        rows, self._cells = confidence.shape
        places = np.arange(rows)[:, None] * CALIBRATION_BINS + confidence_bins(confidence)
        gaps = np.bincount(places.ravel(), (correct - confidence).ravel(), minlength=rows * CALIBRATION_BINS)
        self._gaps = gaps.reshape(rows, CALIBRATION_BINS).T.copy()

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        return _quotient(np.abs(self._gaps @ draws).sum(axis=0), self._cells * draws.sum(axis=0))


def _constant(values: np.ndarray) -> WeightedMetric:
    """The same numbers in every draw, [N, 1], centred so that no digits are lost."""
    return lambda draws: (values - values.mean())[:, None]


class _Ranks:
    """Ranks of some rows among all rows of each draw, [R, D], from 0; equal rows share the mean of their ranks."""

    def __init__(self, values: np.ndarray, rows: np.ndarray | None = None) -> None:
        self._sorted = _Sorted(values)
        ranks = stats.rankdata(values, method="dense") - 1
        self._group = ranks if rows is None else ranks[rows]

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        groups = self._sorted.groups(draws[self._sorted.order])
        ranks: np.ndarray = np.cumsum(groups, axis=0)[self._group] - groups[self._group] / 2
        return ranks


def _correlation(first: WeightedMetric, second: WeightedMetric, draws: np.ndarray) -> np.ndarray:
    """Pearson's correlation of two numbers per row, in each draw."""
    (x, own), (y, other) = (_centred(numbers(draws), draws) for numbers in (first, second))
    varies = own * other > 0
    found: np.ndarray = np.where(
        varies, (draws * x * y).sum(axis=0) / np.sqrt(np.where(varies, own * other, 1)), np.nan
    )
    return found


def _centred(numbers: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers minus their mean in each draw, and their sum of squares: 0 where all drawn rows are equal."""
    x = numbers - (draws * numbers).sum(axis=0) / draws.sum(axis=0)
    squares = (draws * x * x).sum(axis=0)
    rounding = 1e-20 * draws.sum(axis=0) * np.square(numbers).max(initial=0.0)
    return x, np.where(squares > rounding, squares, 0.0)
