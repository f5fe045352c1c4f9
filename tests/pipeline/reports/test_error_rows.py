"""Wrong rows for a terminal, for a table program and for a program; and which run an argument means."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from report_facts import HOSTILE

from components.predictions.stored_predictions import (
    FOLDER,
    PredictedRows,
    PredictionFacts,
    StoredPredictions,
    write_rows,
)
from models.errors import ConfigError
from pipeline import cli
from pipeline.paths import Paths
from pipeline.reports.error_rows import csv_rows, error_rows, plain, predictions_of
from pipeline.reports.run_choice import find_run
from pipeline.runs.run_records import RunRecord


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """A saved run with four rows: two wrong, one right, one without a label."""
    rows = PredictedRows([1, 2, 3, 4], ["sure", "right", HOSTILE, "no label"], None, [("a",), ("a",), ("b",), ()])
    rows.others = [{"id": "7"}, {}, {"id": "9", "=cmd": "x"}, {}]
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]], np.float32)
    rows.scores = {"model": scores, "linear": scores[:, ::-1].copy()}
    folder = tmp_path / "evaluation"
    (folder / FOLDER).mkdir(parents=True)
    with io.FileIO(folder / FOLDER / "part-00000.parquet", "w") as stream:
        write_rows(stream, iter([rows]), PredictionFacts("single_label", "test", ("a", "b")))
    found = RunRecord("20261130-120000", "pushed", "2026-11-30 12:00:00", {})
    found.rows = {"folder": str(folder)}
    found.save(Paths(tmp_path, tmp_path / "out", tmp_path, tmp_path))
    return found


def test_the_surest_mistakes_come_first_with_every_models_answer(record: RunRecord) -> None:
    found = error_rows(predictions_of(record))
    assert [(row.row, row.given, row.answer) for row in found] == [(1, ("a",), ("b",)), (3, ("b",), ("a",))]
    assert found[0].others == {"linear": ("a",)}
    assert plain(found[1])["columns"] == {"id": "9", "=cmd": "x"}


def test_a_csv_has_every_column_of_every_row(record: RunRecord) -> None:
    predictions = predictions_of(record)
    stream = io.StringIO()
    csv.writer(stream).writerows(csv_rows(error_rows(predictions), predictions.facts))
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["id"] for row in rows] == ["7", "9"]
    assert rows[1]["text"] == HOSTILE
    assert float(rows[0]["score b"]) == pytest.approx(0.9)


def test_numbers_are_listed_by_the_size_of_their_errors(tmp_path: Path) -> None:
    rows = PredictedRows([1, 2, 3], ["x", "y", "z"], None, None, [1.0, 2.0, float("nan")], [{}] * 3)
    rows.scores = {"model": np.array([[1.5], [9.0], [1.0]], np.float32)}
    with io.FileIO(tmp_path / "part-00000.parquet", "w") as stream:
        write_rows(stream, iter([rows]), PredictionFacts("regression", "test"))
    assert [row.text for row in error_rows(StoredPredictions(tmp_path))] == ["y", "x", "z"]


def test_the_command_prints_no_control_characters(
    record: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "out" / "runs" / record.name)
    assert cli.main(["errors", folder]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 test rows wrong" in printed
    assert "\x1b" not in printed
    assert cli.main(["errors", folder, "--json", "--most", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "sure"


def test_a_run_without_predictions_says_why(
    record: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.rows = {}
    with pytest.raises(ConfigError, match="measured no model"):
        predictions_of(record)
    record.rows = {"folder": str(tmp_path / "gone")}
    with pytest.raises(ConfigError, match="no predictions in"):
        predictions_of(record)
    assert cli.main(["errors", str(tmp_path / "nowhere")]) == 2
    assert "transom.yaml" in capsys.readouterr().err


def test_a_run_is_named_by_its_beginning_by_last_or_by_its_folder(record: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "transom.yaml").write_text("name: out\noutput: out\ndata: {path: t.csv}\n", encoding="utf-8")
    record.name = "20261130-130000"
    record.save(Paths(tmp_path, tmp_path / "out", tmp_path, tmp_path))
    named = {given: find_run(given, tmp_path)[0].name for given in ("last", "20261130-12", "20261130-130000")}
    assert named == {"last": record.name, "20261130-12": "20261130-120000", "20261130-130000": record.name}
    record.name, record.rows = "20261130-140000", {}
    record.save(Paths(tmp_path, tmp_path / "out", tmp_path, tmp_path))
    assert [find_run("last", tmp_path, measured=only)[0].name[9:] for only in (True, False)] == ["130000", "140000"]
    folder = tmp_path / "out" / "runs" / "20261130-120000"
    assert find_run(str(folder), None)[1] == find_run(str(folder / "run.json"), None)[1] == folder
    for given, got in (("2026", "3 runs"), ("1999", "no such run")):
        with pytest.raises(ConfigError, match=got):
            find_run(given, tmp_path)
    (folder / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_run(str(folder), None)
