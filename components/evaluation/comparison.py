"""The candidate and the live model on the same rows: their metrics, and how certain the difference is. No TensorFlow.

If their labels differ, they are compared on the labels that both know. With one label per row, these are the rows whose
target is such a label, and predicting any other label there is an error. With many labels per row, these are all rows,
but only the shared labels. So a model with a new label must still predict the old ones as well as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.evaluation import metrics, weighted_metrics
from components.evaluation.bootstrap import RESAMPLES, loss_intervals, value_intervals
from components.evaluation.measurements import INTERVAL, Comparison
from components.evaluation.thresholds import direction
from models.config import TaskConfig
from tflite.host.prediction import TaskType


@dataclass(frozen=True)
class Baseline:
    """The properties of the live model that are needed to measure it.

    Attributes:
        labels: in the order of its outputs; empty for a regression.
        threshold: its own `task.threshold`.
    """

    labels: tuple[str, ...] = ()
    threshold: float = 0.5

    def shared(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels that are in both, in the order of `labels`."""
        return tuple(label for label in labels if label in self.labels)


_ModelMetrics = tuple[metrics.Metrics, dict[str, weighted_metrics.WeightedMetric]]
"""The metrics of one model, and functions that compute some of them for many draws."""
_Measure = Callable[[np.ndarray, bool], _ModelMetrics]


def tables(name: str, comparison: Comparison) -> dict[str, dict[str, float]]:
    """A comparison as tables of numbers under names of their own, from which `from_tables` makes it again."""
    bounds = comparison.losses.items()
    return {
        name: dict(comparison.live),
        f"{name}: candidate": dict(comparison.candidate),
        f"{name}: lowest loss": {metric: low for metric, (low, _) in bounds},
        f"{name}: highest loss": {metric: high for metric, (_, high) in bounds},
    }


def from_tables(name: str, found: dict[str, dict[str, float]]) -> Comparison | None:
    """Takes the comparison that `tables` gave under this name out of `found`; None if there is none."""
    kinds = ("", ": candidate", ": lowest loss", ": highest loss")
    live, candidate, lowest, highest = (found.pop(f"{name}{kind}", {}) for kind in kinds)
    if not live or not candidate:
        return None
    return Comparison(candidate, live, {metric: (low, highest[metric]) for metric, low in lowest.items()})


def compare(
    task: TaskConfig,
    labels: tuple[str, ...],
    baseline: Baseline,
    targets: np.ndarray,
    candidate: np.ndarray,
    live: np.ndarray,
    judged: Sequence[str],
    share: float = INTERVAL,
    draws: int = RESAMPLES,
) -> Comparison:
    """Measures both models on the rows that can be compared.

    Args:
        task: the candidate's, with its own threshold.
        labels: the candidate's.
        baseline: the live model.
        targets: as in `metrics.single_label`, `multi_label` or `regression`, by the candidate's labels.
        candidate, live: float [N, C] and [N, C'], or [N, 1] for a regression; each in its own order of labels.
        judged: metrics whose loss gets an interval.
        share, draws: of the interval, see `bootstrap`.
    """
    rows, measure = _PREPARE[task.type](task, labels, baseline, targets, judged)
    (new, new_weighted), (old, old_weighted) = measure(candidate[rows], False), measure(live[rows], True)
    losses = {}
    if judged and not new["not_finite_count"] and not old["not_finite_count"]:
        pair = candidate[rows], live[rows]
        if candidate.shape == live.shape:  # the same rows are drawn, whichever of the two is called the live one
            pair = np.minimum(*pair), np.maximum(*pair)
        order = _order_by_content(np.column_stack([targets[rows], *pair]))
        losses = loss_intervals(
            judged, new_weighted, old_weighted, lambda name: direction(task.type, name) == "higher", order, share, draws
        )
    return Comparison(new, old, losses)


def own_intervals(
    task: TaskConfig,
    labels: tuple[str, ...],
    targets: np.ndarray,
    predictions: np.ndarray,
    names: Sequence[str],
    share: float,
    draws: int = RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """The intervals of a model's metrics; empty if it predicts NaN or infinity. For the arguments see `compare`."""
    same = Baseline(labels, task.probability_threshold)
    rows, measure = _PREPARE[task.type](task, labels, same, targets, names)
    measured, weighted = measure(predictions[rows], False)
    if measured["not_finite_count"]:
        return {}
    order = _order_by_content(np.column_stack([targets[rows], predictions[rows]]))
    return value_intervals(weighted, order, share, draws)


def _one_label(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, targets: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Measure]:
    shared = baseline.shared(labels)
    if set(labels) == set(baseline.labels):
        rows, known = np.flatnonzero(targets != metrics.UNLABELLED), targets
    else:
        indices = np.array([shared.index(label) if label in shared else metrics.UNKNOWN for label in labels], np.int64)
        known = np.where(targets >= 0, indices[np.maximum(targets, 0)], metrics.UNKNOWN)
        rows = np.flatnonzero(known != metrics.UNKNOWN)
    known = known[rows]

    def measure(probabilities: np.ndarray, is_live: bool) -> _ModelMetrics:
        columns = _shared_columns(probabilities, baseline.labels if is_live else labels, shared)
        measured, _ = metrics.single_label(known, columns, shared, confused=False)
        return measured, weighted_metrics.single_label(judged, known, columns, shared)

    return rows, measure


def _shared_columns(probabilities: np.ndarray, own: tuple[str, ...], shared: tuple[str, ...]) -> np.ndarray:
    """The columns of the shared labels, and one more with the maximum over the model's other labels."""
    kept = [own.index(label) for label in shared]
    others = np.delete(probabilities, kept, axis=1)
    rest = [others.max(axis=1, keepdims=True)] if others.shape[1] else []
    return np.concatenate([probabilities[:, kept], *rest], axis=1)


def _many_labels(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, targets: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Measure]:
    shared = baseline.shared(labels)
    # A label that one model does not know is not counted as an error: the column of unknown labels is left empty.
    unknown = targets[:, -1] if set(labels) == set(baseline.labels) else np.zeros_like(targets[:, -1])
    known = np.column_stack([targets[:, [labels.index(label) for label in shared]], unknown])

    def measure(probabilities: np.ndarray, is_live: bool) -> _ModelMetrics:
        own, threshold = (baseline.labels, baseline.threshold) if is_live else (labels, task.probability_threshold)
        columns = probabilities[:, [own.index(label) for label in shared]]
        measured, _ = metrics.multi_label(known, columns, shared, threshold, confused=False)
        return measured, weighted_metrics.multi_label(judged, known, columns, shared, threshold)

    return np.arange(len(targets)), measure


def _numbers(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, targets: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Measure]:
    rows = np.flatnonzero(np.isfinite(targets))

    def measure(predictions: np.ndarray, is_live: bool) -> _ModelMetrics:
        measured = metrics.regression(targets[rows], predictions[:, 0])
        return measured, weighted_metrics.regression(judged, targets[rows], predictions[:, 0])

    return rows, measure


_PREPARE: dict[TaskType, Callable[..., tuple[np.ndarray, _Measure]]] = {
    "single_label": _one_label,
    "multi_label": _many_labels,
    "regression": _numbers,
}


def _order_by_content(rows: np.ndarray) -> np.ndarray:
    """The order of the rows [N, K] when they are sorted by their content, up to the noise of another machine or run."""
    packed = np.ascontiguousarray(np.round(rows, 4), np.float64) + 0.0  # no negative zeros
    order: np.ndarray = np.argsort(packed.view(np.dtype((np.void, packed.itemsize * packed.shape[1]))).ravel())
    return order
