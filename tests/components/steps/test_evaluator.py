"""The Evaluator end to end on real, tiny SavedModels, against scikit-learn on the same rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from evaluator_runs import LABELS, ROWS, evaluate, export, live_model, text_of, write_examples
from scipy import stats
from sklearn import metrics as sk
from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import LiveModelArtifact
from components.config import EvaluationConfig
from components.evaluation import metrics
from components.steps.evaluator import Evaluator
from models.config import TaskConfig
from models.errors import ConfigError, DataError, ModelError


def test_every_metric_equals_scikit_learns_on_all_rows(single: dict[str, Any]) -> None:
    targets, probabilities = single["targets"], single["probabilities"]
    predicted = probabilities.argmax(1)
    metrics = single["summary"]["metrics"]
    assert metrics["example_count"] == ROWS
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    assert metrics["auc"] == pytest.approx(sk.roc_auc_score(targets, probabilities, multi_class="ovr"), abs=1e-6)
    assert single["summary"]["per_label"]["naïve"]["recall"] == pytest.approx(
        sk.recall_score(targets, predicted, average=None)[2]
    )
    assert (
        np.array(single["summary"]["confusion"]["counts"])[:3].tolist()
        == sk.confusion_matrix(targets, predicted).tolist()
    )
    assert single["summary"]["labels"] == list(LABELS)
    assert single["summary"]["split"] == "test"


def test_the_live_model_is_measured_on_the_same_rows_whatever_the_order_of_its_outputs(single: dict[str, Any]) -> None:
    assert single["summary"]["live_version"] == 17
    assert single["summary"]["baseline"] == pytest.approx(single["summary"]["metrics"], abs=1e-9)
    losses = [entry for entry in single["summary"]["thresholds"] if entry["bound"] == "max_loss_to_live"]
    # All rows, two labels with enough rows, and a value of each of two columns, one with a "=" in its name.
    assert [entry["slice"] for entry in losses] == ["", "label=bad", "label=good", "source=site 1", "a=b=yes=c"]
    assert all(entry["passed"] and entry["live"] == entry["value"] for entry in losses)


def test_slices_come_from_the_rows_and_small_ones_are_listed_separately(single: dict[str, Any]) -> None:
    targets, predicted = single["targets"], single["probabilities"].argmax(1)
    slices = {(part["column"], part["value"]): part for part in single["summary"]["slices"]}
    for index, label in enumerate(LABELS[:2]):
        part = slices["label", label]
        assert part["rows"] == (targets == index).sum()
        assert part["metrics"]["accuracy"] == pytest.approx((predicted == targets)[targets == index].mean())
    assert ("label", "naïve") not in slices
    small = {(part["column"], part["value"]): part["rows"] for part in single["summary"]["small_slices"]}
    assert small["label", "naïve"] == (targets == 2).sum()
    lengths = [len(row["text"]) for row in single["rows"]]
    assert slices["text_length", "128-255 characters"]["rows"] == sum(128 <= length < 256 for length in lengths)
    assert slices["source", "(missing)"]["rows"] == sum("source" not in row for row in single["rows"])
    names = [part["value"] for part in single["summary"]["slices"] if part["column"] == "text_length"]
    assert names == sorted(names, key=lambda name: int(name.split("-")[0]))
    assert any("slice label=naïve" in note for note in single["summary"]["notes"])


def test_a_blessing_is_marked_as_tfx_marks_it(single: dict[str, Any]) -> None:
    blessing = single["blessing"]
    assert blessing.get_int_custom_property("blessed") == 1
    assert Path(blessing.uri, "BLESSED").exists()
    assert single["summary"]["verdict"].startswith("blessed: all 10 thresholds are met on the 150 test rows")
    assert blessing.get_string_custom_property("verdict") == single["summary"]["verdict"]


def test_tfma_can_read_the_evaluation(single: dict[str, Any]) -> None:
    folder = str(single["folder"] / "evaluation")
    result = tfma.load_eval_result(folder, model_name=tfma.CANDIDATE_KEY)
    overall = dict(result.slicing_metrics)[()][""][""]
    assert overall["accuracy"]["doubleValue"] == single["summary"]["metrics"]["accuracy"]


def test_several_labels_per_row(tmp_path: Path) -> None:
    task = TaskConfig(type="multi_label", threshold=0.4)
    rng = np.random.default_rng(1)
    probabilities = np.round(rng.random((ROWS, 3)), 6)
    targets = (probabilities + rng.normal(0, 0.4, (ROWS, 3))) > 0.5
    rows = [
        {"text": text_of(row, 3), "label": [LABELS[i] for i in np.flatnonzero(target)]}
        for row, target in zip(probabilities, targets, strict=True)
    ]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    summary, _ = evaluate(tmp_path, task, examples, export(tmp_path / "model", task))
    predicted, metrics = probabilities.astype(np.float32) >= np.float32(0.4), summary["metrics"]
    assert metrics["micro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    assert metrics["subset_accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert metrics["mean_average_precision"] == pytest.approx(
        sk.average_precision_score(targets, probabilities, average="macro")
    )
    assert (
        np.array(summary["confusion"]["counts"]).tolist() == sk.multilabel_confusion_matrix(targets, predicted).tolist()
    )
    by_label = {part["value"]: part["rows"] for part in summary["slices"] if part["column"] == "label"}
    assert by_label == {
        **{label: targets[:, index].sum() for index, label in enumerate(LABELS)},
        "(none)": (~targets.any(1)).sum(),
    }


def test_regression_with_a_worse_live_model(tmp_path: Path) -> None:
    task = TaskConfig(type="regression")
    rng = np.random.default_rng(2)
    predictions = np.round(rng.normal(2.0, 1.0, ROWS), 6)
    targets = predictions + rng.normal(0, 0.5, ROWS)
    rows = [{"text": text_of(p[None], 2), "label": float(a)} for p, a in zip(predictions, targets, strict=True)]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    live = live_model(export(tmp_path / "live", task, labels=(), shift=-0.3), 4)
    model = export(tmp_path / "model", task, labels=(), shift=0.6)
    thresholds = {"mse": {"max_loss_to_live": 0.1}}
    summary, _ = evaluate(tmp_path, task, examples, model, live, thresholds=thresholds)
    mse, live_mse = (predictions + shift - targets for shift in (0.6, -0.3))
    assert summary["metrics"]["mse"] == pytest.approx((mse**2).mean(), rel=1e-5)
    assert summary["baseline"]["mse"] == pytest.approx((live_mse**2).mean(), rel=1e-5)
    assert summary["metrics"]["spearman"] == pytest.approx(stats.spearmanr(predictions, targets).statistic, rel=1e-5)
    assert {part["column"] for part in summary["slices"]} == {"text_length"}
    assert not summary["blessed"]
    assert "worse than the" in summary["verdict"]
    assert "live model (version 4), where 0.10 is allowed" in summary["verdict"]


def test_a_slice_that_no_row_has_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'langauge', but no row of the test split has such a column"):
        evaluate(tmp_path, TaskConfig(), single["examples"], single["model"], slices=("langauge",))


def test_a_threshold_for_a_label_that_the_model_lacks_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    thresholds = {"recall/awful": {"min": 0.5}}
    with pytest.raises(ConfigError, match="label 'awful'"):
        evaluate(tmp_path, TaskConfig(), single["examples"], single["model"], thresholds=thresholds)


def test_a_split_without_rows_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"test": []})
    with pytest.raises(DataError, match="the test split"):
        evaluate(tmp_path, TaskConfig(), examples, single["model"])


def test_a_model_without_labels_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(single["model"], tmp_path / "model")
    (tmp_path / "model/Format-Serving/assets.extra/labels.json").unlink()
    with pytest.raises(ModelError, match=r"labels\.json"):
        evaluate(tmp_path, TaskConfig(), single["examples"], tmp_path / "model")


def test_the_component_fits_between_its_neighbours() -> None:
    examples, model, live = (
        types.Channel(type=kind) for kind in (standard_artifacts.Examples, standard_artifacts.Model, LiveModelArtifact)
    )
    evaluation = EvaluationConfig(thresholds={"accuracy": {"min": 0.8}})
    component = Evaluator(examples, model, live, task=TaskConfig(), evaluation=evaluation)
    assert EvaluationConfig.model_validate_json(component.exec_properties["config"]) == evaluation
    assert set(component.outputs) == {"evaluation", "blessing"}
    assert component.exec_properties["code"] != ""
    assert "live_model" not in Evaluator(examples, model, task=TaskConfig(), evaluation=evaluation).inputs


def test_cost_and_size_grow_with_the_labels_not_with_their_square(tmp_path: Path) -> None:
    count = metrics.MOST_CONFUSED + 100
    labels, task = tuple(f"l{number}" for number in range(count)), TaskConfig()
    rows = [
        {"text": " ".join("1" if i == row else "0" for i in range(count)), "label": labels[row % 50]}
        for row in range(60)
    ]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    summary, _ = evaluate(tmp_path, task, examples, export(tmp_path / "model", task, labels=labels), slices=("label",))
    assert summary["confusion"] is None
    assert summary["metrics"]["example_count"] == 60
    assert summary["slices"] == []
    assert {part["value"]: part["rows"] for part in summary["small_slices"]}["l3"] == 2
    (record,) = [
        one
        for one in tfma.load_metrics(str(tmp_path / "evaluation"))
        if [key.bytes_value for key in one.slice_key.single_slice_keys] == [b"l3"]
    ]
    assert {item.key.name for item in record.metric_keys_and_values} == {
        "example_count",
        "unlabelled_count",
        "not_finite_count",
    }
