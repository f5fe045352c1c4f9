"""What rows tell: against scikit-learn and counts by hand, for each task, with rows of every odd kind."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from components.predictions.examined_rows import examine
from components.predictions.stored_predictions import PredictedRows, PredictionFacts, StoredPredictions, write_rows
from tflite.host.json_text import to_json

ROWS = 400


def examined(
    folder: Path, facts: PredictionFacts, rows: PredictedRows, label_errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    with io.FileIO(folder / "part-00000.parquet", "w") as stream:
        write_rows(stream, iter([rows]), facts)
    found: dict[str, Any] = json.loads(to_json(examine(StoredPredictions(folder), label_errors or [])))
    return found


def single(labels: int = 3, rows: int = ROWS) -> tuple[PredictionFacts, PredictedRows, np.ndarray]:
    """Rows whose texts are their numbers; the live and the linear model are noisier than the model."""
    rng = np.random.default_rng(labels)
    names = tuple(f"l{number}" for number in range(labels))
    targets = rng.integers(0, labels, rows)
    logits = np.eye(labels)[targets] * 1.5

    def scores(noise: float) -> np.ndarray:
        noisy = np.exp(logits + rng.normal(0, noise, logits.shape))
        return (noisy / noisy.sum(axis=1, keepdims=True)).astype(np.float32)

    facts = PredictionFacts("single_label", "test", names, live_labels=names[::-1])
    found = PredictedRows(list(range(rows)), [str(row) for row in range(rows)])
    found.given = [(names[target],) for target in targets]
    found.others = [{"id": str(row)} for row in range(rows)]
    found.scores = {"model": scores(1.0), "live": scores(1.5)[:, ::-1].copy(), "linear": scores(2.0)}
    return facts, found, targets


def test_an_interval_contains_its_metric_and_is_as_wide_as_chance(tmp_path: Path) -> None:
    facts, rows, targets = single()
    found = examined(tmp_path, facts, rows)
    accuracy = sk.accuracy_score(targets, rows.scores["model"].argmax(axis=1))
    low, high = found["intervals"]["accuracy"]
    assert low < accuracy < high
    expected = 2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / ROWS)  # of a binomial distribution
    assert high - low == pytest.approx(expected, rel=0.2)
    assert set(found["intervals"]) == {"accuracy", "macro_f1", "auc", "log_loss"}


def test_the_difference_to_another_model_is_counted_row_by_row_whatever_the_order_of_its_labels(tmp_path: Path) -> None:
    facts, rows, targets = single()
    found = examined(tmp_path, facts, rows)["against"]["live"]
    own = rows.scores["model"].argmax(axis=1) == targets
    other = rows.scores["live"][:, ::-1].argmax(axis=1) == targets
    assert found["fixed"] == (own & ~other).sum()
    assert found["broken"] == (~own & other).sum()
    assert found["both_right"] == (own & other).sum()
    assert found["both_wrong"] == (~own & ~other).sum()
    assert found["chance"] == pytest.approx(stats.binomtest(found["fixed"], found["fixed"] + found["broken"]).pvalue)
    assert found["metrics"]["accuracy"]["other"] == pytest.approx(other.mean())
    low, high = found["metrics"]["accuracy"]["difference"]
    assert low < own.mean() - other.mean() < high


def test_calibration_counts_every_row_once(tmp_path: Path) -> None:
    facts, rows, targets = single()
    bins = examined(tmp_path, facts, rows)["outcomes"]["calibration"]
    assert sum(one["rows"] for one in bins) == ROWS
    right = (rows.scores["model"].argmax(axis=1) == targets).mean()
    assert sum(one["rows"] * one["right"] for one in bins) / ROWS == pytest.approx(right)
    assert sum(one["rows"] * one["confidence"] for one in bins) / ROWS == pytest.approx(
        rows.scores["model"].max(axis=1).mean()
    )


def test_the_surest_mistakes_come_first_each_with_who_is_at_fault(tmp_path: Path) -> None:
    facts, rows, targets = single()
    answers = rows.scores["model"].argmax(axis=1)
    wrong = np.flatnonzero(answers != targets)
    suspect = int(wrong[rows.scores["model"][wrong].max(axis=1).argmax()])
    found = examined(tmp_path, facts, rows, [{"key": suspect, "suggested": ["l2"]}])["wrong"]
    first = found["listed"][0]
    assert (first["row"], first["fault"], first["suggested"]) == (suspect, "label", ["l2"])
    assert first["columns"] == {"id": str(suspect)}
    sure = [one["wrongness"] for one in found["listed"]]
    assert sure == sorted(sure, reverse=True)
    linear_right = rows.scores["linear"].argmax(axis=1) == targets
    for one in found["listed"][1:]:
        assert one["fault"] == ("model" if linear_right[one["row"]] else "hard")
        assert one["answer"] != one["given"]
    assert sum(found["faults"].values()) == len(wrong)
    assert sum(rows for *_, rows in found["confused"]) == len(wrong)


def test_the_curve_of_two_labels_is_scikit_learns(tmp_path: Path) -> None:
    facts, rows, targets = single(labels=2)
    curve = examined(tmp_path, facts, rows)["outcomes"]["thresholds"]
    for place in (10, 50, 90):
        predicted = rows.scores["model"][:, 1] >= place / 100
        assert curve["precision"][place] == pytest.approx(sk.precision_score(targets, predicted))
        assert curve["recall"][place] == pytest.approx(sk.recall_score(targets, predicted))
        assert curve["f1"][place] == pytest.approx(sk.f1_score(targets, predicted))
    assert curve["label"] == "l1"


def test_several_labels_per_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    scores = rng.random((ROWS, 3)).astype(np.float32)
    has = scores + rng.normal(0, 0.3, scores.shape) > 0.5
    facts = PredictionFacts("multi_label", "test", ("a", "b", "c"), threshold=0.4)
    rows = PredictedRows(list(range(ROWS)), [""] * ROWS, None, [tuple(np.array(facts.labels)[one]) for one in has])
    rows.others, rows.scores = [{}] * ROWS, {"model": scores}
    found = examined(tmp_path, facts, rows)
    wrong = ((scores >= np.float32(0.4)) != has).any(axis=1)
    assert found["outcomes"]["wrong"] == wrong.sum()
    assert set(found["intervals"]) == {"micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy"}
    curve = found["outcomes"]["thresholds"]
    assert curve["f1"][40] == pytest.approx(sk.f1_score(has, scores >= np.float32(0.4), average="micro"))
    assert curve["threshold"] == 0.4
    assert sum(one["rows"] for one in found["outcomes"]["calibration"]) == 3 * ROWS


def test_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    numbers = rng.normal(0, 1, ROWS)
    numbers[3] = np.nan
    predicted = np.where(np.arange(ROWS) == 9, 50.0, np.nan_to_num(numbers) + 0.1).astype(np.float32)[:, None]
    rows = PredictedRows(list(range(ROWS)), [""] * ROWS, None, None, numbers.tolist(), [{}] * ROWS)
    rows.scores = {"model": predicted, "linear": predicted + 1}
    found = examined(tmp_path, PredictionFacts("regression", "test"), rows)
    assert found["wrong"]["listed"][0]["row"] == 9
    assert found["outcomes"]["error_quantiles"][2] == pytest.approx(0.1, abs=1e-6)
    assert set(found["intervals"]) == {"mse", "mae", "pearson", "spearman"}
    assert found["against"]["linear"]["compared_rows"] == ROWS - 1


def test_odd_rows_are_counted_as_neither_right_nor_wrong(tmp_path: Path) -> None:
    facts, rows, _ = single(rows=40)
    assert rows.given is not None
    rows.given[:2] = [(), ("unknown",)]
    rows.scores["model"][2] = np.nan
    found = examined(tmp_path, facts, rows)
    assert found["outcomes"]["right"] + found["outcomes"]["wrong"] == 38  # an unknown label is an error
    assert found["intervals"] == {}  # as in the metrics: a model that breaks on some rows is not measured
    assert ["unknown"] in [one["given"] for one in found["wrong"]["listed"]]


@pytest.mark.parametrize("labels", [2, 20_000])
def test_few_rows_and_many_labels_give_a_small_file(labels: int, tmp_path: Path) -> None:
    facts, rows, _ = single(labels, rows=12)
    found = examined(tmp_path, facts, rows)
    assert found["intervals"] == {}
    assert found["outcomes"]["right"] + found["outcomes"]["wrong"] == 12
    assert len(to_json(found)) < 100_000


def test_many_labels_are_not_ranked_in_every_draw(tmp_path: Path) -> None:
    facts, rows, _ = single(labels=30)
    assert set(examined(tmp_path, facts, rows)["intervals"]) == {"accuracy", "macro_f1", "log_loss"}
