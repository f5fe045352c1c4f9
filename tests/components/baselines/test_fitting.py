"""Which rows the baselines are fitted on, and what cannot be fitted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.baselines import fitting
from components.baselines.fitting import fit_baselines
from components.baselines.stored_baselines import Baselines, Predictions, in_order_of
from components.baselines.text_rows import record_key, sample
from components.data.rows import Record
from models.config import TaskConfig
from models.errors import DataError


def row(text: str, *labels: str, number: float | None = None) -> Record:
    return Record(text, None, labels, number, {})


def fit(folder: Path, train: list[Record], test: list[Record] | None = None, **task: Any) -> Baselines:
    splits = {"train": train, "test": test or [row("x", "a")]}
    fit_baselines(TaskConfig(**task), list(splits), lambda split: splits[split], folder, linear=True)
    return Baselines.load(folder)


MIXED = [row(f"{'good' if number % 3 else 'bad'} film {number}", "ab"[number % 3 == 0]) for number in range(60)]


@pytest.mark.parametrize(
    ("train", "task", "why"),
    [
        ([row(f"text {n}", "a") for n in range(9)], {}, "all 9 training rows have the same label"),
        ([row(" ", "ab"[n % 2]) for n in range(9)], {}, "all 9 training texts are empty or only white space"),
        (
            [row(f"{n}", number=2.0) for n in range(9)],
            {"type": "regression"},
            "all 9 training rows have the same target",
        ),
        ([row(f"{n}", "a", "b") for n in range(9)], {"type": "multi_label"}, "have the same labels"),
    ],
)
def test_what_cannot_be_fitted_is_said(tmp_path: Path, train: list[Record], task: dict[str, Any], why: str) -> None:
    test = [row("x", number=1.0)] if task.get("type") == "regression" else None
    fitted = fit(tmp_path, train, test, **task)
    assert fitted.linear is not None
    assert why in fitted.linear.why_not
    assert np.isfinite(fitted.trivial.prediction).all()
    assert Predictions.load(tmp_path, "test") is None


def test_no_row_with_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row with a label"):
        fit(tmp_path, [row("x", "c")] * 5, labels=("a", "b"))
    with pytest.raises(DataError, match="no row with a label"):
        fit(tmp_path, [row("x")] * 5, type="multi_label")


def test_labels_that_the_task_leaves_out_are_not_trained_on(tmp_path: Path) -> None:
    fitted = fit(tmp_path, [*MIXED, *[row("other", "c")] * 50], labels=("b", "a"))
    assert fitted.labels == ("b", "a")
    assert fitted.rows == 60
    assert fitted.trivial.words == "always 'a'"


def test_of_labels_that_training_has_as_often_the_trivial_answer_is_the_best_one(tmp_path: Path) -> None:
    """A table with a few rows of each label."""
    train = [row(f"text {number}", "abc"[number % 3]) for number in range(30)]
    fitted = fit(tmp_path, train, [row("x", "b"), row("y", "b"), row("z", "c"), row("w", "new")])
    assert fitted.trivial.words == "always 'b', one of 3 labels that training has most often"
    stored = np.array(fitted.trivial.prediction.tolist(), np.float32)  # as in the file
    assert np.flatnonzero(stored == stored.max()).tolist() == [1]
    assert stored == pytest.approx(np.full(3, 1 / 3), rel=1e-6)


def test_eval_rows_without_labels_decide_no_threshold(tmp_path: Path) -> None:
    train = [row(f"{'good' if number % 2 else 'bad'} film {number}", "ab"[number % 2]) for number in range(60)]
    fitted = fit_baselines(
        TaskConfig(type="multi_label"),
        ("train", "eval"),
        lambda split: train if split == "train" else [row(f"a {number}") for number in range(9)],
        tmp_path,
        linear=True,
    )
    assert fitted.linear is not None
    assert fitted.linear.threshold == 0.5


def test_a_label_that_only_the_test_rows_have_is_no_error(tmp_path: Path) -> None:
    fitted = fit(tmp_path, MIXED, [row("good film", "c"), row("bad film", "b")])
    assert fitted.labels == ("a", "b")
    assert fitted.split_rows == {"test": 2}


def test_many_rows_are_sampled_and_each_split_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MOST_ROWS", {"train": 30, "eval": 10, "test": 20})
    fitted = fit(tmp_path, MIXED, MIXED[:50])
    assert fitted.linear is not None
    assert (fitted.rows, fitted.linear.rows, fitted.split_rows) == (60, 30, {"test": 50})
    stored = Predictions.load(tmp_path, "test")
    assert stored is not None
    found = stored.find([record_key(record) for record in MIXED[:50]])
    assert np.isfinite(found).all(axis=1).sum() == 20


def test_a_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    shuffled = random.Random(0).sample(MIXED, len(MIXED))
    assert sample(MIXED, 20, 10**6) == sample(shuffled, 20, 10**6)
    assert len(sample(MIXED, 20, 10**6)) == 20
    assert len(sample(MIXED, 60, 120)) < 13
    assert len(sample([row("long " * 100, "a")], 60, 120)) == 1


def test_texts_whose_keys_differ_by_little_are_not_taken_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As floats they would be equal."""
    keys = iter([1, 2**63 + 1, 2**63 + 2, 2**63 + 1])
    monkeypatch.setattr(fitting, "record_key", lambda _: next(keys))
    assert fitting._folds(MIXED[:4]).tolist() == [0, 1, 2, 1]


