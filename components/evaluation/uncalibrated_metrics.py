"""How good the probabilities would be without the model's temperatures. No TensorFlow."""

from __future__ import annotations

import math

import numpy as np

from components.evaluation import metrics
from components.evaluation.thresholds import UNCALIBRATED
from models import calibration
from models.config import TaskConfig

_NAMES = ("log_loss", "calibration_error")


def uncalibrated(
    task: TaskConfig, targets: np.ndarray, probabilities: np.ndarray, temperatures: tuple[float, ...]
) -> metrics.Metrics:
    """`uncalibrated_log_loss` and `uncalibrated_calibration_error`, for the same predicted labels.

    Args:
        targets: as in `metrics.single_label` or `metrics.multi_label`.
        probabilities: float [N, C], the model's own.
        temperatures: the model's, at least one.
    """
    if not len(targets) or not np.isfinite(probabilities).all():
        return dict.fromkeys((UNCALIBRATED + name for name in _NAMES), math.nan)
    several = task.type == "multi_label"
    before = calibration.undo(probabilities, several, temperatures)
    if several:
        predicted = probabilities >= np.float32(task.probability_threshold)
        measured = metrics.many_label_calibration(targets[:, :-1].astype(bool), before, predicted)
    else:
        labelled = targets != metrics.UNLABELLED
        predicted = probabilities[labelled].argmax(axis=1)
        measured = metrics.one_label_calibration(targets[labelled], before[labelled], predicted)
    return {UNCALIBRATED + name: value for name, value in measured.items()}
