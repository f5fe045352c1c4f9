"""The candidate and the live model on the same rows: their figures, and how sure their difference is. No TensorFlow.

Where the two have other labels, they are compared on what both know. One label a row: the rows whose answer is a
label of both; whoever answers with another label is wrong there. Many labels a row: every row, and of its labels
those of both. So a model with a new label is held to answer the old ones as well as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.evaluation import metrics, weighted_metrics
from components.evaluation.bootstrap import loss_intervals
from components.evaluation.measurements import Comparison
from components.evaluation.thresholds import direction
from models.config import TaskConfig


@dataclass(frozen=True)
class Baseline:
    """What must be known of the live model to measure it.

    Attributes:
        labels: in the order of its outputs; empty for a regression.
        threshold: its own `task.threshold`.
    """

    labels: tuple[str, ...] = ()
    threshold: float = 0.5

    def shared(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels that it has in common with others, in the others' order."""
        return tuple(label for label in labels if label in self.labels)


@dataclass(frozen=True)
class _Side:
    """One model: its figures, and what computes some of them in many draws."""

    figures: metrics.Metrics
    metrics: dict[str, weighted_metrics.Weighted]


def compare(
    task: TaskConfig,
    labels: tuple[str, ...],
    baseline: Baseline,
    answers: np.ndarray,
    candidate: np.ndarray,
    live: np.ndarray,
    judged: Sequence[str],
) -> Comparison:
    """Measures both on the rows that can be compared.

    Args:
        task: the candidate's.
        labels: the candidate's.
        baseline: the live model.
        answers: as `metrics.single_label`, `multi_label` or `regression` takes them, of the candidate's labels.
        candidate, live: float [N, C] and [N, C'], or [N, 1] for a regression; each in its own order of labels.
        judged: metrics whose loss gets an interval.
    """
    sides = {"single_label": _one_label, "multi_label": _many_labels, "regression": _numbers}[task.type]
    rows, make = sides(task, labels, baseline, answers, judged)
    own, other = make(candidate[rows], False), make(live[rows], True)
    losses = {}
    if judged and not own.figures["not_finite_count"] and not other.figures["not_finite_count"]:
        order = _by_content(np.column_stack([answers[rows], candidate[rows], live[rows]]))
        losses = loss_intervals(
            judged, own.metrics, other.metrics, lambda name: direction(task.type, name) == "higher", order
        )
    return Comparison(own.figures, other.figures, losses)


_Make = Callable[[np.ndarray, bool], _Side]


def _one_label(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, answers: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Make]:
    shared = baseline.shared(labels)
    if set(labels) == set(baseline.labels):
        rows, answered = np.flatnonzero(answers != metrics.UNLABELLED), answers
    else:
        places = np.array([shared.index(label) if label in shared else metrics.UNKNOWN for label in labels], np.int64)
        answered = np.where(answers >= 0, places[np.maximum(answers, 0)], metrics.UNKNOWN)
        rows = np.flatnonzero(answered != metrics.UNKNOWN)
    answered = answered[rows]

    def make(probabilities: np.ndarray, is_live: bool) -> _Side:
        columns = _columns(probabilities, baseline.labels if is_live else labels, shared)
        found, _ = metrics.single_label(answered, columns, shared)
        return _Side(found, weighted_metrics.single_label(judged, answered, columns, shared))

    return rows, make


def _columns(probabilities: np.ndarray, own: tuple[str, ...], shared: tuple[str, ...]) -> np.ndarray:
    """The columns of the labels that are shared, and one more with the best of the model's other labels."""
    taken = [own.index(label) for label in shared]
    others = np.delete(probabilities, taken, axis=1)
    rest = [others.max(axis=1, keepdims=True)] if others.shape[1] else []
    return np.concatenate([probabilities[:, taken], *rest], axis=1)


def _many_labels(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, answers: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Make]:
    shared = baseline.shared(labels)
    # A label that one of them does not know is nobody's mistake: the column of unknown labels is left empty.
    unknown = answers[:, -1] if set(labels) == set(baseline.labels) else np.zeros_like(answers[:, -1])
    answered = np.column_stack([answers[:, [labels.index(label) for label in shared]], unknown])

    def make(probabilities: np.ndarray, is_live: bool) -> _Side:
        own, threshold = (baseline.labels, baseline.threshold) if is_live else (labels, task.threshold)
        columns = probabilities[:, [own.index(label) for label in shared]]
        found, _ = metrics.multi_label(answered, columns, shared, threshold)
        return _Side(found, weighted_metrics.multi_label(judged, answered, columns, shared, threshold))

    return np.arange(len(answers)), make


def _numbers(
    task: TaskConfig, labels: tuple[str, ...], baseline: Baseline, answers: np.ndarray, judged: Sequence[str]
) -> tuple[np.ndarray, _Make]:
    rows = np.flatnonzero(np.isfinite(answers))

    def make(predictions: np.ndarray, is_live: bool) -> _Side:
        found = metrics.regression(answers[rows], predictions[:, 0])
        return _Side(found, weighted_metrics.regression(judged, answers[rows], predictions[:, 0]))

    return rows, make


def _by_content(rows: np.ndarray) -> np.ndarray:
    """An order of the rows [N, K] that depends on what is in them, and not on how they came."""
    packed = np.ascontiguousarray(rows, np.float64)
    order: np.ndarray = np.argsort(packed.view(np.dtype((np.void, packed.itemsize * packed.shape[1]))).ravel())
    return order
