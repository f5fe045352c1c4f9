"""The Evaluator measures a model with its own threshold, and reports what its temperatures changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluator_runs import LABELS, ROWS, evaluate, export, live_model, single_label_rows, text_of, write_examples
from scipy import special
from sklearn import metrics as sk

from models.config import TaskConfig
from models.errors import ModelError


def test_the_log_loss_without_the_temperature_is_reported_for_all_rows_only(tmp_path: Path) -> None:
    rows, targets, probabilities = single_label_rows()
    examples = write_examples(tmp_path / "examples", {"test": rows})
    model = export(tmp_path / "model", TaskConfig(), temperatures=(2.5,))
    live = live_model(export(tmp_path / "live", TaskConfig(), shift=0.01), 3)
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, model, live)
    metrics = summary["metrics"]
    before = special.softmax(2.5 * np.log(probabilities), axis=1)
    assert metrics["uncalibrated_log_loss"] == pytest.approx(sk.log_loss(targets, before, labels=range(3)), rel=1e-4)
    assert metrics["log_loss"] == pytest.approx(sk.log_loss(targets, probabilities, labels=range(3)), rel=1e-4)
    assert metrics["uncalibrated_calibration_error"] != metrics["calibration_error"]
    others = [summary["baseline"], *(part["metrics"] for part in summary["slices"])]
    assert not [name for part in others for name in part if name.startswith("uncalibrated_")]


def test_a_model_without_temperatures_has_no_such_metrics(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"test": single_label_rows()[0]})
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, export(tmp_path / "model", TaskConfig()))
    assert not [name for name in summary["metrics"] if name.startswith("uncalibrated_")]


def test_an_automatic_threshold_is_the_number_stored_with_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    probabilities = np.round(rng.random((ROWS, 3)), 6)
    targets = (probabilities + rng.normal(0, 0.4, (ROWS, 3))) > 0.5
    rows = [
        {"text": text_of(row, 3), "label": [LABELS[i] for i in np.flatnonzero(target)]}
        for row, target in zip(probabilities, targets, strict=True)
    ]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    configured = TaskConfig(type="multi_label", threshold="auto")
    own, other = (configured.model_copy(update={"threshold": number}) for number in (0.3, 0.7))
    model = export(tmp_path / "model", own, temperatures=(1.0, 2.0, 0.5))
    live = live_model(export(tmp_path / "live", other), 3)
    thresholds = {"micro_f1": {"max_loss_to_live": 0.9}}
    summary, _ = evaluate(tmp_path, configured, examples, model, live, thresholds=thresholds)
    for found, threshold in ((summary["metrics"], 0.3), (summary["baseline"], 0.7)):
        predicted = probabilities.astype(np.float32) >= np.float32(threshold)
        assert found["micro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="micro"))
    before = special.expit(special.logit(np.clip(probabilities, 1e-9, 1 - 1e-9)) * [1.0, 2.0, 0.5])
    losses = [sk.log_loss(targets[:, index], before[:, index]) for index in range(3)]
    assert summary["metrics"]["uncalibrated_log_loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_model_whose_threshold_is_unknown_is_refused(tmp_path: Path) -> None:
    task = TaskConfig(type="multi_label", threshold="auto")
    examples = write_examples(tmp_path / "examples", {"test": [{"text": text_of(np.ones(3), 1), "label": ["bad"]}]})
    model = export(tmp_path / "model", task)
    for broken in ('{"task": {"threshold": "auto"}}', "{}", "no JSON"):
        (model / "Format-Serving" / "assets.extra" / "transom.json").write_text(broken)
        with pytest.raises(ModelError, match="the threshold of the model"):
            evaluate(tmp_path, task, examples, model)
