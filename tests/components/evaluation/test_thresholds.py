"""Thresholds that are possible; others are refused before TensorFlow is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.config import EvaluationConfig
from components.evaluation.thresholds import check_metrics, direction, possible_columns, slice_columns
from models.config import TaskConfig
from models.errors import ConfigError


def config(**keys: Any) -> EvaluationConfig:
    return EvaluationConfig.model_validate(keys)


def test_known_metrics_pass() -> None:
    thresholds = {"accuracy": {"min": 0.8}, "recall/spam": {"min": 0.5, "slices": ("label=spam", "text_length")}}
    check_metrics("single_label", config(thresholds=thresholds))
    check_metrics("single_label", config(thresholds=thresholds), ("ham", "spam"))
    check_metrics("regression", config(thresholds={"mse": {"max_loss_to_live": 0.1}}))
    check_metrics("single_label", config(thresholds={"example_count": {"min": 100}}))


def test_directions() -> None:
    assert direction("single_label", "accuracy") == "higher"
    assert direction("single_label", "log_loss") == "lower"
    assert direction("multi_label", "average_precision/a/b") == "higher"
    assert direction("regression", "example_count") == "none"


@pytest.mark.parametrize(
    ("task", "thresholds", "message"),
    [
        ("single_label", {"acuracy": {"min": 0.8}}, "did you mean 'accuracy'"),
        ("regression", {"accuracy": {"min": 0.8}}, "task.type 'regression' does not have"),
        ("regression", {"recall/a": {"min": 0.8}}, "task.type 'regression' does not have"),
        ("single_label", {"recall": {"min": 0.8}}, "recall/LABEL"),
        ("single_label", {"recall/eggs": {"min": 0.8}}, "got: label 'eggs'"),
        ("single_label", {"accuracy": {"min": 82}}, "write 0.82 for 82%"),
        ("single_label", {"recall/ham": {"min": 1.5}}, "at most 1, the highest value that recall/ham can have"),
        ("regression", {"pearson": {"max": -2}}, "at least -1"),
        ("single_label", {"log_loss": {"max": -0.1}}, "at least 0"),
        ("single_label", {"accuracy": {"min": 0.9, "max": 0.8}}, "got: min 0.9 and max 0.8"),
        (
            "single_label",
            {"macro_f1": {"min": 0.5, "slices": ["label"]}},
            "set a threshold for accuracy in slices by label",
        ),
        (
            "single_label",
            {"auc": {"min": 0.5, "slices": ["label=a"]}},
            "set a threshold for accuracy in slices by label",
        ),
        (
            "multi_label",
            {"macro_f1": {"min": 0.5, "slices": ["label"]}},
            "set a threshold for micro_f1 in slices by label",
        ),
        ("single_label", {"example_count": {"max_loss_to_live": 1}}, r"example_count\.max_loss_to_live"),
        ("regression", {"mse": {"max": 1, "slices": ("label",)}}, "a regression has no labels"),
        ("regression", {"mse": {"max": 1, "slices": ("label=a",)}}, "a regression has no labels"),
    ],
)
def test_a_threshold_that_cannot_be_judged_is_refused(task: Any, thresholds: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_metrics(task, config(thresholds=thresholds), ("ham", "spam"))
    assert f"evaluation.thresholds.{next(iter(thresholds))}" in caught.value.what


@pytest.mark.parametrize(
    ("name", "columns"),
    [("source", ("source",)), ("source=web", ("source=web", "source")), ("a=b=c", ("a=b=c", "a=b", "a"))],
)
def test_a_column_with_an_equals_sign_can_be_sliced_by(name: str, columns: tuple[str, ...]) -> None:
    assert possible_columns(name) == columns


@pytest.mark.parametrize(("metric", "loss"), [("accuracy", 1.0), ("recall/spam", 5), ("micro_f1", 100)])
def test_a_loss_that_no_model_can_have_is_refused(metric: str, loss: float) -> None:
    """A percentage in place of a share would let everything through."""
    task = "multi_label" if metric == "micro_f1" else "single_label"
    with pytest.raises(ConfigError, match=rf"{metric}\.max_loss_to_live"):
        check_metrics(task, config(thresholds={metric: {"max_loss_to_live": loss}}))


def test_slices_are_those_reported_and_those_judged() -> None:
    thresholds = {"accuracy": {"min": 0.8, "slices": ("source=web", "label", "source")}}
    task = TaskConfig(label="sentiment")
    # "source=web" may also be a column: the Evaluator ignores columns that no row has.
    assert slice_columns(task, config(thresholds=thresholds)) == ("label", "text_length", "source=web", "source")
    assert slice_columns(TaskConfig(type="regression"), config()) == ("text_length",)


def test_thresholds_and_verdicts_need_no_tensorflow(repository: Path) -> None:
    code = (
        "import sys, components.evaluation.thresholds, components.evaluation.verdict, serving.publish.version_folders;"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True)
