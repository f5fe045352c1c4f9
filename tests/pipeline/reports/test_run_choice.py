"""Which run an argument names: as `transom runs` lists it, and "last" is one that has something to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from pipeline.paths import Paths
from pipeline.reports.run_choice import find_run
from pipeline.runs.run_records import RunRecord, StepRecord


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "transom.yaml").write_text("data: {path: t.csv}\noutput: out\n")
    return tmp_path


def save(project: Path, name: str, status: str, **more: Any) -> None:
    record = RunRecord(name=name, status=status, started="2026-01-01 00:00:00", config={}, **more)
    record.steps = [StepRecord("ExampleGen", "cached" if status == "unchanged" else "done")]
    record.save(Paths(project, project / "out", project / "push", project / "edge"))


MEASURED: dict[str, Any] = {"evaluation": {"metrics": {}}, "rows": {"rows": 1}}


@pytest.mark.parametrize(
    ("status", "more", "last"),
    [
        ("unchanged", {}, "1"),  # as `transom profile` leaves it
        ("finished", {"debug": {"steps": []}}, "1"),
        ("failed", {"error": "an error"}, "2"),
        ("unchanged", MEASURED, "2"),
    ],
)
def test_the_last_run_is_one_that_has_something_to_show(project: Path, status: str, more: Any, last: str) -> None:
    save(project, "1", "pushed", **MEASURED)
    save(project, "2", status, **more)
    assert find_run("last", project)[0].name == last
    assert find_run("2", project)[0].name == "2"


def test_the_last_run_that_measured_a_model(project: Path) -> None:
    save(project, "1", "pushed", **MEASURED)
    save(project, "2", "failed", error="an error")
    assert find_run("last", project, measured=True)[0].name == "1"


def test_a_run_whose_process_was_killed_is_not_running(project: Path) -> None:
    save(project, "1", "running")
    assert find_run("last", project)[0].status == "interrupted"


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", "\xff"])
def test_one_damaged_record_hides_no_other(project: Path, content: str) -> None:
    save(project, "1", "pushed", **MEASURED)
    folder = project / "out" / "runs" / "2"
    folder.mkdir()
    (folder / "run.json").write_text(content, encoding="latin-1")
    assert find_run("1", project)[0].status == "pushed"
    with pytest.raises(ConfigError, match="cannot be read"):
        find_run("2", project)
