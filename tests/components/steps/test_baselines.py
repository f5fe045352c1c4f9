"""The baselines end to end: fitted by one step, measured by the Evaluator next to a model with chosen outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_runs import LABELS, evaluate, export, text_of, write_examples
from sklearn import metrics as sk
from tfx import types
from tfx.types import standard_artifacts

from components.baselines.stored_baselines import Baselines as FittedBaselines
from components.baselines.stored_baselines import Predictions
from components.baselines.text_rows import text_key
from components.config import BaselinesConfig
from components.steps.baselines import Baselines
from models.config import TaskConfig

WORDS = {"bad": "ugly dull poor", "good": "lovely bright fine", "naïve": "simple plain young"}


def reviews(rows: int, seed: int, right: float) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows whose words determine the label, and at their beginning the model's probabilities, which are right for the
    given share of the rows; and whether they are."""
    rng = np.random.default_rng(seed)
    table, is_right = [], rng.random(rows) < right
    for row in range(rows):
        target = int(rng.choice(3, p=[0.6, 0.3, 0.1]))
        probabilities = np.full(3, 0.1)
        probabilities[target if is_right[row] else (target + 1) % 3] = 0.8
        word = rng.choice(WORDS[LABELS[target]].split())
        table.append({"text": f"{text_of(probabilities, 2)} {word} story {row}", "label": LABELS[target]})
    return table, is_right


def run(folder: Path, right: float, **config: Any) -> tuple[dict[str, Any], Any, list[dict[str, Any]]]:
    test, _ = reviews(300, 2, right)
    rows = {"train": reviews(400, 0, 0.5)[0], "eval": reviews(100, 1, 0.5)[0], "test": test}
    examples = write_examples(folder / "examples", rows)
    model = export(folder / "model", TaskConfig())
    summary, blessing = evaluate(folder, TaskConfig(), examples, model, with_baselines=True, **config)
    return summary, blessing, test


@pytest.fixture(scope="module")
def useless(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any, list[dict[str, Any]]]:
    return run(tmp_path_factory.mktemp("useless"), right=0.4)


def test_a_model_that_is_worse_than_the_most_frequent_label_is_not_blessed(useless: Any) -> None:
    summary, blessing, test = useless
    trivial = summary["baselines"]["majority"]
    share = np.mean([row["label"] == "bad" for row in test])
    assert trivial["answer"] == "always 'bad'"
    assert trivial["metrics"]["accuracy"] == trivial["baseline"] == pytest.approx(share)
    assert trivial["gain"] == pytest.approx(summary["metrics"]["accuracy"] - share)
    assert trivial["interval"][0] < trivial["gain"] < trivial["interval"][1] < 0
    assert (trivial["better"], trivial["passed"]) == (False, False)
    assert not summary["blessed"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert summary["verdict"].startswith("not blessed: accuracy ")
    assert "is not better than" in summary["verdict"]
    assert "--set evaluation.baselines.majority=warn" in summary["verdict"]


def test_the_linear_models_metrics_are_those_of_its_predictions_row_by_row(useless: Any) -> None:
    summary, blessing, test = useless
    folder = Path(blessing.uri).parent / "baselines"
    stored = Predictions.load(folder, "test")
    assert stored is not None
    found = stored.find([text_key(row["text"].encode(), None) for row in test])
    targets = [FittedBaselines.load(folder).labels.index(row["label"]) for row in test]
    linear = summary["baselines"]["linear"]
    assert linear["metrics"]["accuracy"] == pytest.approx(sk.accuracy_score(targets, found.argmax(1)))
    assert linear["metrics"]["log_loss"] == pytest.approx(sk.log_loss(targets, found), rel=1e-4)
    assert linear["rows"] == 300
    by_label = {part["value"]: part for part in summary["slices"] if part["column"] == "label"}
    naive = np.array(targets) == 2
    assert by_label["naïve"]["baselines"]["linear"]["accuracy"] == pytest.approx((found.argmax(1)[naive] == 2).mean())


@pytest.mark.slow
def test_the_severity_decides_what_a_model_may_be_worse_than(tmp_path: Path) -> None:
    """Right on 0.8 of the rows: better than the most frequent label, worse than the words."""
    summary, _, _ = run(tmp_path, 0.8)
    assert summary["blessed"]
    assert summary["verdict"].startswith("blessed: better than the trivial answer (always 'bad') on the 300 test rows")
    linear = summary["baselines"]["linear"]
    assert (linear["better"], linear["passed"], linear["warns"]) == (False, True, True)
    assert "is not better than" in linear["sentence"]
    assert linear["sentence"] in summary["notes"]


@pytest.mark.slow
def test_a_wrong_label_is_reported_if_the_model_agrees_with_the_words(tmp_path: Path) -> None:
    """The words of two test rows say "good" and their labels "bad"; the model says so of only one of them."""
    test, _ = reviews(300, 2, 1.0)
    for row, probabilities in ((0, [0.02, 0.97, 0.01]), (1, [0.97, 0.02, 0.01])):
        text = f"{text_of(np.array(probabilities), 2)} lovely bright fine story"
        test[row] = {"text": text, "label": "bad"}
    rows = {"train": reviews(400, 0, 0.5)[0], "eval": reviews(100, 1, 0.5)[0], "test": test}
    examples, model = write_examples(tmp_path / "examples", rows), export(tmp_path / "model", TaskConfig())
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, model, with_baselines=True)
    (found,) = summary["label_errors"]["rows"]
    assert summary["label_errors"]["found"] == {"train": 0, "eval": 0, "test": 1}
    assert (found["split"], found["text"]) == ("test", test[0]["text"])
    assert (found["given"], found["suggested"]) == (["bad"], ["good"])


