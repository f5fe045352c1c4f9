"""Stored predictions: every kind of task, more labels than are kept, any text."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.predictions.stored_predictions import (
    ALL_LABELS,
    MOST_CHARACTERS,
    PredictedRows,
    PredictionFacts,
    StoredPredictions,
    write_rows,
)


def write(folder: Path, rows: list[PredictedRows], facts: PredictionFacts, name: str = "part-00000") -> None:
    stream = io.FileIO(folder / f"{name}.parquet", "w")
    write_rows(stream, iter(rows), facts)
    stream.close()


def test_rows_are_read_as_they_were_written_in_the_order_of_the_files(tmp_path: Path) -> None:
    facts = PredictionFacts("single_label", "test", ("a", "b"), live_labels=("b",), linear_threshold=0.3)
    scores = np.array([[0.25, 0.75], [np.nan, np.nan]], np.float32)

    def rows(begin: int) -> PredictedRows:
        return PredictedRows(
            [begin, 2**64 - 1],
            [f"text {begin}", "\u05d0\U0001f600 <b>\0\n"],
            ["", "x" * (MOST_CHARACTERS + 5)],
            [("a",), ()],
            None,
            [{"id": "7"}, {}],
            {"model": scores, "live": scores[:, :1]},
        )

    write(tmp_path, [rows(2)], facts, "part-00001")
    write(tmp_path, [rows(0), rows(1)], facts)
    stored = StoredPredictions(tmp_path)
    assert stored.facts == facts
    assert stored.rows == 6
    assert stored.sources == ["model", "live"]
    read = list(stored.batches(rows=2))
    assert [batch.texts[0] for batch in read] == ["text 0", "text 1", "text 2"]
    assert read[0].texts[1] == "\u05d0\U0001f600 <b>\0\n"
    assert read[0].keys == [0, 2**64 - 1]
    assert read[0].given == [("a",), ()]
    assert read[0].others == [{"id": "7"}, {}]
    assert read[0].pairs is not None
    assert list(map(len, read[0].pairs)) == [0, MOST_CHARACTERS]
    np.testing.assert_array_equal(read[0].scores["model"], scores)
    assert list(next(stored.batches(["live"])).scores) == ["live"]
    assert len(pd.read_parquet(tmp_path)) == 6


def test_numbers(tmp_path: Path) -> None:
    facts = PredictionFacts("regression", "eval")
    scores = {"model": np.array([[1.5], [2.5]], np.float32)}
    write(tmp_path, [PredictedRows([1, 2], ["", "b"], None, None, [0.5, float("nan")], [{}, {}], scores)], facts)
    [read] = StoredPredictions(tmp_path).batches()
    assert read.given is read.pairs is None
    assert read.numbers is not None
    assert read.numbers[0] == 0.5
    assert np.isnan(read.numbers[1])
    assert read.scores["model"].tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_of_many_labels_the_highest_and_the_rows_own_are_kept(task: str, tmp_path: Path) -> None:
    labels = tuple(f"l{number}" for number in range(20_000))
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(len(labels), 0.01), 100).astype(np.float32)
    given: list[tuple[str, ...]] = [("l7", "other"), (), ("l9",), *[("l0",)] * 97]
    rows = PredictedRows(list(range(100)), [""] * 100, None, given, None, [{}] * 100)
    rows.scores = {"model": scores}
    write(tmp_path, [rows], PredictionFacts(task, "test", labels))  # type: ignore[arg-type]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < scores.nbytes / 4
    [read] = StoredPredictions(tmp_path).batches()
    kept = read.scores["model"]
    assert (kept.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert kept[0, 7] == scores[0, 7]
    assert kept[2, 9] == scores[2, 9]
    assert set(kept[kept > 0]) <= set(scores.ravel())
    if task == "multi_label":
        np.testing.assert_array_equal(kept >= 0.05, scores >= 0.05)
    assert len(labels) > ALL_LABELS


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no predictions"):
        StoredPredictions(tmp_path)
