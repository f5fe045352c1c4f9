from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as reference

from models.config import TaskConfig
from models.training.eval_metrics import compute, deciding_metric, is_better
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

GENERATOR = np.random.default_rng(0)


def test_single_label_agrees_with_scikit_learn() -> None:
    logits = GENERATOR.normal(size=(200, 5)).astype(np.float32) * 3
    targets = GENERATOR.integers(0, 4, 200).astype(np.int32)
    logits[:, 3] -= 20  # never predicted; label 4 is never true
    found = compute(logits, targets, TaskConfig(), LabelSpace(tuple("abcde")))
    answer = logits.argmax(axis=1)
    assert found["loss"] == pytest.approx(
        reference.log_loss(targets, special.softmax(logits.astype(float), axis=1), labels=range(5)), rel=1e-6
    )
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(targets, answer))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(targets, answer, average="macro", zero_division=0))
    assert found["micro_f1"] == pytest.approx(reference.f1_score(targets, answer, average="micro"))


def test_multi_label_agrees_with_scikit_learn_at_its_threshold() -> None:
    logits = GENERATOR.normal(size=(200, 4)).astype(np.float32)
    targets = (GENERATOR.random((200, 4)) < 0.3).astype(np.float32)
    found = compute(logits, targets, TaskConfig(type="multi_label", threshold=0.7), LabelSpace(tuple("abcd")))
    probabilities = special.expit(logits.astype(float))
    answer = probabilities >= 0.7
    losses = [reference.log_loss(targets[:, c], probabilities[:, c], labels=[0, 1]) for c in range(4)]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(targets, answer))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(targets, answer, average="macro"))
    assert found["micro_f1"] == pytest.approx(reference.f1_score(targets, answer, average="micro"))


def test_regression_agrees_with_scipy_in_the_answers_own_unit() -> None:
    targets = GENERATOR.integers(0, 6, 100).astype(np.float32) * 10  # many ties
    logits = GENERATOR.normal(size=(100, 1)).astype(np.float32).round(1)
    found = compute(logits, targets, TaskConfig(type="regression"), LabelSpace(mean=20.0, std=10.0))
    predicted = logits[:, 0].astype(float) * 10 + 20
    assert found["mse"] == pytest.approx(np.square(predicted - targets).mean())
    assert found["loss"] == pytest.approx(found["mse"] / 100)
    assert found["pearson"] == pytest.approx(stats.pearsonr(predicted, targets)[0])
    assert found["spearman"] == pytest.approx(stats.spearmanr(predicted, targets)[0])


def test_a_constant_prediction_has_no_correlation_and_is_never_better() -> None:
    found = compute(
        np.zeros((3, 1), np.float32), np.array([1.0, 2.0, 3.0]), TaskConfig(type="regression"), LabelSpace()
    )
    assert np.isnan(found["spearman"])
    other = {"spearman": -0.9, "loss": 1e9}
    assert not is_better("spearman", found, other)
    assert is_better("spearman", other, found)


def test_large_logits_do_not_overflow() -> None:
    loss = compute(np.array([[1e4, -1e4]], np.float32), np.array([1]), TaskConfig(), LabelSpace(("a", "b")))["loss"]
    assert loss == pytest.approx(2e4)


@pytest.mark.parametrize("value", [0.5, float("nan"), None])
def test_the_loss_decides_between_epochs_that_the_metric_does_not_tell_apart(value: float | None) -> None:
    """None: what a checkpoint makes of NaN."""
    epochs = [{"spearman": value, "loss": loss} for loss in (0.3, 0.2, 0.2)]
    assert is_better("spearman", epochs[1], epochs[0])
    assert not is_better("spearman", epochs[0], epochs[1])
    assert not is_better("spearman", epochs[2], epochs[1])


def test_which_way_is_better() -> None:
    assert is_better("loss", {"loss": 0.1}, {"loss": 0.2})
    assert is_better("accuracy", {"accuracy": 0.2, "loss": 9.0}, {"accuracy": 0.1, "loss": 0.1})
    assert is_better("mse", {"mse": 5.0, "loss": 1.0}, None)
    regression, several = TaskConfig(type="regression"), TaskConfig(type="multi_label")
    assert deciding_metric(regression, TrainConfig(), stacked=False) == "spearman"
    assert deciding_metric(several, TrainConfig(metric="loss"), stacked=True) == "loss"


def test_on_top_of_a_linear_model_the_calibrated_loss_decides() -> None:
    kinds: tuple[Any, ...] = ("single_label", "multi_label", "regression")
    found = {kind: deciding_metric(TaskConfig(type=kind), TrainConfig(), stacked=True) for kind in kinds}
    assert found == {"single_label": "calibrated_loss", "multi_label": "micro_f1", "regression": "spearman"}
    assert deciding_metric(TaskConfig(), TrainConfig(), stacked=False) == "accuracy"


@pytest.mark.parametrize("several", [False, True])
def test_how_large_the_logits_are_does_not_change_the_calibrated_loss(several: bool) -> None:
    source = np.random.default_rng(3)
    targets = source.integers(0, 3, 300)
    logits = source.normal(size=(300, 3)) + 1.5 * np.eye(3)[targets]
    task = TaskConfig(type="multi_label" if several else "single_label")
    given = np.eye(3)[targets] if several else targets
    labels = LabelSpace(labels=("a", "b", "c"))
    small, large = (compute(logits * size, given, task, labels, metric="calibrated_loss") for size in (1.0, 5.0))
    assert large["calibrated_loss"] == pytest.approx(small["calibrated_loss"], rel=1e-4)
    assert large["calibrated_loss"] < large["loss"]
    assert is_better("calibrated_loss", small, {**small, "calibrated_loss": 9.0})
    assert "calibrated_loss" not in compute(logits, given, task, labels, metric="accuracy")


def test_with_balanced_labels_each_counts_as_much() -> None:
    balanced, named = (TrainConfig(class_weights="balanced", metric=metric) for metric in ("auto", "accuracy"))
    for stacked in (False, True):
        assert deciding_metric(TaskConfig(), balanced, stacked=stacked) == "macro_f1"
        assert deciding_metric(TaskConfig(type="multi_label"), balanced, stacked=stacked) == "macro_f1"
        assert deciding_metric(TaskConfig(type="regression"), balanced, stacked=stacked) == "spearman"
        assert deciding_metric(TaskConfig(), named, stacked=stacked) == "accuracy"
