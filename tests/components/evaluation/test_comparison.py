"""Two models on the rows that can be compared: other orders, other labels, other thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from components.evaluation import metrics
from components.evaluation.comparison import Baseline, compare
from models.config import TaskConfig

RNG = np.random.default_rng(0)


def sharp(chosen: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities that are highest for the chosen label, float32 [N, C]."""
    noise = RNG.dirichlet(np.ones(classes), len(chosen))
    noise[np.arange(len(chosen)), chosen] += 1.0
    return (noise / 2).astype(np.float32)


def test_the_same_labels_in_another_order() -> None:
    targets = RNG.integers(-2, 3, 200)
    candidate = sharp(np.maximum(targets, 0), 3)
    baseline = Baseline(("c", "a", "b"))
    found = compare(
        TaskConfig(), ("a", "b", "c"), baseline, targets, candidate, candidate[:, [2, 0, 1]], ["accuracy", "recall/b"]
    )
    assert found.candidate == pytest.approx(found.live, nan_ok=True)
    whole, _ = metrics.single_label(targets, candidate, ("a", "b", "c"))
    assert found.candidate == pytest.approx({**whole, "unlabelled_count": 0})
    assert found.losses == {"accuracy": (0, 0), "recall/b": (0, 0)}


def test_a_new_label_is_compared_on_the_rows_of_the_old_ones() -> None:
    labels = ("neg", "neutral", "pos")
    targets = np.repeat([0, 1, 2], 40)
    own, old = targets.copy(), np.where(targets == 2, 0, 1)  # the live model has ("pos", "neg")
    own[:10], old[:2] = (
        1,
        0,
    )  # the candidate predicts "neutral" for ten negative rows, the live model misses two of them
    found = compare(
        TaskConfig(), labels, Baseline(("pos", "neg")), targets, sharp(own, 3), sharp(old, 2), ["accuracy", "macro_f1"]
    )
    assert found.rows == found.candidate["example_count"] == 80
    assert (found.candidate["accuracy"], found.live["accuracy"]) == (pytest.approx(70 / 80), pytest.approx(78 / 80))
    assert found.candidate["recall/neg"] == 0.75
    assert found.candidate["macro_f1"] == pytest.approx((2 * 30 / 70 + 1) / 2), "averaged over the labels of both"
    assert not {name for name in found.candidate if name.endswith("/neutral")}
    low, high = found.losses["accuracy"]
    assert 0 < low < 8 / 80 < high


def test_rows_with_a_removed_label_are_not_compared() -> None:
    targets = np.array([0, 1, metrics.UNKNOWN, metrics.UNLABELLED] * 10)
    found = compare(
        TaskConfig(),
        ("a", "b"),
        Baseline(("a", "b", "gone")),
        targets,
        sharp(targets % 2, 2),
        sharp(targets % 2, 3),
        [],
    )
    assert (found.rows, found.candidate["accuracy"], found.live["accuracy"]) == (20, 1.0, 1.0)


def test_without_comparable_rows_there_are_no_metrics() -> None:
    targets = np.full(30, 2)
    own, old = sharp(targets, 3), sharp(targets % 2, 2)
    found = compare(TaskConfig(), ("a", "b", "new"), Baseline(("a", "b")), targets, own, old, ["accuracy"])
    assert (found.rows, found.losses) == (0, {})
    assert np.isnan(found.candidate["accuracy"])


def test_each_multi_label_model_has_its_own_threshold() -> None:
    targets = (RNG.random((300, 4)) < 0.4).astype(int)
    targets[:, 3] = 0
    probabilities = RNG.random((300, 3)).astype(np.float32)
    task = TaskConfig(type="multi_label", threshold=0.3)
    found = compare(
        task, ("a", "b", "c"), Baseline(("c", "b", "a"), 0.8), targets, probabilities, probabilities[:, ::-1], []
    )
    for figure, threshold in ((found.candidate, 0.3), (found.live, 0.8)):
        expected = sk.f1_score(targets[:, :3], probabilities >= threshold, average="micro")
        assert figure["micro_f1"] == pytest.approx(expected)
    assert found.candidate["mean_average_precision"] == pytest.approx(found.live["mean_average_precision"])


def test_multi_label_models_are_compared_on_shared_labels() -> None:
    targets = (RNG.random((100, 4)) < 0.4).astype(int)
    right, blind = targets[:, :3].astype(np.float32), np.zeros((100, 3), np.float32)
    blind[:, 0] = targets[:, 1]  # ("b", "x", "y"): right about b
    task = TaskConfig(type="multi_label")
    found = compare(task, ("a", "b", "c"), Baseline(("b", "x", "y")), targets, right, blind, ["micro_f1"])
    assert found.rows == 100
    assert found.candidate["micro_f1"] == found.live["micro_f1"] == 1.0
    assert found.losses["micro_f1"] == (0, 0)


def test_numbers() -> None:
    targets = np.append(RNG.normal(size=99), np.nan)
    predictions = targets + RNG.normal(size=100)
    predictions[-1] = 0
    constant = np.zeros((100, 1), np.float32)
    judged = ["mae", "spearman"]
    found = compare(TaskConfig(type="regression"), (), Baseline(), targets, predictions[:, None], constant, judged)
    assert (found.rows, found.candidate["example_count"]) == (99, 99)
    assert np.isnan(found.live["spearman"])
    assert set(found.losses) == {"mae"}


def test_the_order_of_the_rows_does_not_matter_to_the_interval() -> None:
    targets = RNG.integers(0, 2, 200)
    own, old = sharp(RNG.integers(0, 2, 200), 2), sharp(targets, 2)
    shuffled, labels, judged = RNG.permutation(200), ("a", "b"), ["auc", "log_loss"]
    one, other = (
        compare(TaskConfig(), labels, Baseline(labels), targets[rows], own[rows], old[rows], judged)
        for rows in (np.arange(200), shuffled)
    )
    assert set(one.losses) == {"auc", "log_loss"}
    for name, bounds in one.losses.items():
        assert other.losses[name] == pytest.approx(bounds)


def test_non_finite_predictions_get_no_interval() -> None:
    targets = RNG.integers(0, 2, 60)
    own, old = sharp(targets, 2), sharp(targets, 2)
    old[7] = np.nan
    found = compare(TaskConfig(), ("a", "b"), Baseline(("a", "b")), targets, own, old, ["accuracy"])
    assert (found.live["not_finite_count"], found.losses) == (1, {})
