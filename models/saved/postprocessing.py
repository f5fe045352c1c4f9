"""From logits to predictions, inside the graph: labels, scores and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from models.config import TaskConfig
from tflite.host.labels import LabelSpace
from tflite.host.prediction import TaskType


def fitted_values(task: TaskConfig, labels: LabelSpace) -> dict[str, np.ndarray]:
    """The numbers of `task` and `labels` that every training may find others for, float32.

    Returns:
        `mean` [] and `std` [] for a regression; else `scale`, 1 / temperature, [C] or [1], and for `multi_label`
        `threshold` [].
    """
    if task.type == "regression":
        found: dict[str, Any] = {"mean": labels.mean, "std": labels.std}
    else:
        found = {"scale": [1 / temperature for temperature in labels.temperatures or (1.0,)]}
        if task.type == "multi_label":
            found["threshold"] = task.probability_threshold
    return {name: np.array(value, np.float32) for name, value in found.items()}


def postprocess(
    logits: tf.Tensor, task: TaskConfig, labels: LabelSpace, fitted: Mapping[str, Any] | None = None
) -> dict[str, tf.Tensor]:
    """Turns logits into predictions.

    Args:
        logits: [B, C] float32 ([B, 1] for a regression, in standard deviations from the training mean).
        task: type, `threshold` and `label_separator`.
        labels: names of the outputs and temperatures, or mean and standard deviation for a regression.
        fitted: variables with the `fitted_values`, which are then no constants of the graph.

    Returns:
        `single_label`: `label` [B] string, the most probable one; `score` [B], its probability; `probabilities` [B, C].
        `multi_label`: `label` [B] string, the labels whose probability is at least `task.threshold`, in the order of
        the outputs, joined by `task.label_separator` ("" for none); `score` [B], the highest probability;
        `probabilities` [B, C], independent of each other.
        `regression`: `score` [B], in the unit of the training labels.
        All numbers are float32.
    """
    numbers = predicted_values(logits, task.type, labels, fitted)
    if task.type == "regression":
        return {"score": numbers[:, 0]}
    names, probabilities = tf.constant(labels.labels, tf.string), numbers
    if task.type == "single_label":
        label = tf.gather(names, tf.argmax(logits, axis=-1, output_type=tf.int32))
    else:
        threshold = task.probability_threshold if fitted is None else fitted["threshold"]
        label = _joined(names, probabilities >= threshold, task.label_separator)
    return {"label": label, "score": tf.reduce_max(probabilities, axis=-1), "probabilities": probabilities}


def predicted_values(
    logits: tf.Tensor, task_type: TaskType, labels: LabelSpace, fitted: Mapping[str, Any] | None = None
) -> tf.Tensor:
    """Only the numbers: probabilities [B, C], or [B, 1] in the unit of the training labels; float32."""
    if task_type == "regression":
        std, mean = (labels.std, labels.mean) if fitted is None else (fitted["std"], fitted["mean"])
        return logits * std + mean
    if fitted is not None:
        logits = logits * fitted["scale"]
    elif labels.temperatures:
        # A product, because the converter folds it into the last layer's weights.
        logits = logits * tf.constant([1 / temperature for temperature in labels.temperatures], tf.float32)
    return tf.nn.softmax(logits) if task_type == "single_label" else tf.sigmoid(logits)


def _joined(names: tf.Tensor, selected: tf.Tensor, separator: str) -> tf.Tensor:
    """The selected names, joined: names [C], selected [B, C]; returns [B] string."""
    rows = tf.ragged.boolean_mask(tf.broadcast_to(names, tf.shape(selected)), selected)
    return tf.strings.reduce_join(rows, axis=-1, separator=separator)
