"""Rows whose labels were changed on purpose are found; rows whose labels are right are not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.baselines.fitting import fit_baselines
from components.baselines.label_errors import (
    FEWEST_ROWS,
    MOST_LISTED,
    LabelError,
    confirm,
    find_suspects,
    load_suspects,
    summarize_label_errors,
)
from components.data.rows import Record
from models.config import TaskConfig

LABELS = ("bad", "good", "mixed")
WORDS = {"bad": ("ugly", "dull", "poor"), "good": ("lovely", "bright", "fine"), "mixed": ("uneven", "odd", "strange")}


def records(rows: int, seed: int) -> tuple[list[Record], set[str]]:
    """Rows whose words determine the label, but for the texts of the second value: each fiftieth label is wrong."""
    rng, table, wrong = np.random.default_rng(seed), [], set()
    for row in range(rows):
        label = LABELS[int(rng.integers(3))]
        text = " ".join([*rng.choice(WORDS[label], 3), f"story {row}"])
        if row % 50 == 0:
            wrong.add(text)
            label = LABELS[(LABELS.index(label) + int(rng.integers(1, 3))) % 3]
        table.append(Record(text, None, (label,), None, {}))
    return table, wrong


def fit(folder: Path, splits: dict[str, list[Record]], **task: Any) -> dict[str, list[LabelError]]:
    fit_baselines(TaskConfig(**task), list(splits), lambda split: splits[split], folder, linear=True)
    return load_suspects(folder)


def test_changed_labels_are_found_with_the_right_ones_suggested(tmp_path: Path) -> None:
    (train, wrong), (test, wrong_test) = records(600, 0), records(200, 1)
    found = fit(tmp_path, {"train": train, "test": test})
    for split, expected in (("train", wrong), ("test", wrong_test)):
        likely = [error for error in found[split] if error.likely]
        assert {error.text for error in likely} <= expected
        assert len(likely) >= 0.75 * len(expected)
        assert all(any(word in error.text for word in WORDS[error.suggested[0]]) for error in likely)
    assert [error.probability for error in found["train"]] == sorted(error.probability for error in found["train"])


def test_several_labels_are_judged_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table, wrong = [], {}
    for row in range(500):
        own = {label for label in LABELS if rng.random() < 0.4}
        text = " ".join([*(word for label in sorted(own) for word in WORDS[label]), f"story {row}"])
        if row % 50 == 0:
            wrong[text] = tuple(sorted(own))
            own ^= {"good"}
        table.append(Record(text, None, tuple(sorted(own)), None, {}))
    found = {error.text: error.suggested for error in fit(tmp_path, {"train": table}, type="multi_label")["train"]}
    assert found.items() <= wrong.items()
    assert len(found) >= 0.75 * len(wrong)


def test_a_regression_and_few_rows_have_no_suspects(tmp_path: Path) -> None:
    numbers = [Record(f"text {row}", None, (), float(row % 7), {}) for row in range(150)]
    assert fit(tmp_path, {"train": numbers, "test": numbers}, type="regression") == {}
    few, _ = records(FEWEST_ROWS - 1, 0)
    assert fit(tmp_path, {"train": few, "test": few}) == {"test": []}


def test_labels_that_training_does_not_know_are_no_suspects() -> None:
    rows, _ = records(120, 0)
    probabilities = np.tile(np.array([0.98, 0.01, 0.01]), (120, 1))
    assert find_suspects("test", rows, LABELS, np.full(120, -1), probabilities) == []


def error(given: tuple[str, ...], suggested: tuple[str, ...], probability: float = 0.02, key: int = 0) -> LabelError:
    return LabelError("test", key, "a text", None, given, suggested, probability, usual=0.5)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [([0.04, 0.95, 0.01], 0.03), ([0.6, 0.39, 0.01], None), ([0.04, 0.06, 0.9], None), ([math.nan] * 3, None)],
)
def test_another_model_must_suggest_the_same_label(predicted: list[float], expected: float | None) -> None:
    one = [error(("bad",), ("good",))]
    confirmed = [e for e in confirm(one, LABELS, np.array([predicted]), one_label=True) if e.likely]
    assert [each.probability for each in confirmed] == ([] if expected is None else [pytest.approx(expected)])


def test_another_model_must_agree_on_each_changed_label() -> None:
    several = [error(("bad", "good"), ("good", "mixed"))]
    agreeing, half = np.array([[0.1, 0.9, 0.8]]), np.array([[0.1, 0.9, 0.4]])
    (confirmed,) = confirm(several, LABELS, agreeing, one_label=False)
    assert confirmed.probability == pytest.approx((0.02 + 0.1) / 2)
    assert confirm(several, LABELS, half, one_label=False) == []


def test_several_labels_that_training_does_not_know_are_kept_and_not_judged() -> None:
    rows = [Record(f"text {row}", None, ("bad", "new") if row % 2 else ("good", "new"), None, {}) for row in range(120)]
    targets = np.array([["bad" in row.labels, "good" in row.labels] for row in rows])
    probabilities = np.where(targets, 0.9, 0.1)
    assert find_suspects("test", rows, LABELS[:2], targets, probabilities) == []
    probabilities[7] = probabilities[6]
    (suspect,) = find_suspects("test", rows, LABELS[:2], targets, probabilities)
    assert (suspect.given, suspect.suggested) == (("bad", "new"), ("good", "new"))


@pytest.mark.parametrize("one_label", [True, False])
def test_a_label_that_the_other_model_does_not_know_is_no_evidence(one_label: bool) -> None:
    predicted = np.array([[0.1, 0.9]])
    assert confirm([error(("new",), ("good",) if one_label else ())], LABELS[:2], predicted, one_label=one_label) == []
    if not one_label:
        (confirmed,) = confirm([error(("bad", "new"), ("good",))], LABELS[:2], predicted, one_label=False)
        assert confirmed.probability == pytest.approx((0.02 + 0.1) / 2)


def test_the_report_counts_all_and_lists_the_least_likely() -> None:
    found = [error(("bad",), ("good",), probability=0.0005 * number, key=number) for number in range(120)]
    summary = summarize_label_errors({"train": found[::-1], "test": []})
    assert summary == json.loads(json.dumps(summary))
    assert summary["found"] == {"train": 100, "test": 0}
    assert [row["probability"] for row in summary["rows"]] == [0.0005 * number for number in range(MOST_LISTED)]
    assert summary["rows"][0] == {
        "key": 0,
        "split": "test",
        "text": "a text",
        "text_pair": None,
        "given": ["bad"],
        "suggested": ["good"],
        "probability": 0.0,
        "usual": 0.5,
    }
