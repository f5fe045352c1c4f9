"""Verdicts: what passes, and the one sentence that says why a model did not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from components.blessing import Measured, Slice, judge, load_summary, save_summary, sentence, summarize
from components.config import EvaluationConfig


def part(column: str, value: str, rows: int, live: dict[str, float] | None = None, **metrics: float) -> Slice:
    return Slice(column, value, {"example_count": float(rows), **metrics}, live)


def measured(whole: Slice, *slices: Slice, task: Any = "single_label", **more: Any) -> Measured:
    return Measured(task=task, split="test", labels=("neg", "pos"), whole=whole, slices=slices, **more)


def verdict(found: Measured, **thresholds: Any) -> tuple[str, bool, list[str]]:
    made = judge(found, EvaluationConfig(thresholds=thresholds))
    return sentence(found, made), made.blessed, made.notes


def test_a_value_below_its_minimum() -> None:
    said, blessed, notes = verdict(measured(part("", "", 850, accuracy=0.71)), accuracy={"min": 0.8})
    assert said == (
        "not blessed: accuracy 0.71 on the 850 test rows is below the 0.80 that evaluation.thresholds asks for"
    )
    assert not blessed
    assert notes == []


def test_a_value_above_its_maximum() -> None:
    said, *_ = verdict(measured(part("", "", 850, log_loss=0.5004)), log_loss={"max": 0.5})
    assert said == (
        "not blessed: log_loss 0.5004 on the 850 test rows is above the 0.50 that evaluation.thresholds asks for"
    )


def test_a_value_worse_than_the_live_model() -> None:
    whole = part("", "", 850, {"accuracy": 0.87, "log_loss": 0.3}, accuracy=0.85, log_loss=0.35)
    found = measured(whole, live_version=17)
    said, *_ = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert said == (
        "not blessed: accuracy 0.85 on the 850 test rows is 0.02 worse than the 0.87 of the live model (version 17), "
        "where 0.01 is allowed"
    )
    assert verdict(found, accuracy={"max_loss_to_live": 0.02})[1], "0.87 - 0.85 is 0.02 and a little in binary"
    said, *_ = verdict(found, log_loss={"max_loss_to_live": 0})
    assert "log_loss 0.35 on the 850 test rows is 0.05 worse than the 0.30" in said
    assert verdict(found, log_loss={"max_loss_to_live": 0.05})[1]


def test_a_better_value_than_the_live_model_is_no_loss() -> None:
    whole = part("", "", 850, {"accuracy": 0.80}, accuracy=0.85)
    assert verdict(measured(whole), accuracy={"max_loss_to_live": 0.0})[1]


def test_a_slice_fails_though_the_whole_passes() -> None:
    found = measured(
        part("", "", 850, accuracy=0.9),
        part("label", "pos", 727, accuracy=0.95),
        part("label", "neg", 123, accuracy=0.6),
    )
    said, blessed, _ = verdict(found, accuracy={"min": 0.8, "slices": ("label",)})
    assert said == (
        "not blessed: accuracy 0.60 on slice label=neg (123 rows) is below the 0.80 that evaluation.thresholds asks for"
    )
    assert not blessed
    assert verdict(found, accuracy={"min": 0.8, "slices": ("label=pos",)})[1]


def test_the_whole_is_named_before_slices_and_the_rest_is_counted() -> None:
    found = measured(part("", "", 850, accuracy=0.7, macro_f1=0.5), part("label", "neg", 123, accuracy=0.6))
    said, *_ = verdict(found, accuracy={"min": 0.8, "slices": ("label",)}, macro_f1={"min": 0.6})
    assert said.startswith("not blessed: accuracy 0.70 on the 850 test rows")
    assert said.endswith("(and 2 more, see thresholds)")


def test_small_and_absent_slices_are_said_and_do_not_fail() -> None:
    found = measured(
        part("", "", 850, accuracy=0.9),
        part("label", "neg", 19, accuracy=0.1),
        part("label", "pos", 831, accuracy=0.95),
    )
    _, blessed, notes = verdict(found, accuracy={"min": 0.8, "slices": ("label", "source=x")})
    assert blessed
    assert notes == [
        "accuracy was not judged on slice label=neg (19 rows): evaluation.min_slice_size is 20",
        "accuracy was not judged on slice source=x: no row is in it",
    ]


def test_a_figure_that_cannot_be_computed_fails_on_all_rows_and_is_said_on_a_slice() -> None:
    found = measured(part("", "", 850, auc=0.9), part("label", "neg", 123, auc=math.nan))
    _, blessed, notes = verdict(found, auc={"min": 0.8, "slices": ("label",)})
    assert blessed
    assert notes == ["auc on slice label=neg (123 rows) cannot be computed, so its min cannot be judged"]
    said, blessed, _ = verdict(measured(part("", "", 850, auc=math.nan)), auc={"min": 0.8})
    assert not blessed
    assert said == "not blessed: auc on the 850 test rows cannot be computed, so its min cannot be judged"


def test_no_threshold_and_no_live_model_are_said() -> None:
    found = measured(part("", "", 850, accuracy=0.9))
    said, blessed, notes = verdict(found)
    assert blessed
    assert said == "blessed without a test of quality on the 850 test rows: no threshold could be judged"
    assert notes == ["evaluation.thresholds is empty: any model is blessed"]
    said, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert blessed
    assert said.startswith("blessed without a test of quality")
    assert notes == ["max_loss_to_live of accuracy was not judged: no live model was measured"]
    said, *_ = verdict(found, accuracy={"min": 0.5, "max_loss_to_live": 0.01})
    assert said == "blessed: the threshold is met on the 850 test rows"


def test_the_summary_is_plain_json_with_slices_in_order(tmp_path: Path) -> None:
    buckets = ["128-255 characters", "0-15 characters", "2048 characters and more", "16-31 characters"]
    found = measured(
        part("", "", 850, {"accuracy": 0.5}, accuracy=0.9, auc=math.nan, **{"recall/neg": 0.4}),
        *(part("text_length", bucket, 30, {"accuracy": 0.4}, accuracy=0.9) for bucket in buckets),
        part("label", "pos", 19, accuracy=0.9),
        part("source", "x", 400, accuracy=0.9),
        confusion=[[1, 2], [3, 4], [0, 0]],
        live_version=3,
    )
    config = EvaluationConfig(thresholds={"accuracy": {"min": 0.5, "slices": ("source=x",)}})
    summary = summarize(found, config)
    save_summary(summary, tmp_path)
    assert load_summary(tmp_path) == json.loads(json.dumps(summary)) == summary
    assert summary["metrics"] == {"example_count": 850.0, "accuracy": 0.9, "auc": None}
    assert summary["per_label"] == {"neg": {"recall": 0.4}, "pos": {}}
    assert (summary["baseline"], summary["live_version"]) == ({"accuracy": 0.5}, 3)
    assert [entry["value"] for entry in summary["slices"]] == [
        "0-15 characters",
        "16-31 characters",
        "128-255 characters",
        "2048 characters and more",
    ], "source is judged but was not asked to be reported"
    assert summary["slices"][0]["baseline"] == {"accuracy": 0.4}
    assert summary["small_slices"] == [{"slice": "label=pos", "column": "label", "value": "pos", "rows": 19}]
    assert [(entry["slice"], entry["passed"]) for entry in summary["thresholds"]] == [("", True), ("source=x", True)]


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_have_their_own_metrics(task: str) -> None:
    name = {"multi_label": "micro_f1", "regression": "spearman"}[task]
    found = measured(part("", "", 100, **{name: 0.7}), task=task)
    assert verdict(found, **{name: {"min": 0.6}})[1]
    assert not verdict(found, **{name: {"min": 0.8}})[1]
