"""Eval metrics, computed exactly from all predictions of a split. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.config import TaskConfig
from tflite.host.labels import LabelSpace

_LOWER_IS_BETTER = frozenset({"loss", "mse"})
_AUTO = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}


def deciding_metric(task: TaskConfig, metric: str) -> str:
    """The name of the metric that decides which epoch is best: `metric`, or the task's own for "auto"."""
    return _AUTO[task.type] if metric == "auto" else metric


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Whether `value` beats `best` (None: nothing yet). NaN, as a correlation of constants, never does."""
    if best is None or np.isnan(best):
        return True
    return value < best if metric in _LOWER_IS_BETTER else value > best


def compute(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    """The metrics of one split.

    Args:
        logits: [N, C] float32; for a regression [N, 1], standardized.
        targets: as in `TokenRows`; for a regression in the answers' own unit.

    Returns:
        `loss` (plain, neither weighted nor smoothed; standardized for a regression), and
        single_label and multi_label: `accuracy` (multi_label: of whole rows), `macro_f1`, `micro_f1`;
        regression: `mse` in the answers' unit squared, `pearson`, `spearman`.
    """
    by_task: dict[str, Callable[..., dict[str, float]]] = {
        "single_label": _single_label,
        "multi_label": _multi_label,
        "regression": _regression,
    }
    return by_task[task.type](logits.astype(np.float64), targets, task, labels)


def _single_label(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(targets)), targets].mean()
    predicted = logits.argmax(axis=1)
    every = np.arange(logits.shape[1])
    truth, answer = targets[:, None] == every, predicted[:, None] == every
    return {"loss": float(loss), "accuracy": float((predicted == targets).mean()), **_f1(truth, answer)}


def _multi_label(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    truth = targets > 0.5
    # log(1 + exp(x)) - x * y, which is the cross-entropy of sigmoid(x) without overflow.
    loss = float(np.mean(np.logaddexp(0.0, logits) - logits * truth))
    answer = logits >= np.log(task.threshold) - np.log1p(-task.threshold)
    return {"loss": loss, "accuracy": float((truth == answer).all(axis=1).mean()), **_f1(truth, answer)}


def _regression(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    predicted = logits[:, 0] * labels.std + labels.mean
    with np.errstate(invalid="ignore", over="ignore"):  # the training stops at a loss that is not finite, and says so
        mse = float(np.square(predicted - targets).mean())
        return {
            "loss": mse / labels.std**2,
            "mse": mse,
            "pearson": _pearson(predicted, targets),
            "spearman": _pearson(_ranks(predicted), _ranks(targets)),
        }


def _f1(truth: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    """Macro and micro F1 of [N, C] booleans; macro over the labels that are true or answered at least once."""
    hits, size = (truth & answer).sum(axis=0), truth.sum(axis=0) + answer.sum(axis=0)
    occurring = size > 0
    macro = (2.0 * hits[occurring] / size[occurring]).mean() if occurring.any() else 0.0
    return {"macro_f1": float(macro), "micro_f1": float(2.0 * hits.sum() / max(size.sum(), 1))}


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum() / spread) if spread > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2.0)[inverse]
    return ranks
