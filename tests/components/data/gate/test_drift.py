"""Distances between a model's training data and new data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import distance

from components.config import GateConfig
from components.data.gate.counts import SplitFacts
from components.data.gate.drift import divergence, find_drift, load_summary, save_summary, summarize
from components.data.row_batches import RowBatch
from components.data.rows import Record
from models.config import TaskConfig


def facts_of(records: list[Record], task: TaskConfig | None = None) -> SplitFacts:
    facts = SplitFacts("train", task or TaskConfig())
    facts.add(RowBatch.of_records(records, facts.task))
    return facts


def rows(count: int, label: str = "a", length: int = 20, source: str = "s") -> list[Record]:
    return [Record("x" * length, None, (label,), None, {"source": source}) for _ in range(count)]


def through_json(summary: dict) -> dict:
    return json.loads(json.dumps(summary))


@pytest.mark.parametrize(
    ("p", "q"), [([1, 0], [0, 1]), ([1, 1], [2, 2]), ([5, 3, 2], [1, 1, 8]), ([7, 0, 1], [0, 3, 1])]
)
def test_divergence_equals_scipys(p: list[int], q: list[int]) -> None:
    assert divergence(np.array(p), np.array(q)) == pytest.approx(distance.jensenshannon(p, q, base=2) ** 2, abs=1e-12)


def test_divergence_of_empty_counts() -> None:
    assert divergence(np.zeros(2), np.ones(2)) == 0.0


def test_the_same_data_do_not_drift() -> None:
    facts = facts_of(rows(50) + rows(50, "b", 90, "t"))
    assert list(find_drift(through_json(summarize(facts)), facts, GateConfig(drift_threshold=0.001))) == []


@pytest.mark.parametrize(
    ("now", "column", "example"),
    [
        (rows(10) + rows(90, "b"), "label", "b: 10.0% before, 90.0% now"),
        (rows(50) + rows(50, "new"), "label", "other values: 0.0% before, 50.0% now"),
        (rows(90, length=400) + rows(10, "b"), "text", "characters: 0.0% before, 90.0% now"),
        (rows(90, source="t") + rows(10, "b"), "source", "other values: 0.0% before, 90.0% now"),
        (rows(90, source="u" * 1000) + rows(10, "b"), "source", "other values: 0.0% before, 90.0% now"),
    ],
)
def test_drifting_columns_are_named(now: list[Record], column: str, example: str) -> None:
    live = through_json(summarize(facts_of(rows(90) + rows(10, "b"))))
    findings = list(find_drift(live, facts_of(now), GateConfig()))
    assert [finding.column for finding in findings] == [column]
    assert findings[0].severity == "warn"
    assert any(example in shown for shown in findings[0].examples)


def test_a_column_that_is_gone_drifts() -> None:
    live = through_json(summarize(facts_of(rows(90))))
    findings = list(find_drift(live, facts_of([Record("x" * 20, None, ("a",), None, {})] * 90), GateConfig()))
    assert [finding.column for finding in findings] == ["source"]
    assert findings[0].examples[:2] == ("s: 100.0% before, 0.0% now", "no value: 0.0% before, 100.0% now")


@pytest.mark.parametrize("named", [True, False], ids=["with roles", "as older models wrote it"])
def test_renamed_columns_are_compared_by_their_role_in_the_task(named: bool) -> None:
    live = through_json(summarize(facts_of(rows(90) + rows(10, "b"))))
    if not named:
        del live["task"]
    task = TaskConfig(text="review", label="sentiment")
    assert list(find_drift(live, facts_of(rows(90) + rows(10, "b"), task), GateConfig(drift_threshold=0.01))) == []
    findings = list(find_drift(live, facts_of(rows(10) + rows(90, "b", 400), task), GateConfig()))
    assert [finding.column for finding in findings] == ["sentiment", "review"]


def test_columns_of_only_one_task_are_not_compared() -> None:
    live = through_json(summarize(facts_of(rows(90) + rows(10, "b"))))
    numbers = [Record("x" * 20, "y", (), number / 100, {"source": "s"}) for number in range(100)]
    task = TaskConfig(type="regression", label="score", text_pair="other")
    assert list(find_drift(live, facts_of(numbers, task), GateConfig())) == []
    back = through_json(summarize(facts_of(numbers, task)))
    assert list(find_drift(back, facts_of(rows(100)), GateConfig())) == []
    # a column of the old data is the label now
    swapped = [Record("x" * 20, None, ("s",), None, {"label": "a"})] * 100
    assert next(find_drift(live, facts_of(swapped, TaskConfig(label="source")), GateConfig())).column == "source"


def test_targets_of_a_regression_drift() -> None:
    task = TaskConfig(type="regression")
    before = [Record("text", None, (), number / 100, {}) for number in range(100)]
    live = through_json(summarize(facts_of(before, task)))
    assert list(find_drift(live, facts_of(before[::2], task), GateConfig(drift_threshold=0.01))) == []
    findings = list(find_drift(live, facts_of([Record("text", None, (), 7.0, {})] * 9, task), GateConfig()))
    assert [finding.column for finding in findings] == ["label"]
    assert any("0.891 or more" in shown for shown in findings[0].examples)


def test_identifier_columns_are_left_out() -> None:
    others = [{"id": str(number), "long": "x" * 1000} for number in range(200)]
    records = [Record("text", None, ("a",), None, other) for other in others]
    assert set(summarize(facts_of(records))["columns"]) == {"label", "text"}


def test_summaries_are_stored_with_models(tmp_path: Path) -> None:
    assert load_summary(tmp_path) is None
    (tmp_path / "assets.extra").mkdir()
    summary = summarize(facts_of(rows(3, "é")))
    save_summary(summary, tmp_path / "assets.extra")
    assert load_summary(tmp_path) == summary