@pytest.mark.slow
def test_a_baseline_that_is_off_is_not_measured(tmp_path: Path) -> None:
    summary, _, _ = run(tmp_path, 0.4, baselines={"majority": "off", "linear": "error"})
    assert set(summary["baselines"]) == {"linear"}
    assert "evaluation.baselines.linear=warn" in summary["verdict"]


def test_only_the_task_and_the_linear_models_severity_fit_them_again() -> None:
    examples = types.Channel(type=standard_artifacts.Examples)

    def key(task: TaskConfig, **severities: Any) -> dict[str, Any]:
        return dict(Baselines(examples, task=task, baselines=BaselinesConfig(**severities)).exec_properties)

    assert key(TaskConfig()) == key(TaskConfig(threshold=0.3), majority="warn", linear="error")
    assert key(TaskConfig()) != key(TaskConfig(), linear="off")
    assert key(TaskConfig()) != key(TaskConfig(text_pair="other"))


def test_numbers_about_pairs_with_constant_predictions_of_the_model(tmp_path: Path) -> None:
    """The trivial answer is compared by mean squared error, the linear model by a correlation that a constant lacks."""
    task, rng = TaskConfig(type="regression", text_pair="other"), np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "white", "black", "brown", "grey", "pink", "gold"])

    def rows(count: int) -> list[dict[str, Any]]:
        table = []
        for _ in range(count):
            first, shared = rng.choice(words, 4), int(rng.integers(0, 5))
            second = [*first[:shared], *rng.choice(words, 4 - shared)]
            overlap = len(set(first) & set(second)) / len(set(first) | set(second))
            table.append({"text": f"2.5 {' '.join(first)}", "other": " ".join(second), "label": 5 * overlap})
        return table

    examples = write_examples(tmp_path / "examples", {"train": rows(400), "eval": rows(80), "test": rows(80)})
    model = export(tmp_path / "model", task, labels=())
    summary, _ = evaluate(tmp_path, task, examples, model, with_baselines=True, baselines={"majority": "warn"})
    trivial, linear = summary["baselines"]["majority"], summary["baselines"]["linear"]
    assert (trivial["metric"], linear["metric"]) == ("mse", "spearman")
    assert trivial["metrics"]["spearman"] is None
    assert linear["metrics"]["spearman"] > 0.9
    assert "spearman on the 80 test rows cannot be computed, so it is not better than" in linear["sentence"]


@pytest.mark.slow
def test_several_labels_per_row(tmp_path: Path) -> None:
    """The trivial answer is the set with the best micro-F1; the linear model's threshold is chosen on the eval rows."""
    task, rng = TaskConfig(type="multi_label"), np.random.default_rng(0)

    def rows(count: int) -> list[dict[str, Any]]:
        has = rng.random((count, 3)) < [0.4, 0.3, 0.05]
        texts = (" ".join(f"{label}ish" for label, own in zip(LABELS, row, strict=True) if own) for row in has)
        labels = ([label for label, own in zip(LABELS, row, strict=True) if own] for row in has)
        return [{"text": f"0.4 0.3 0.05 {text} thing", "label": own} for text, own in zip(texts, labels, strict=True)]

    examples = write_examples(tmp_path / "examples", {"train": rows(300), "eval": rows(80), "test": rows(80)})
    summary, _ = evaluate(tmp_path, task, examples, export(tmp_path / "model", task), with_baselines=True)
    trivial, linear = summary["baselines"]["majority"], summary["baselines"]["linear"]
    assert trivial["answer"] == "always 'bad', 'good'"
    assert trivial["metrics"]["micro_f1"] > 0.4
    assert summary["metrics"]["micro_f1"] is None or summary["metrics"]["micro_f1"] < trivial["metrics"]["micro_f1"]
    assert linear["metrics"]["micro_f1"] > 0.9
    assert not summary["blessed"]


def test_a_training_split_with_one_label_has_no_linear_baseline(tmp_path: Path) -> None:
    rows = [{"text": text_of(np.array([0.1, 0.8, 0.1]), 3), "label": "good"}] * 30
    unseen = [{"text": text_of(np.array([0.8, 0.1, 0.1]), 3), "label": "bad"}] * 30
    examples = write_examples(tmp_path / "examples", {"train": rows, "eval": rows, "test": [*rows, *unseen]})
    model, severities = export(tmp_path / "model", TaskConfig()), {"linear": "error"}
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, model, with_baselines=True, baselines=severities)
    linear = summary["baselines"]["linear"]
    assert (linear["better"], linear["passed"], linear["metrics"]) == (None, False, {})
    assert "cannot be compared with a linear model" in linear["sentence"]
    assert "all 30 training rows have the same label" in linear["sentence"]
    assert summary["baselines"]["majority"]["metrics"]["accuracy"] == 0.5
