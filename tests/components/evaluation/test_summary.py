"""The summary of an evaluation: plain JSON that explains itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tiny_measured import measured, part, shared

from components.config import EvaluationConfig
from components.evaluation.measurements import LiveState
from components.evaluation.summary import load_summary, save_summary, summarize


def test_the_summary_is_plain_json_with_slices_in_order(tmp_path: Path) -> None:
    buckets = ["128-255 characters", "0-15 characters", "2048 characters and more", "16-31 characters"]
    found = measured(
        part("", "", 850, {"accuracy": 0.5}, accuracy=0.9, auc=math.nan, **{"recall/neg": 0.4}),
        *(part("text_length", bucket, 30, {"accuracy": 0.4}, accuracy=0.9) for bucket in buckets),
        part("label", "neg", 40, accuracy=0.9, macro_f1=0.3, weighted_f1=0.6, auc=math.nan),
        part("label", "pos", 19, accuracy=0.9),
        part("source", "x", 400, accuracy=0.9),
        confusion=[[1, 2], [3, 4], [0, 0]],
    )
    config = EvaluationConfig(thresholds={"accuracy": {"min": 0.5, "slices": ("source=x",)}})
    summary = summarize(found, config)
    save_summary(summary, tmp_path)
    assert load_summary(tmp_path) == json.loads(json.dumps(summary)) == summary
    assert summary["metrics"] == {"example_count": 850.0, "accuracy": 0.9, "auc": None}
    assert summary["per_label"] == {"neg": {"recall": 0.4}, "pos": {}}
    assert (summary["baseline"], summary["live_version"]) == ({"example_count": 850.0, "accuracy": 0.5}, 17)
    assert [entry["value"] for entry in summary["slices"]] == [
        "neg",
        "0-15 characters",
        "16-31 characters",
        "128-255 characters",
        "2048 characters and more",
    ], "source is judged, but reporting it was not requested"
    assert summary["slices"][0]["metrics"] == {"example_count": 40.0, "accuracy": 0.9}, "one label has no average"
    assert summary["slices"][1]["baseline"] == {"example_count": 30.0, "accuracy": 0.4}
    assert summary["small_slices"] == [{"slice": "label=pos", "column": "label", "value": "pos", "rows": 19}]
    assert [(entry["slice"], entry["passed"]) for entry in summary["thresholds"]] == [("", True), ("source=x", True)]


def test_the_confusion_matrix_names_its_rows_and_columns() -> None:
    whole = part("", "", 4, accuracy=0.5)
    found = summarize(measured(whole, confusion=[[1, 0], [1, 1], [0, 1]]), EvaluationConfig())["confusion"]
    assert found["answers"] == ["neg", "pos", "(labels that the model does not know)"]
    assert found["predictions"] == ["neg", "pos"]
    assert len(found["counts"]) == len(found["answers"])
    many = measured(whole, task="multi_label", confusion=[[[1, 0], [0, 3]], [[2, 0], [1, 1]]])
    found = summarize(many, EvaluationConfig())["confusion"]
    assert (found["labels"], found["answers"], found["predictions"]) == (["neg", "pos"], ["no", "yes"], ["no", "yes"])
    assert summarize(measured(whole, task="regression"), EvaluationConfig())["confusion"] is None


def test_a_comparison_names_the_model_the_rows_and_the_interval() -> None:
    found = measured(shared(90, 60, 0.8, 0.9, 0.02, 0.18), live=LiveState(3, labels=("neg", "pos")))
    summary = summarize(found, EvaluationConfig(thresholds={"accuracy": {"max_loss_to_live": 0.01}}))
    assert summary["comparison"] == {
        "version": 3,
        "same_model": False,
        "why_not": "",
        "rows": 60,
        "labels": ["neg", "pos"],
        "candidate": {"example_count": 60, "accuracy": 0.8},
        "live": {"example_count": 60, "accuracy": 0.9},
        "interval": 0.8,
        "losses": {"accuracy": [0.02, 0.18]},
    }
    assert summary["thresholds"][0]["interval"] == (0.02, 0.18)
    assert summary["thresholds"][0]["loss"] == pytest.approx(0.1)
    assert summary["notes"] == [
        "the live model (version 3) has other labels: it is compared on the 60 of 90 test rows whose label both know "
        "(neg, pos)"
    ]


def test_non_finite_metrics_are_null(tmp_path: Path) -> None:
    whole = part("", "", 9, {"mse": math.inf, "spearman": math.nan}, mse=math.inf, spearman=math.nan)
    config = EvaluationConfig(thresholds={"mse": {"max": 1.0}, "spearman": {"max_loss_to_live": 0.1}})
    save_summary(summarize(measured(whole, task="regression"), config), tmp_path)
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    stored = json.loads(text, parse_constant=pytest.fail)
    assert stored["metrics"]["mse"] is stored["baseline"]["spearman"] is stored["thresholds"][0]["value"] is None
