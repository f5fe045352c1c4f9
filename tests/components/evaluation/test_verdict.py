"""Verdicts: which models pass, and the sentence that says why a model did not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from tiny_measured import measured, part, shared

from components.config import EvaluationConfig
from components.evaluation.measurements import Comparison, LiveState, Measurements, Slice
from components.evaluation.verdict import describe_verdict, reach_verdict


def verdict(found: Measurements, replace_incomparable: bool = False, **thresholds: Any) -> tuple[str, bool, list[str]]:
    config = EvaluationConfig(thresholds=thresholds, replace_incomparable=replace_incomparable)
    made = reach_verdict(found, config)
    return describe_verdict(found, made, config), made.blessed, made.notes


def test_a_value_below_its_minimum() -> None:
    sentence, blessed, notes = verdict(measured(part("", "", 850, accuracy=0.71)), accuracy={"min": 0.8})
    assert sentence == (
        "not blessed: accuracy 0.71 on the 850 test rows is below the minimum of 0.80 in evaluation.thresholds"
    )
    assert not blessed
    assert notes == []


def test_a_value_above_its_maximum() -> None:
    sentence, *_ = verdict(measured(part("", "", 850, log_loss=0.5004)), log_loss={"max": 0.5})
    assert sentence == (
        "not blessed: log_loss 0.5004 on the 850 test rows is above the maximum of 0.50 in evaluation.thresholds"
    )


def test_a_value_worse_than_the_live_model() -> None:
    whole = part("", "", 850, {"accuracy": 0.87, "log_loss": 0.3}, accuracy=0.85, log_loss=0.35)
    found = measured(whole)
    sentence, *_ = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert sentence == (
        "not blessed: accuracy 0.85 on the 850 test rows is 0.02 worse than the 0.87 of the live model (version 17), "
        "where 0.01 is allowed"
    )
    assert verdict(found, accuracy={"max_loss_to_live": 0.02})[1], "0.87 - 0.85 is slightly more than 0.02 in binary"
    sentence, *_ = verdict(found, log_loss={"max_loss_to_live": 0})
    assert "log_loss 0.35 on the 850 test rows is 0.05 worse than the 0.30" in sentence
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
    sentence, blessed, _ = verdict(found, accuracy={"min": 0.8, "slices": ("label",)})
    assert sentence == (
        "not blessed: accuracy 0.60 on slice label=neg (123 rows) is below the minimum of 0.80 in evaluation.thresholds"
    )
    assert not blessed
    assert verdict(found, accuracy={"min": 0.8, "slices": ("label=pos",)})[1]


def test_the_whole_is_named_before_slices_and_the_rest_is_counted() -> None:
    found = measured(part("", "", 850, accuracy=0.7, macro_f1=0.5), part("label", "neg", 123, accuracy=0.6))
    sentence, *_ = verdict(found, accuracy={"min": 0.8, "slices": ("label",)}, macro_f1={"min": 0.6})
    assert sentence.startswith("not blessed: accuracy 0.70 on the 850 test rows")
    assert sentence.endswith("(and 2 more, see thresholds)")


def test_small_slices_are_noted_and_do_not_fail() -> None:
    found = measured(
        part("", "", 850, accuracy=0.9),
        part("label", "neg", 19, accuracy=0.1),
        part("label", "pos", 831, accuracy=0.95),
    )
    _, blessed, notes = verdict(found, accuracy={"min": 0.8, "slices": ("label", "source")})
    assert blessed
    assert notes == [
        "accuracy was not judged on slice label=neg (19 rows): evaluation.min_slice_size is 20",
        "accuracy was not judged on slice source: no row is in it",
    ]


@pytest.mark.parametrize("bound", [{"min": 0.8}, {"max": 0.95}, {"max_loss_to_live": 0.1}], ids=str)
def test_a_named_slice_without_rows_does_not_pass(bound: dict[str, float]) -> None:
    found = measured(part("", "", 850, {"accuracy": 0.9}, accuracy=0.9))
    assert verdict(found, accuracy=bound)[1]
    sentence, blessed, _ = verdict(found, accuracy={**bound, "slices": ("source=x",)})
    assert not blessed
    assert sentence == "not blessed: accuracy cannot be judged on slice source=x: no test row is in it"


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_metric_that_cannot_be_computed_never_passes(broken: float) -> None:
    for bound in ("min", "max", "max_loss_to_live"):
        found = measured(part("", "", 850, {"mse": 1.0}, mse=broken), task="regression")
        sentence, blessed, _ = verdict(found, mse={bound: 2.0})
        assert not blessed
        assert sentence == f"not blessed: mse on the 850 test rows cannot be computed, so its {bound} cannot be judged"


def test_a_metric_undefined_for_any_model_is_noted_and_one_that_only_this_model_lacks_fails() -> None:
    lacking = part("source", "x", 123, spearman=math.nan)
    found = measured(part("", "", 850, spearman=0.9), lacking, task="regression")
    _, blessed, notes = verdict(found, spearman={"min": 0.8, "slices": ("source",)})
    assert blessed
    assert notes == ["spearman on slice source=x (123 rows) cannot be computed, so its min cannot be judged"]
    constant = dataclasses.replace(lacking, unreached=frozenset({"spearman"}))
    found = measured(part("", "", 850, spearman=0.9), constant, task="regression")
    sentence, blessed, _ = verdict(found, spearman={"min": 0.8, "slices": ("source",)})
    assert not blessed
    assert "spearman on slice source=x (123 rows) cannot be computed" in sentence


def test_non_finite_predictions_are_never_blessed() -> None:
    found = measured(part("", "", 850, accuracy=math.nan, not_finite_count=3))
    sentence, blessed, _ = verdict(found)
    assert not blessed
    assert "3 of the predictions on the 850 test rows are NaN or infinite" in sentence


def test_no_threshold_and_a_first_run_are_noted_and_pass() -> None:
    found = measured(part("", "", 850, accuracy=0.9), live=LiveState())
    sentence, blessed, notes = verdict(found)
    first = "nothing is live yet: this model is measured without a comparison"
    assert blessed
    assert sentence == "blessed without a test of quality on the 850 test rows: evaluation.thresholds is empty"
    assert notes == [first, "evaluation.thresholds is empty: any model is blessed"]
    sentence, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert blessed
    assert sentence == "blessed without a test of quality on the 850 test rows: no threshold could be judged"
    assert (
        verdict(found, accuracy={"min": 0.5, "max": 0.95})[0] == "blessed: both thresholds are met on the 850 test rows"
    )
    assert notes == [first, "max_loss_to_live of accuracy was not judged: nothing is live"]
    sentence, *_ = verdict(found, accuracy={"min": 0.5, "max_loss_to_live": 0.01})
    assert sentence == "blessed: the threshold is met on the 850 test rows"


def test_the_model_that_is_live_passes_again() -> None:
    found = measured(part("", "", 850, accuracy=0.9), live=LiveState(17, same=True))
    _, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.0})
    assert blessed
    assert "this model is live already, as version 17: there is nothing to compare it with" in notes


def test_an_impossible_comparison_passes_only_if_allowed() -> None:
    whole, other = part("", "", 850, accuracy=0.9), part("source", "x", 400, accuracy=0.9)
    found = measured(whole, other, live=LiveState(17, why_not="its task.type is 'regression'"))
    sentence, blessed, _ = verdict(found, accuracy={"max_loss_to_live": 0.01, "slices": ("source",)})
    assert not blessed
    assert sentence == (
        "not blessed: accuracy on the 850 test rows cannot be compared with the live model (version 17): its task.type "
        "is 'regression'; to replace it nevertheless: --set evaluation.replace_incomparable=true "
        "(and 1 more, see thresholds)"
    )
    _, blessed, notes = verdict(found, True, accuracy={"min": 0.8, "max_loss_to_live": 0.01})
    assert blessed
    assert any(note.endswith("it passes because evaluation.replace_incomparable is true") for note in notes)
    assert verdict(found, accuracy={"min": 0.8})[1], "a threshold without a comparison needs none"
    assert not verdict(found, True, accuracy={"min": 0.95, "max_loss_to_live": 0.01})[1]


def test_a_metric_that_the_live_model_lacks_passes_only_if_allowed() -> None:
    found = measured(part("", "", 850, {"spearman": math.nan}, spearman=0.5), task="regression")
    sentence, blessed, _ = verdict(found, spearman={"max_loss_to_live": 0.1})
    assert not blessed
    assert "its spearman cannot be computed there" in sentence
    assert verdict(found, True, spearman={"max_loss_to_live": 0.1})[1]
    whole = part("", "", 850, {"recall/pos": 0.9}, **{"recall/pos": 0.9, "recall/new": 0.9})
    found = measured(whole, live=LiveState(17, labels=("neg", "pos")))
    sentence, blessed, _ = verdict(found, **{"recall/new": {"max_loss_to_live": 0.1}})
    assert not blessed
    assert "it does not know the label 'new'" in sentence
    assert verdict(found, **{"recall/pos": {"max_loss_to_live": 0.1}})[1]


def test_a_comparison_on_no_rows_does_not_pass() -> None:
    nothing = Slice("", "", {"example_count": 90, "accuracy": 0.9}, Comparison({}, {"example_count": 0}))
    found = measured(nothing, live=LiveState(17, labels=("neg", "pos")))
    sentence, blessed, _ = verdict(found, accuracy={"max_loss_to_live": 0.5})
    assert not blessed
    assert "none of these rows has a label that it knows" in sentence
    assert verdict(found, True, accuracy={"max_loss_to_live": 0.5})[1]


def test_slices_that_cannot_be_compared() -> None:
    few = shared(400, 5, 0.1, 0.9, 0.1, 0.9, "source")
    found = measured(shared(850, 850, 0.9, 0.9, -0.01, 0.01), few)
    _, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.1, "slices": ("source",)})
    assert blessed
    assert any("was not judged on slice source=x (5 rows), of which too few can be compared" in note for note in notes)
    none = Slice("source", "x", {"example_count": 90, "accuracy": 0.9}, Comparison({}, {"example_count": 0}))
    found = measured(shared(850, 850, 0.9, 0.9, -0.01, 0.01), none)
    assert verdict(found, accuracy={"max_loss_to_live": 0.1, "slices": ("source",)})[1]
    assert not verdict(found, accuracy={"max_loss_to_live": 0.1, "slices": ("source=x",)})[1]


def test_a_loss_that_the_interval_supports_blocks() -> None:
    found = measured(shared(1000, 1000, 0.85, 0.88, 0.015, 0.045))
    sentence, blessed, _ = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert not blessed
    assert sentence.endswith(
        "is 0.03 worse than the 0.88 of the live model (version 17), where 0.01 is allowed "
        "(80% interval of the loss: 0.015 to 0.045)"
    )
    assert verdict(found, accuracy={"max_loss_to_live": 0.03})[1]


def test_a_loss_that_chance_explains_passes_and_is_noted() -> None:
    found = measured(shared(100, 100, 0.86, 0.88, -0.01, 0.05))
    _, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert blessed
    assert any("is 0.02 worse" in note and "this may be chance" in note for note in notes)


def test_too_few_rows_to_tell_are_noted() -> None:
    found = measured(shared(100, 100, 0.88, 0.88, -0.04, 0.04))
    _, blessed, notes = verdict(found, accuracy={"max_loss_to_live": 0.01})
    assert blessed
    assert any("there are too few rows to tell" in note and "-0.040 to 0.040" in note for note in notes)
    assert verdict(found, accuracy={"max_loss_to_live": 0.05})[2] == []


def test_a_required_improvement_must_be_measured() -> None:
    found = measured(shared(100, 100, 0.885, 0.88, -0.03, 0.02))
    sentence, blessed, _ = verdict(found, accuracy={"max_loss_to_live": -0.01})
    assert not blessed
    assert "is not 0.01 better than the 0.88 of the live model" in sentence


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_have_their_own_metrics(task: str) -> None:
    name = {"multi_label": "micro_f1", "regression": "spearman"}[task]
    found = measured(part("", "", 100, **{name: 0.7}), task=task)
    assert verdict(found, **{name: {"min": 0.6}})[1]
    assert not verdict(found, **{name: {"min": 0.8}})[1]
