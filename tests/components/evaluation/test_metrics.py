"""Every metric against scikit-learn and SciPy on the whole array, and on rows that textbooks leave out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from components.evaluation import metrics
from components.evaluation.thresholds import METRICS, PER_LABEL_METRICS

LABELS = ("a", "b", "c", "d")


def rows(classes: int = 4, count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 [N], and probabilities float32 [N, C] that often agree with them."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), targets] += 1.0
    exponents = np.exp(logits)
    return targets, (exponents / exponents.sum(1, keepdims=True)).astype(np.float32)


def test_one_label_of_several() -> None:
    targets, probabilities = rows()
    predicted = probabilities.argmax(1)
    found, confusion = metrics.single_label(targets, probabilities, LABELS)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(targets, predicted)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    expected = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "macro_f1": sk.f1_score(targets, predicted, average="macro"),
        "weighted_f1": sk.f1_score(targets, predicted, average="weighted"),
        "auc": sk.roc_auc_score(targets, exact, multi_class="ovr"),
        "log_loss": sk.log_loss(targets, exact),
        **{f"precision/{label}": precision[index] for index, label in enumerate(LABELS)},
        **{f"recall/{label}": recall[index] for index, label in enumerate(LABELS)},
        **{f"f1/{label}": f1[index] for index, label in enumerate(LABELS)},
        "example_count": 300,
        "unlabelled_count": 0,
        "unknown_label_count": 0,
        "not_finite_count": 0,
    }
    error = found.pop("calibration_error")
    assert found == pytest.approx(expected, abs=1e-6)
    assert confusion[:4].tolist() == sk.confusion_matrix(targets, predicted).tolist()
    assert error == pytest.approx(calibration_error(probabilities.max(1), predicted == targets))


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The definition of Guo et al. (2017), equation 3, bin by bin."""
    total = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def test_calibration_error_at_the_edges() -> None:
    sure = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    assert metrics.single_label(np.arange(4), sure, LABELS)[0]["calibration_error"] == 0.0
    assert metrics.single_label(np.array([1, 0, 3, 2]), sure, LABELS)[0]["calibration_error"] == 1.0


def test_the_auc_of_two_labels_is_that_of_the_second() -> None:
    targets, probabilities = rows(2)
    found, _ = metrics.single_label(targets, probabilities, ("no", "yes"))
    assert found["auc"] == pytest.approx(sk.roc_auc_score(targets, probabilities[:, 1]))


def test_a_label_without_rows_does_not_lower_the_averages() -> None:
    targets, probabilities = rows(3)
    wider = np.column_stack([probabilities, np.zeros(len(targets), np.float32)])
    found, _ = metrics.single_label(targets, wider, LABELS)
    same, _ = metrics.single_label(targets, probabilities, LABELS[:3])
    assert {name: found[name] for name in same} == pytest.approx(same)
    assert "f1/d" not in found


