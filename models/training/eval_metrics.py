"""The metrics of the eval split after an epoch, from the logits of all its rows. No TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from models import calibration, shared_metrics
from models.config import TaskConfig
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

_LOWER_IS_BETTER = frozenset({"loss", "calibrated_loss", "mse"})
_AUTO = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}


def deciding_metric(task: TaskConfig, config: TrainConfig, *, stacked: bool) -> str:
    """The name of the metric that decides which epoch is best: `config.metric`, or what suits the task for "auto".

    Who balances the labels' weights wants rare labels to count as much as frequent ones.

    Args:
        stacked: whether the encoder learns on top of a linear model. It then changes few predictions, and what it adds
            shows in the loss; which epoch has the highest accuracy is mostly chance.
    """
    if config.metric != "auto":
        return config.metric
    if config.class_weights == "balanced" and task.type != "regression":
        return "macro_f1"
    return "calibrated_loss" if stacked and task.type == "single_label" else _AUTO[task.type]


def is_better(metric: str, found: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Whether an epoch's metrics beat the best so far (None: there are none yet).

    The lower loss decides where the metric is the same, as it often is on few rows, or can be computed for neither,
    such as the correlation of a constant (NaN; None in a checkpoint). A value always beats none.
    """
    if best is None:
        return True
    new, old = (math.nan if one[metric] is None else float(one[metric]) for one in (found, best))
    if new == old or (math.isnan(new) and math.isnan(old)):
        return bool(found["loss"] < best["loss"])
    if math.isnan(new) or math.isnan(old):
        return math.isnan(old)
    return new < old if metric in _LOWER_IS_BETTER else new > old


def compute(
    logits: np.ndarray,
    targets: np.ndarray,
    task: TaskConfig,
    labels: LabelSpace,
    *,
    calibrate: bool = False,
    metric: str = "auto",
) -> dict[str, float]:
    """The metrics of one split. Labels are predicted as the model would predict them if it were exported now.

    That matters for `multi_label`: its temperatures and `task.threshold: auto` are those that these rows give.

    Args:
        logits: [N, C] float32; for a regression [N, 1], standardized.
        targets: as in `TokenRows`; for a regression in the unit of the targets.
        calibrate, metric: see `models.calibration.fit`.

    Returns:
        `loss` (neither weighted nor smoothed; standardized for a regression), and
        single_label and multi_label: `accuracy` (multi_label: of whole rows), `macro_f1`, `micro_f1`, and the loss with
        the best temperature, `calibrated_loss`, if that is the metric;
        regression: `mse` in the targets' unit squared, `pearson`, `spearman`.
    """
    logits, several = logits.astype(np.float64), task.type == "multi_label"
    if task.type == "regression":
        return _regression(logits, targets, labels)
    if several:
        # At 0.5 no temperature changes a prediction.
        fitted = calibration.fit(
            logits, targets, task, labels.labels, calibrate=calibrate and task.threshold != 0.5, metric=metric
        )
        predicted = calibration.probabilities(logits, task, fitted.temperatures) >= np.float32(fitted.threshold)
        found = _multi_label(logits, targets, predicted, labels)
    else:
        found = _single_label(logits, targets, labels)
    if metric != "calibrated_loss" or not math.isfinite(found["loss"]):
        return found
    return {**found, "calibrated_loss": calibration.calibrated_loss(logits, targets, several)}


def _single_label(logits: np.ndarray, targets: np.ndarray, labels: LabelSpace) -> dict[str, float]:
    loss = -special.log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean()
    predicted = logits.argmax(axis=1)
    return {"loss": float(loss), "accuracy": float((predicted == targets).mean()), **_f1(targets, predicted, labels)}


def _multi_label(
    logits: np.ndarray, targets: np.ndarray, predicted: np.ndarray, labels: LabelSpace
) -> dict[str, float]:
    true = targets > 0.5
    # log(1 + exp(x)) - x * y, which is the cross-entropy of sigmoid(x) without overflow.
    loss = float(np.mean(np.logaddexp(0.0, logits) - logits * true))
    return {"loss": loss, "accuracy": float((true == predicted).all(axis=1).mean()), **_f1(true, predicted, labels)}


def _regression(logits: np.ndarray, targets: np.ndarray, labels: LabelSpace) -> dict[str, float]:
    predicted = logits[:, 0] * labels.std + labels.mean
    with np.errstate(invalid="ignore", over="ignore"):  # training stops with an error where the loss is not finite
        mse = shared_metrics.mean_squared_error(targets, predicted)
    return {"loss": mse / labels.std**2, "mse": mse, **shared_metrics.correlations(targets, predicted)}


def _f1(true: np.ndarray, predicted: np.ndarray, labels: LabelSpace) -> dict[str, float]:
    """0 instead of NaN if no label occurs, so that any other epoch can beat this one."""
    macro, micro = shared_metrics.mean_f1(true, predicted, labels.outputs)
    return {"macro_f1": 0.0 if np.isnan(macro) else macro, "micro_f1": 0.0 if np.isnan(micro) else micro}
