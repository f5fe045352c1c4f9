"""The metrics of the eval split after an epoch, from the logits of all its rows. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from models import shared_metrics
from models.config import TaskConfig
from tflite.host.labels import LabelSpace

_LOWER_IS_BETTER = frozenset({"loss", "mse"})
_AUTO = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}


def deciding_metric(task: TaskConfig, metric: str) -> str:
    """The name of the metric that decides which epoch is best: `metric`, or the task's own for "auto"."""
    return _AUTO[task.type] if metric == "auto" else metric


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Whether `value` beats `best` (None: no value yet). NaN, such as the correlation of a constant, never does."""
    if best is None or np.isnan(best):
        return True
    return value < best if metric in _LOWER_IS_BETTER else value > best


def compute(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    """The metrics of one split.

    Args:
        logits: [N, C] float32; for a regression [N, 1], standardized.
        targets: as in `TokenRows`; for a regression in the unit of the targets.

    Returns:
        `loss` (neither weighted nor smoothed; standardized for a regression), and
        single_label and multi_label: `accuracy` (multi_label: of whole rows), `macro_f1`, `micro_f1`;
        regression: `mse` in the targets' unit squared, `pearson`, `spearman`.
    """
    by_task: dict[str, Callable[..., dict[str, float]]] = {
        "single_label": _single_label,
        "multi_label": _multi_label,
        "regression": _regression,
    }
    return by_task[task.type](logits.astype(np.float64), targets, task, labels)


def _single_label(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    loss = -special.log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean()
    predicted = logits.argmax(axis=1)
    return {"loss": float(loss), "accuracy": float((predicted == targets).mean()), **_f1(targets, predicted, labels)}


def _multi_label(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    true = targets > 0.5
    # log(1 + exp(x)) - x * y, which is the cross-entropy of sigmoid(x) without overflow.
    loss = float(np.mean(np.logaddexp(0.0, logits) - logits * true))
    predicted = logits >= special.logit(task.threshold)
    return {"loss": loss, "accuracy": float((true == predicted).all(axis=1).mean()), **_f1(true, predicted, labels)}


def _regression(logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: LabelSpace) -> dict[str, float]:
    predicted = logits[:, 0] * labels.std + labels.mean
    with np.errstate(invalid="ignore", over="ignore"):  # training stops with an error where the loss is not finite
        mse = shared_metrics.mean_squared_error(targets, predicted)
    return {"loss": mse / labels.std**2, "mse": mse, **shared_metrics.correlations(targets, predicted)}


def _f1(true: np.ndarray, predicted: np.ndarray, labels: LabelSpace) -> dict[str, float]:
    """0 instead of NaN if no label occurs, so that any other epoch can beat this one."""
    scores = {
        "macro_f1": shared_metrics.macro_f1(true, predicted, labels.outputs),
        "micro_f1": shared_metrics.micro_f1(true, predicted),
    }
    return {name: 0.0 if np.isnan(score) else score for name, score in scores.items()}
