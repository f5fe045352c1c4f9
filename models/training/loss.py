"""The loss of a row, and its weight. The step sums weight times loss, so the weights also compute the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from models.config import TaskConfig
from models.errors import TrainingError
from models.training.frameworks.contract import RowLoss
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace


def row_loss(task: TaskConfig, config: TrainConfig, labels: LabelSpace) -> RowLoss:
    """Returns a function from targets and logits [B, C] float32 to the loss of each row, [B] float32.

    single_label: softmax cross-entropy of targets [B] int32. multi_label: mean over the labels of the sigmoid
    cross-entropy of targets [B, C] float32; a label's weight multiplies the loss of the rows that have it. Regression:
    squared error of standardized targets [B] float32.
    """
    smoothing, outputs = config.label_smoothing, labels.outputs
    by_label = label_weights(task, config, labels).astype(np.float32)

    def single_label(targets: Any, logits: Any) -> Any:
        if not smoothing:
            return ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        # PyTorch's `one_hot` looks at the values, which a recorded step cannot.
        hot = ops.cast(ops.equal(ops.expand_dims(targets, 1), np.arange(outputs, dtype=np.int32)), "float32")
        smooth = hot * (1.0 - smoothing) + smoothing / outputs
        return ops.categorical_crossentropy(smooth, logits, from_logits=True)

    def multi_label(targets: Any, logits: Any) -> Any:
        smooth = targets * (1.0 - smoothing) + smoothing / 2.0
        # For rows that have the label. A weight on the positive part of the smoothed targets would also push rows
        # without a rare label above its threshold.
        weights = ops.where(targets > 0.5, by_label, 1.0)
        return ops.mean(weights * ops.binary_crossentropy(smooth, logits, from_logits=True), axis=-1)

    def regression(targets: Any, logits: Any) -> Any:
        return ops.square(logits[:, 0] - targets)

    return {"single_label": single_label, "multi_label": multi_label, "regression": regression}[task.type]


def label_weights(task: TaskConfig, config: TrainConfig, labels: LabelSpace) -> np.ndarray:
    """[C] float64, the weight of each label.

    "balanced" for single_label: rows / (labels x the label's rows), which has mean 1 over the rows; for multi_label:
    rows without the label / rows with it.

    Raises:
        TrainingError: there is a weight for a label that does not exist.
    """
    given = config.class_weights
    if isinstance(given, dict):
        unknown = sorted(set(given) - set(labels.labels))
        if unknown:
            raise TrainingError(
                "train.class_weights names a label that is not in the training rows",
                got=", ".join(unknown),
                expected=", ".join(labels.labels[:20]) + (", ..." if len(labels.labels) > 20 else ""),
                fix="spell the label as the data do, or remove it",
            )
        return np.array([given.get(label, 1.0) for label in labels.labels], np.float64)
    if given == "balanced":
        counts = np.maximum(np.array(labels.counts, np.float64), 1.0)
        if task.type == "multi_label":
            return np.asarray(np.maximum(labels.rows - counts, 1.0) / counts)
        return np.asarray(labels.rows / (len(counts) * counts))
    return np.ones(labels.outputs)


def row_weights(targets: np.ndarray, rows: int, task: TaskConfig, weights: np.ndarray) -> np.ndarray:
    """[B] float64, the weight of each row of a batch: its label's weight, and 0 beyond the first `rows` rows."""
    result: np.ndarray = weights[targets] if task.type == "single_label" else np.ones(len(targets))
    result[rows:] = 0.0
    return result
