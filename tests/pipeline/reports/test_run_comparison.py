"""Two runs on the same, fewer, more and corrected rows, of every task."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_facts import HOSTILE
from scipy import stats

from components.predictions.stored_predictions import FOLDER, PredictedRows, PredictionFacts, write_rows
from pipeline import cli
from pipeline.paths import Paths
from pipeline.reports.comparison_page import comparison_page, verdict
from pipeline.reports.run_comparison import compare_runs
from pipeline.runs.run_records import RunRecord

LABELS = ("a", "b", "c")


def run(
    folder: Path, scores: np.ndarray, given: list[tuple[str, ...]] | None, keys: list[int] | None = None, **facts: Any
) -> RunRecord:
    """The record of a run with these predictions; `facts`: of them, and `config`, `numbers`, `texts`."""
    config, numbers = facts.pop("config", {"train": {"epochs": 1}}), facts.pop("numbers", None)
    texts = facts.pop("texts", [f"text {row}" for row in range(len(scores))])
    rows = PredictedRows(keys or list(range(len(scores))), texts, None, given, numbers, [{}] * len(scores))
    rows.scores = {"model": scores.astype(np.float32)}
    (folder / FOLDER).mkdir(parents=True)
    with io.FileIO(folder / FOLDER / "part-00000.parquet", "w") as stream:
        write_rows(
            stream, iter([rows]), PredictionFacts(**{"task": "single_label", "split": "test", "labels": LABELS} | facts)
        )
    record = RunRecord(folder.name, "pushed", "2026-11-30 12:00:00", config)
    record.rows = {"folder": str(folder)}
    record.data = {"splits": {"test": {"rows": len(scores)}}}
    return record


def answers(*labels: str) -> np.ndarray:
    """Scores whose answers are these labels; the later rows are surer."""
    sure = np.linspace(0.5, 0.9, len(labels))[:, None]
    chosen = np.array([[label == name for name in LABELS] for label in labels])
    return np.where(chosen, sure, (1 - sure) / 2)


def test_fixed_and_broken_rows_are_counted_and_named(tmp_path: Path) -> None:
    given = [("a",), ("b",), ("c",), ("a",), ("b",)]
    before = run(tmp_path / "1", answers("a", "a", "a", "a", "b"), given)
    after = run(tmp_path / "2", answers("b", "b", "c", "a", "a"), given, config={"train": {"epochs": 2}})
    found = compare_runs(before, after)
    assert found.settings == [("train.epochs", "1", "2")]
    assert [row.text for row in found.fixed] == ["text 2", "text 1"]  # the surest first
    assert [(row.text, row.before, row.after) for row in found.broken] == [("text 4", "b", "a"), ("text 0", "a", "b")]
    assert found.outcomes == {
        "fixed": 2, "broken": 2, "both_right": 1, "both_wrong": 0, "chance": stats.binomtest(2, 4).pvalue
    }  # fmt: skip
    assert found.metrics["accuracy"]["before"] == found.metrics["accuracy"]["after"] == pytest.approx(0.6)
    assert "it may be chance" in verdict(found)


def test_rows_are_matched_by_their_texts_whatever_their_order_and_as_often_as_both_have_them(tmp_path: Path) -> None:
    before = run(tmp_path / "1", answers("a", "b", "c", "a"), [("a",), ("b",), ("c",), ("a",)], [5, 6, 7, 5])
    after = run(tmp_path / "2", answers("c", "a", "b"), [("c",), ("a",), ("c",)], [7, 5, 9])
    found = compare_runs(before, after)
    assert (found.shared, found.only_before, found.only_after) == (2, 2, 1)
    assert found.outcomes["both_right"] == 2


def test_a_corrected_label_counts_for_both(tmp_path: Path) -> None:
    before = run(tmp_path / "1", answers("b"), [("a",)])
    found = compare_runs(before, run(tmp_path / "2", answers("b"), [("b",)]))
    assert found.relabelled == 1
    assert found.outcomes["both_right"] == 1


def test_models_with_other_labels_are_compared_by_their_names(tmp_path: Path) -> None:
    before = run(tmp_path / "1", answers("a", "b")[:, ::-1], [("a",), ("b",)], labels=LABELS[::-1])
    found = compare_runs(before, run(tmp_path / "2", answers("a", "a"), [("a",), ("b",)]))
    assert (found.outcomes["broken"], found.outcomes["both_right"]) == (1, 1)


def test_the_interval_of_a_real_gain_is_above_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = [LABELS[index] for index in rng.integers(0, 3, 400)]
    worse = [LABELS[0] if rng.random() < 0.5 else label for label in truth]
    given = [(label,) for label in truth]
    found = compare_runs(run(tmp_path / "1", answers(*worse), given), run(tmp_path / "2", answers(*truth), given))
    low, high = found.metrics["accuracy"]["interval"]
    assert 0 < low < found.metrics["accuracy"]["after"] - found.metrics["accuracy"]["before"] < high
    assert found.outcomes["chance"] < 0.001
    assert "more than chance" in verdict(found)


def test_numbers_list_the_errors_that_changed_most(tmp_path: Path) -> None:
    numbers = [1.0, 2.0, 3.0, float("nan")]
    kind = {"task": "regression", "labels": (), "numbers": numbers}
    before = run(tmp_path / "1", np.array([[1.0], [5.0], [3.0], [0.0]]), None, **kind)
    found = compare_runs(before, run(tmp_path / "2", np.array([[9.0], [2.0], [3.0], [1.0]]), None, **kind))
    assert [row.text for row in found.fixed] == ["text 1"]
    assert [row.text for row in found.broken] == ["text 0"]
    assert "mse" in found.metrics


def test_what_cannot_be_compared_says_why_and_still_shows_the_settings(tmp_path: Path) -> None:
    one = run(tmp_path / "1", answers("a"), [("a",)])
    stopped = RunRecord("2", "failed", "", {"train": {"epochs": 9}})
    gone = RunRecord("3", "pushed", "", {})
    gone.rows = {"folder": str(tmp_path / "gone")}
    other = run(tmp_path / "4", np.array([[1.0]]), None, task="regression", labels=(), numbers=[1.0])
    apart = run(tmp_path / "5", answers("a"), [("a",)], [99])
    for late, why in (
        (stopped, "measured no model"),
        (gone, "no predictions"),
        (other, "tasks differ"),
        (apart, "no test row"),
    ):
        found = compare_runs(one, late)
        assert why in found.why_not
        assert why in comparison_page(found)
    assert compare_runs(one, stopped).settings == [("train.epochs", "1", "9")]


def test_the_command_prints_writes_a_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Paths(tmp_path, tmp_path / "out", tmp_path, tmp_path)
    folders = []
    for number, answered in enumerate(("a", "b")):
        record = run(tmp_path / f"e{number}", answers(answered, "c"), [("b",), ("c",)], texts=[HOSTILE, "plain"])
        record.name = f"run-{number}"
        record.save(paths)
        folders.append(str(paths.runs / record.name))
    page = tmp_path / "page.html"
    assert cli.main(["compare", *folders, "--page", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "became right" in printed
    assert "\x1b" not in printed
    assert "<script>" not in page.read_text(encoding="utf-8")
    assert cli.main(["compare", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["before"], found["after"], found["outcomes"]["fixed"]) == ("run-0", "run-1", 1)
    assert cli.main(["compare", folders[0], str(tmp_path / "nothing")]) == 2
