from __future__ import annotations

import keras
import numpy as np
import pytest

from models.config import TaskConfig, TrainConfig
from models.errors import TrainingError
from models.labels import LabelSpace
from models.training.loss import label_weights, row_loss, row_weights

LABELS = LabelSpace(("a", "b", "c"), (6, 3, 1), 10)
LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_single_label_agrees_with_keras(smoothing: float) -> None:
    loss = row_loss(TaskConfig(), TrainConfig(label_smoothing=smoothing), LABELS)
    truth = np.eye(3, dtype=np.float32)[[2, 1]]
    expected = keras.losses.categorical_crossentropy(truth, LOGITS, from_logits=True, label_smoothing=smoothing)
    np.testing.assert_allclose(loss(np.array([2, 1], np.int32), LOGITS), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_multi_label_agrees_with_keras(smoothing: float) -> None:
    loss = row_loss(TaskConfig(type="multi_label"), TrainConfig(label_smoothing=smoothing), LABELS)
    truth = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    expected = keras.losses.binary_crossentropy(truth, LOGITS, from_logits=True, label_smoothing=smoothing)
    np.testing.assert_allclose(loss(truth, LOGITS), expected, rtol=1e-6)


def test_regression_is_the_squared_error() -> None:
    loss = row_loss(TaskConfig(type="regression"), TrainConfig(), LabelSpace())
    assert loss(np.array([1.0], np.float32), np.array([[3.0]], np.float32)).numpy().tolist() == [4.0]


def test_balanced_weights() -> None:
    config = TrainConfig(class_weights="balanced")
    weights = label_weights(TaskConfig(), config, LABELS)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (weights * LABELS.counts).sum() == pytest.approx(10)  # mean 1 over the rows
    assert label_weights(TaskConfig(type="multi_label"), config, LABELS).tolist() == pytest.approx([4 / 6, 7 / 3, 9.0])


def test_given_weights_by_label_and_none_for_empty_rows() -> None:
    weights = label_weights(TaskConfig(), TrainConfig(class_weights={"c": 5.0}), LABELS)
    assert row_weights(np.array([0, 2, 2, 0]), 3, TaskConfig(), weights).tolist() == [1.0, 5.0, 5.0, 0.0]


def test_a_weight_for_an_unknown_label_names_it() -> None:
    with pytest.raises(TrainingError, match="z") as caught:
        label_weights(TaskConfig(), TrainConfig(class_weights={"z": 2.0}), LABELS)
    assert "a, b, c" in str(caught.value)