def test_rows_with_an_unknown_label_count_as_errors_of_the_predicted_label() -> None:
    targets, probabilities = rows()
    predicted = probabilities.argmax(1)
    targets = np.where(np.arange(300) < 30, metrics.UNKNOWN, targets)
    found, confusion = metrics.single_label(targets, probabilities, LABELS)
    assert found["unknown_label_count"] == 30
    assert found["accuracy"] == pytest.approx((targets == predicted).mean())
    expected = sk.f1_score(targets, predicted, labels=[0, 1, 2, 3], average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["precision/a"] == pytest.approx((targets[predicted == 0] == 0).mean())
    assert confusion[4].tolist() == np.bincount(predicted[:30], minlength=4).tolist()
    known = targets >= 0
    assert found["log_loss"] == pytest.approx(-np.log(probabilities[known, targets[known]]).mean(), rel=1e-5)


def test_rows_without_a_label_are_left_out() -> None:
    targets, probabilities = rows()
    wanted, _ = metrics.single_label(targets[50:], probabilities[50:], LABELS)
    targets[:50] = metrics.UNLABELLED
    found, _ = metrics.single_label(targets, probabilities, LABELS)
    assert found == {**wanted, "unlabelled_count": 50.0}


@pytest.mark.parametrize("count", [0, 1])
def test_metrics_that_few_rows_cannot_define_are_nan(count: int) -> None:
    targets, probabilities = rows(count=count)
    found, confusion = metrics.single_label(targets, probabilities, LABELS)
    assert set(METRICS["single_label"]) <= set(found)
    assert math.isnan(found["auc"])
    assert confusion.sum() == count
    many, _ = metrics.multi_label(np.zeros((count, 5), int), probabilities, LABELS, 0.999)
    assert set(METRICS["multi_label"]) <= set(many)
    assert math.isnan(many["mean_average_precision"])
    number = metrics.regression(np.zeros(count), np.zeros(count))
    assert set(METRICS["regression"]) == set(number)
    assert math.isnan(number["pearson"])


def test_many_labels() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.random((300, 4)).astype(np.float32)
    targets = (probabilities + rng.normal(0, 0.3, (300, 4)) > 0.6).astype(int)
    found, confusion = metrics.multi_label(np.column_stack([targets, np.zeros(300, int)]), probabilities, LABELS, 0.5)
    predicted = probabilities >= 0.5
    expected = {
        "micro_f1": sk.f1_score(targets, predicted, average="micro"),
        "macro_f1": sk.f1_score(targets, predicted, average="macro"),
        "subset_accuracy": sk.accuracy_score(targets, predicted),
        "mean_average_precision": sk.average_precision_score(targets, probabilities, average="macro"),
        "precision/b": sk.precision_score(targets[:, 1], predicted[:, 1]),
        "recall/b": sk.recall_score(targets[:, 1], predicted[:, 1]),
        "f1/d": sk.f1_score(targets[:, 3], predicted[:, 3]),
        "average_precision/c": sk.average_precision_score(targets[:, 2], probabilities[:, 2]),
        "log_loss": sk.log_loss(targets.ravel(), probabilities.ravel().astype(np.float64)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert confusion.tolist() == sk.multilabel_confusion_matrix(targets, predicted).tolist()


def test_an_unknown_label_of_a_multi_label_row_is_a_miss() -> None:
    targets = np.array([[1, 0, 0], [0, 1, 1]])
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    found, _ = metrics.multi_label(targets, probabilities, ("a", "b"), 0.5)
    assert found["subset_accuracy"] == 0.5
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found["macro_f1"] == 1.0
    assert found["unknown_label_count"] == 1


def test_a_probability_at_the_threshold_is_a_prediction() -> None:
    probabilities = np.array([[0.7]], np.float32)
    found, _ = metrics.multi_label(np.array([[1, 0]]), probabilities, ("a",), 0.7)
    assert found["micro_f1"] == 1.0


def test_numbers() -> None:
    rng = np.random.default_rng(4)
    targets = rng.normal(size=200)
    predictions = targets + rng.normal(size=200)
    found = metrics.regression(np.append(targets, math.nan), np.append(predictions, 1.0))
    assert found == pytest.approx(
        {
            "mse": sk.mean_squared_error(targets, predictions),
            "mae": sk.mean_absolute_error(targets, predictions),
            "pearson": stats.pearsonr(targets, predictions).statistic,
            "spearman": stats.spearmanr(targets, predictions).statistic,
            "example_count": 200,
            "unlabelled_count": 1,
            "not_finite_count": 0,
        }
    )


def test_nan_for_an_unlabelled_row_invalidates_the_metrics() -> None:
    probabilities = np.full((4, 2), 0.5, np.float32)
    probabilities[3] = math.nan
    single, _ = metrics.single_label(np.array([0, 1, 1, metrics.UNLABELLED]), probabilities, ("a", "b"))
    number = metrics.regression(np.array([1.0, 2.0, 3.0, math.nan]), np.array([1.0, 2.0, 3.0, math.inf]))
    for found in (single, number):
        assert (found["not_finite_count"], found["example_count"], found["unlabelled_count"]) == (1, 3, 1)
    assert math.isnan(single["accuracy"])
    assert math.isnan(number["mae"])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_non_finite_prediction_leaves_only_the_counts(broken: float) -> None:
    targets, probabilities = rows()
    many = np.column_stack([np.eye(4, dtype=int)[targets], np.zeros(300, int)])
    probabilities[7, 2] = broken
    made = {
        "single_label": metrics.single_label(targets, probabilities, LABELS)[0],
        "multi_label": metrics.multi_label(many, probabilities, LABELS, 0.5)[0],
        "regression": metrics.regression(targets.astype(float), probabilities[:, 2]),
    }
    for task, found in made.items():
        assert set(found) == set(METRICS[task])
        assert (found.pop("not_finite_count"), found.pop("example_count"), found.pop("unlabelled_count")) == (1, 300, 0)
        assert all(math.isnan(value) for value in found.values())


def test_an_infinite_regression_prediction_is_invalid() -> None:
    found = metrics.regression(np.array([1.0, 2.0, math.inf]), np.array([1.0, 2.0, 3.0]))
    assert (found["example_count"], found["unlabelled_count"], found["mse"]) == (2, 1, 0)


def test_no_labels_on_either_side_have_no_f1() -> None:
    found, _ = metrics.multi_label(np.zeros((5, 3), int), np.zeros((5, 2)), ("a", "b"), 0.5)
    assert math.isnan(found["micro_f1"])


def test_a_label_that_is_not_compared_is_an_error_outside_the_averages() -> None:
    targets, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7], [0.2, 0.8, 0.0]])
    found, confusion = metrics.single_label(targets, probabilities, ("a", "b"))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert confusion.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_every_metric_has_a_direction() -> None:
    targets, probabilities = rows()
    many = np.column_stack([np.eye(4, dtype=int)[targets], np.zeros(300, int)])
    made = {
        "single_label": metrics.single_label(targets, probabilities, LABELS)[0],
        "multi_label": metrics.multi_label(many, probabilities, LABELS, 0.5)[0],
        "regression": metrics.regression(targets.astype(float), probabilities[:, 0]),
    }
    for task, found in made.items():
        assert {name for name in found if "/" not in name} == set(METRICS[task])
        assert {name.partition("/")[0] for name in found if "/" in name} == set(PER_LABEL_METRICS[task])
