"""The TFMA metric: the same metrics however Beam bundles and merges the rows."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation import metrics
from components.evaluation.measurements import LIVE, MODEL
from components.evaluation.tfma_metric import CONFUSION, TextMetrics
from components.evaluation.tfma_rows import PREDICTED
from models.config import TaskConfig

LABELS = ["a", "b", "c"]


def computations(task: str, models: list[str], live: dict[str, Any] | None = None) -> list[Any]:
    settings = TaskConfig(type=task).model_dump(mode="json")
    metric = TextMetrics(task=settings, labels=LABELS, live=live, judged=["accuracy"])
    # The metric is stored in the EvalConfig, as JSON.
    return list(TextMetrics.from_config(metric.get_config()).computations(model_names=models))


def combine(computation: Any, extracts: list[dict[str, Any]], cuts: list[int]) -> dict[str, Any]:
    """The computation's result for rows in bundles cut at `cuts`, merged in a tree, accumulators pickled in between."""
    [preprocessor], combiner = computation.preprocessors, computation.combiner
    accumulators = []
    for begin, end in itertools.pairwise([0, *sorted(cuts), len(extracts)]):
        accumulator = combiner.create_accumulator()
        for row in extracts[begin:end]:
            for element in preprocessor.process(row):
                accumulator = combiner.add_input(accumulator, element)
        accumulators.append(pickle.loads(pickle.dumps(accumulator)))
    some, others = accumulators[::2], accumulators[1::2]
    if others:
        some = [combiner.merge_accumulators(some), combiner.merge_accumulators(iter(others))]
    merged = combiner.merge_accumulators(some)
    return by_model(combiner.extract_output(merged))[""]


def by_model(output: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """Metrics by the model's name."""
    models: dict[str, dict[str, Any]] = {}
    for key, value in output.items():
        models.setdefault(key.model_name, {})[key.name] = value
    return models


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=9), seed=st.integers(0, 1000))
def test_bundles_and_merges_do_not_matter(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(-2, 3, 90)
    probabilities = rng.dirichlet([1, 1, 1], 90).astype(np.float32)
    extracts = [
        {tfma.LABELS_KEY: np.array([target], np.float64), PREDICTED + MODEL: row}
        for target, row in zip(targets, probabilities, strict=True)
    ]
    [computation] = computations("single_label", [""])
    found = combine(computation, extracts, cuts)
    wanted, confusion = metrics.single_label(targets, probabilities, tuple(LABELS))
    assert found.pop(CONFUSION).tolist() == confusion.tolist()
    assert found == pytest.approx(wanted, nan_ok=True)


def test_many_labels_and_numbers_keep_their_shape() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (40, 4))
    probabilities = rng.random((40, 3)).astype(np.float32)
    extracts = [
        {tfma.LABELS_KEY: target.astype(np.float64), PREDICTED + MODEL: row}
        for target, row in zip(targets, probabilities, strict=True)
    ]
    found = combine(computations("multi_label", [""])[0], extracts, [7, 20])
    wanted, confusion = metrics.multi_label(targets, probabilities, tuple(LABELS), 0.5)
    assert found.pop(CONFUSION).tolist() == confusion.tolist()
    assert found == pytest.approx(wanted)

    numbers = [
        {tfma.LABELS_KEY: np.array([target]), PREDICTED + MODEL: row[:1]}
        for target, row in zip(targets[:, 0] * 0.1, probabilities, strict=True)
    ]
    found = combine(computations("regression", [""])[0], numbers, [3])
    assert found == pytest.approx(metrics.regression(targets[:, 0] * 0.1, probabilities[:, 0]))


def test_each_models_predictions_are_read_in_its_own_order() -> None:
    row = {
        tfma.LABELS_KEY: np.array([2.0]),
        PREDICTED + MODEL: np.array([0.1, 0.2, 0.7]),
        PREDICTED + LIVE: np.array([0.6, 0.3, 0.1, 0.0]),
    }
    live = {"labels": ["c", "b", "a", "more"], "threshold": 0.5}
    [computation] = computations("single_label", ["candidate", "baseline"], live)
    assert [key.model_name for key in computation.keys] == ["candidate", "baseline"]
    combiner, [preprocessor] = computation.combiner, computation.preprocessors
    accumulator = combiner.create_accumulator()
    for _ in range(30):
        for element in preprocessor.process(row):
            accumulator = combiner.add_input(accumulator, element)
    found = by_model(combiner.extract_output(accumulator))
    assert [found[model]["accuracy"] for model in ("candidate", "baseline: candidate", "baseline")] == [1.0] * 3
    assert found["baseline: lowest loss"] == found["baseline: highest loss"] == {"accuracy": 0.0}


def test_undefined_metrics_are_distinguished_from_impossible_ones() -> None:
    rows = [(np.array([target]), np.array([2.5])) for target in (1.0, 2.0, 3.0)]
    [computation] = computations("regression", [""])
    for taken, unreached in ((rows, {"pearson": 1.0, "spearman": 1.0}), (rows[:1] * 3, {})):
        accumulator = computation.combiner.create_accumulator()
        for row in taken:
            accumulator = computation.combiner.add_input(accumulator, row)
        assert by_model(computation.combiner.extract_output(accumulator)).get("unreached", {}) == unreached
    [computation] = computations("single_label", [""])
    accumulator = computation.combiner.create_accumulator()
    for target in (0.0, 1.0):  # "b" is a target and never predicted; "c" is neither
        accumulator = computation.combiner.add_input(accumulator, (np.array([target]), np.array([0.8, 0.1, 0.1])))
    assert set(by_model(computation.combiner.extract_output(accumulator))["unreached"]) == {"precision/b"}


def test_merging_leaves_the_accumulators_unchanged() -> None:
    [computation] = computations("regression", [""])
    combiner = computation.combiner
    parts = []
    for number in (1.0, 2.0):
        parts.append(combiner.add_input(combiner.create_accumulator(), (np.array([number]), np.array([number]))))
    for _ in range(2):
        merged = combiner.merge_accumulators(parts)
        assert merged.rows == 2
        assert merged.targets.tolist() == [1.0, 2.0]
