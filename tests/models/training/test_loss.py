from __future__ import annotations

import keras
import numpy as np
import pytest

from models.config import TaskConfig
from models.errors import TrainingError
from models.training.loss import label_weights, row_loss, row_weights
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

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


@pytest.mark.parametrize("weights", ["balanced", {"rare": 99.0}])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_rows_without_a_rare_label_stay_below_the_threshold(weights: object, smoothing: float) -> None:
    """The logit of least loss for such a row means "no", whatever the weight of the label."""
    labels = LabelSpace(("common", "rare"), (500, 10), 1000)
    loss = row_loss(
        TaskConfig(type="multi_label"), TrainConfig(class_weights=weights, label_smoothing=smoothing), labels
    )
    logits = np.linspace(-8, 8, 401, dtype=np.float32)
    both = np.stack([np.zeros_like(logits), logits], axis=1)
    without, having = (np.tile(np.array([[1.0, has]], np.float32), (len(logits), 1)) for has in (0.0, 1.0))
    assert logits[np.argmin(loss(without, both))] < 0
    assert logits[np.argmin(loss(having, both))] > 0
    # A row with the label is multiplied by the label's weight; a row without it is unchanged.
    plain = row_loss(TaskConfig(type="multi_label"), TrainConfig(label_smoothing=smoothing), labels)
    easy = np.array([[30.0, 0.0]], np.float32)
    share = {"rare": 99.0} if weights == "balanced" else weights
    more = float(loss(having[:1], easy)[0] - loss(without[:1], easy)[0])
    assert more == pytest.approx((share["rare"] - 1) * np.log(2) / 2, rel=1e-3)
    assert weights == "balanced" or float(loss(without[:1], easy)[0]) == pytest.approx(
        float(plain(without[:1], easy)[0])
    )
