"""Every weighted metric against `components.evaluation.metrics` on rows repeated as often as their weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from components.evaluation import metrics, weighted_metrics
from components.evaluation.thresholds import METRICS, PER_LABEL_METRICS

ROWS, DRAWS = 60, 12
COUNTS = ("example_count", "unlabelled_count", "not_finite_count", "unknown_label_count")
Case = tuple[
    list[str],
    Callable[[list[str]], dict[str, weighted_metrics.WeightedMetric]],
    Callable[[np.ndarray], metrics.Metrics],
]


def draws(seed: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), DRAWS).T.astype(float)


def names(task: str, labels: tuple[str, ...]) -> list[str]:
    per_label = [f"{family}/{label}" for family in PER_LABEL_METRICS[task] for label in labels]
    return [name for name in (*METRICS[task], *per_label) if name not in COUNTS]


def one_label(seed: int, classes: int, extra: int) -> Case:
    rng = np.random.default_rng(seed)
    labels = tuple("abcde"[:classes])
    targets = rng.integers(-1, classes, ROWS)
    # Rounded, so that there are ties.
    probabilities = np.round(rng.dirichlet(np.ones(classes + extra), ROWS), 1).astype(np.float32)
    return (
        names("single_label", labels),
        lambda wanted: weighted_metrics.single_label(wanted, targets, probabilities, labels),
        lambda taken: metrics.single_label(targets[taken], probabilities[taken], labels)[0],
    )


def many_labels(seed: int, classes: int) -> Case:
    rng = np.random.default_rng(seed)
    labels = tuple("abcde"[:classes])
    targets = (rng.random((ROWS, classes + 1)) < 0.2).astype(int)
    probabilities = np.round(rng.random((ROWS, classes)), 1).astype(np.float32)
    return (
        names("multi_label", labels),
        lambda wanted: weighted_metrics.multi_label(wanted, targets, probabilities, labels, 0.7),
        lambda taken: metrics.multi_label(targets[taken], probabilities[taken], labels, 0.7)[0],
    )


def numbers(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    targets, predictions = np.round(rng.normal(5, 2, ROWS), 1), np.round(rng.normal(5e3, 2, ROWS))
    return (
        names("regression", ()),
        lambda wanted: weighted_metrics.regression(wanted, targets, predictions),
        lambda taken: metrics.regression(targets[taken], predictions[taken]),
    )


CASES = {
    "two labels": one_label(0, 2, 0),
    "five labels": one_label(1, 5, 0),
    "two of four labels": one_label(2, 2, 2),
    "many labels": many_labels(3, 4),
    "one label or none": many_labels(4, 1),
    "numbers": numbers(5),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_equal_repeated_rows(case: str) -> None:
    wanted, make, figure = CASES[case]
    taken_so_often = draws(9)
    made = make(wanted)
    assert set(made) == set(wanted)
    for number, counts in enumerate(taken_so_often.T):
        expected = figure(np.repeat(np.arange(ROWS), counts.astype(int)))
        found = {name: float(metric(taken_so_often)[number]) for name, metric in made.items()}
        assert found == pytest.approx({name: expected.get(name, np.nan) for name in wanted}, nan_ok=True, rel=1e-9)


def test_metrics_that_a_draw_cannot_define_are_nan() -> None:
    counts = np.zeros((4, 1))
    counts[:2] = 2
    targets, predictions = np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2, 0.7])
    found = weighted_metrics.regression(["pearson", "spearman", "mae"], targets, predictions)
    assert np.isnan(found["pearson"](counts))
    assert np.isnan(found["spearman"](counts))
    assert found["mae"](counts) == pytest.approx(0.8)
    one = weighted_metrics.single_label(
        ["auc", "recall/b"], np.array([0, 0, 1, 1]), np.eye(2)[[0, 1, 1, 0]], ("a", "b")
    )
    assert np.isnan(one["auc"](counts))
    assert np.isnan(one["recall/b"](counts))


def test_a_metric_that_the_task_does_not_have_is_left_out() -> None:
    assert weighted_metrics.regression(["accuracy", "recall/a"], np.zeros(3), np.zeros(3)) == {}
    assert weighted_metrics.single_label(["recall/z", "mse"], np.zeros(3, int), np.eye(3), ("a", "b", "c")) == {}
