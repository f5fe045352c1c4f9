"""Verdicts about baselines: what is not better, what cannot be compared, and what either means for the model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from tiny_measured import measured, part

from components.config import EvaluationConfig
from components.evaluation.baseline_comparison import judged_metrics
from components.evaluation.baseline_verdict import BaselineJudgement
from components.evaluation.measurements import BaselineFacts, Comparison, LiveState, Measurements
from components.evaluation.summary import summarize
from components.evaluation.verdict import Verdict, describe_verdict, reach_verdict


def against(
    value: float, trivial: float, interval: tuple[float, float] | None = None, rows: int = 100, **more: Any
) -> Measurements:
    """A model and the trivial answer, with the interval of the model's loss."""
    figures = {"example_count": float(rows), "accuracy": value}
    other = {"example_count": float(rows), "accuracy": trivial}
    compared = Comparison(figures, other, {} if interval is None else {"accuracy": interval})
    whole = replace(part("", "", 100, accuracy=value), baselines={"majority": compared})
    facts = BaselineFacts({"majority": ("accuracy",)}, {"majority": "always 'ham'"}, **more)
    return measured(whole, baselines=facts, live=LiveState())


def judge(found: Measurements, severity: str = "error", **config: Any) -> tuple[BaselineJudgement, Verdict, str]:
    settings = EvaluationConfig.model_validate({"baselines": {"majority": severity, "linear": severity}, **config})
    verdict = reach_verdict(found, settings)
    return verdict.baselines[0], verdict, describe_verdict(found, verdict, settings)


@pytest.mark.parametrize(
    ("value", "interval", "passes"),
    [
        (0.79, (-0.02, 0.04), False),  # the interval does not excuse a model that is measured as worse
        (0.80, (-0.03, 0.03), False),
        (0.81, (-0.04, 0.02), True),
        (0.79, None, False),
        (0.81, None, True),
    ],
)
def test_the_measured_gain_decides(value: float, interval: tuple[float, float] | None, passes: bool) -> None:
    judgement, verdict, sentence = judge(against(value, 0.8, interval))
    assert (judgement.better, judgement.passed, verdict.blessed) == (passes, passes, passes)
    assert sentence.startswith("blessed: better than" if passes else "not blessed: accuracy")


def test_the_sentence_has_both_figures_the_interval_and_the_way_out() -> None:
    judgement, _, sentence = judge(against(0.7, 0.8, (0.05, 0.15)))
    assert sentence == (
        "not blessed: accuracy 0.70 on the 100 test rows is not better than the 0.80 of the trivial answer (always "
        "'ham') (80% interval of the gain: -0.150 to -0.050); to push it nevertheless: "
        "--set evaluation.baselines.majority=warn"
    )
    assert judgement.interval == (-0.15, -0.05)


@pytest.mark.parametrize(
    ("value", "rows", "said"),
    [
        (0.7, 100, "is not better than the 0.80 of the trivial answer (always 'ham'); train longer, use a preset"),
        (0.8, 100, "equals the 0.8000 of the trivial answer (always 'ham'); train longer"),
        (1.0, 3, "equals the 1.0000 of the trivial answer (always 'ham'); 3 rows say little"),
    ],
)
def test_the_advice_fits_the_rows(value: float, rows: int, said: str) -> None:
    judgement, _, _ = judge(against(value, 1.0 if rows == 3 else 0.8, None, rows=rows), "warn")
    assert said in judgement.sentence


def test_a_gain_that_may_be_chance_is_noted() -> None:
    judgement, verdict, _ = judge(against(0.81, 0.8, (-0.04, 0.02)))
    assert "may be chance (80% interval of the gain: -0.020 to +0.040)" in judgement.sentence
    assert judgement.sentence in verdict.notes
    judgement, _, _ = judge(against(0.9, 0.8, (-0.14, -0.06)))
    assert judgement.sentence == ""


@pytest.mark.parametrize("rows", [2, 19, 20])
def test_a_gain_on_too_few_rows_for_an_interval_is_a_warning(rows: int) -> None:
    judgement, verdict, _ = judge(against(0.9, 0.8, None if rows < 20 else (-0.14, -0.06), rows=rows))
    assert verdict.blessed
    assert judgement.warns == (rows < 20)
    assert ("so few rows this may be chance" in judgement.sentence) == (rows < 20)


def test_where_nothing_is_right_the_labels_are_in_question() -> None:
    judgement, _, _ = judge(against(0.0, 0.0), severity="warn")
    assert judgement.sentence.endswith("not one answer is right: do these rows have the labels of the training rows?")


def test_two_figures_are_never_shown_alike() -> None:
    judgement, _, _ = judge(against(0.9623, 0.9574, (-0.04, 0.02)))
    assert judgement.sentence.startswith("accuracy 0.962 on the 100 test rows is better than the 0.957 of")


def test_a_warning_lets_the_model_pass() -> None:
    judgement, verdict, sentence = judge(against(0.7, 0.8), severity="warn")
    assert judgement.warns
    assert verdict.blessed
    assert judgement.sentence in verdict.notes
    assert sentence == "blessed without a test of quality on the 100 test rows: evaluation.thresholds is empty"


def test_what_cannot_be_compared_does_not_pass() -> None:
    for found in (
        against(0.9, 0.8, why_not={"majority": "all 9 training rows have the same label"}),
        against(0.9, 0.8, rows=0),
        against(0.9, math.nan),
        against(math.nan, 0.8),
    ):
        judgement, verdict, sentence = judge(found)
        assert not judgement.better
        assert not verdict.blessed
        assert "cannot be" in sentence
        assert judge(found, severity="warn")[0].warns


def test_a_missed_threshold_and_a_missed_baseline_are_both_counted() -> None:
    _, _, sentence = judge(against(0.7, 0.8), thresholds={"accuracy": {"min": 0.75}})
    assert "below the minimum" in sentence
    assert sentence.endswith("(and 1 more, see thresholds and baselines)")


def test_met_thresholds_and_a_baseline_are_in_one_sentence() -> None:
    _, _, sentence = judge(against(0.9, 0.8), thresholds={"accuracy": {"min": 0.75}})
    assert sentence == (
        "blessed: the threshold is met on the 100 test rows, better than the trivial answer (always 'ham')"
    )


def test_the_report_has_the_judgement_and_the_baselines_metrics() -> None:
    summary = summarize(against(0.7, 0.8, (0.05, 0.15), train_rows={"majority": 9}, all_rows=9), EvaluationConfig())
    assert summary == json.loads(json.dumps(summary))
    entry = summary["baselines"]["majority"]
    assert entry["metrics"] == {"example_count": 100.0, "accuracy": 0.8}
    assert (entry["value"], entry["baseline"], entry["interval"]) == (0.7, 0.8, [-0.15, -0.05])
    assert entry["gain"] == pytest.approx(-0.1)
    assert summarize(measured(part("", "", 9, accuracy=0.5)), EvaluationConfig())["baselines"] == {}


def test_the_metric_is_that_of_training_unless_no_constant_has_it() -> None:
    assert judged_metrics("single_label", "auto", "majority") == ("accuracy",)
    assert judged_metrics("single_label", "macro_f1", "linear") == ("macro_f1", "accuracy")
    assert judged_metrics("single_label", "loss", "linear") == ("log_loss", "accuracy")
    assert judged_metrics("multi_label", "accuracy", "majority") == ("subset_accuracy",)
    assert judged_metrics("regression", "auto", "majority") == ("mse",)
    assert judged_metrics("regression", "auto", "linear") == ("spearman", "mse")
