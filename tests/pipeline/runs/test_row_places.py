from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from components.baselines.text_rows import record_key
from components.data.rows import Record
from pipeline.config import ProjectConfig
from pipeline.runs import row_places
from pipeline.runs.row_places import add_places


def found(text: str, *labels: str) -> dict[str, Any]:
    return {"key": record_key(Record(text, None, labels, None, {})), "text": text[:5], "given": list(labels)}


@pytest.fixture
def project(tmp_path: Path) -> ProjectConfig:
    """Two training files of different formats, and a test file."""
    rows = [("plain", "a"), ("two\nlines", "b"), ("x" * 300, "a"), ("plain", "a"), ("plain", "b")]
    with (tmp_path / "train-1.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    lines = [json.dumps({"text": text, "label": label}) for text, label in [("x" * 301, "a"), ("plain", "a")]]
    (tmp_path / "train-2.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\nother,b\n", encoding="utf-8")
    return ProjectConfig.model_validate(
        {"name": "p", "data": {"train": ["train-1.csv", "train-2.jsonl"], "test": "test.csv"}}
    )


def test_a_row_is_told_by_its_whole_text_and_its_label(project: ProjectConfig, tmp_path: Path) -> None:
    rows = [
        found("plain", "a"),
        found("two\nlines", "b"),
        found("x" * 301, "a"),
        found("other", "b"),
        found("gone", "b"),
    ]
    add_places(rows, project, tmp_path)
    one, two, test = (str(tmp_path / name) for name in ("train-1.csv", "train-2.jsonl", "test.csv"))
    assert [[tuple(place.values()) for place in row["places"]] for row in rows] == [
        [(one, 1, 2), (one, 4, 6), (two, 2, 2)],
        [(one, 2, 3)],
        [(two, 1, 1)],
        [(test, 1, 2)],
        [],
    ]
    assert all("key" not in row for row in rows), "a number of 64 bits is not safe in JSON"


def test_files_that_have_gone_leave_rows_without_places(project: ProjectConfig, tmp_path: Path) -> None:
    (tmp_path / "test.csv").unlink()
    rows = [found("plain", "b"), found("other", "b")]
    add_places(rows, project, tmp_path)
    assert [len(row["places"]) for row in rows] == [1, 0]
    add_places([], project, tmp_path)


def test_no_more_than_so_many_rows_are_read(
    project: ProjectConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_places, "_MOST_ROWS", 3)
    rows = [found("plain", "a"), found("other", "b")]
    add_places(rows, project, tmp_path)
    assert [len(row["places"]) for row in rows] == [1, 0]