def test_a_prediction_is_found_by_its_texts_alone() -> None:
    records = [Record("one", "two", (), 1.0, {}), Record("one", "two", (), 2.0, {}), Record("onetwo", "", (), 1.0, {})]
    keys = [record_key(record) for record in records]
    assert keys[0] == keys[1] != keys[2]
    stored = Predictions.of(np.array(keys, np.uint64), np.array([[1.0], [1.0], [3.0]], np.float32))
    assert stored.find([keys[2], keys[0]]).tolist() == [[3.0], [1.0]]
    assert np.isnan(stored.find([7])).all()


def test_predictions_follow_the_models_order_of_labels() -> None:
    assert in_order_of(("c", "a", "new"), ("a", "b", "c"), np.array([[1, 2, 3]], np.float32)).tolist() == [[3, 1, 0]]
    assert in_order_of((), (), np.array([[1.5]], np.float32)).tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("counts", "answer"),
    [({"a": 60, "b": 3}, "always 'a'"), ({"a": 40, "b": 35, "c": 1}, "always 'a', 'b'"), ({}, "always")],
)
def test_the_trivial_set_has_the_best_micro_f1_of_all_sets(tmp_path: Path, counts: dict[str, int], answer: str) -> None:
    labels = ("a", "b", "c")
    train = [
        row(f"text {number}", *(label for label in labels if number < counts.get(label, 0))) for number in range(100)
    ]
    fitted = fit(tmp_path, train, type="multi_label", labels=labels)
    predicted = fitted.trivial.prediction >= np.float32(fitted.trivial.threshold)

    def micro_f1(chosen: np.ndarray) -> float:
        shares = np.array([counts.get(label, 0) / 100 for label in labels])
        return float(2 * shares[chosen].sum() / max(1e-9, chosen.sum() + shares.sum()))

    every = [np.array([bool(number & 1), bool(number & 2), bool(number & 4)]) for number in range(8)]
    assert micro_f1(predicted) == pytest.approx(max(map(micro_f1, every)))
    assert fitted.trivial.words.startswith(answer)


@pytest.mark.parametrize(
    "train",
    [
        [row("one", "a"), row("two", "b")],
        [row("the same text", "ab"[number % 2]) for number in range(120)],
        [Record("x", "", ("a",), None, {}), Record("", "", ("b",), None, {}), Record("x", "x", ("b",), None, {})],
    ],
)
def test_few_or_equal_rows_are_fitted_without_an_error(tmp_path: Path, train: list[Record]) -> None:
    fitted = fit(tmp_path, train, train)
    assert fitted.linear is not None
    assert fitted.linear.why_not == ""
    stored = Predictions.load(tmp_path, "test")
    assert stored is not None
    assert np.isfinite(stored.values).all()
