"""What `transom runs` prints: a line for each run, and all of one."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.paths import Paths
from pipeline.reports.run_list import print_run, print_runs
from pipeline.runs.run_records import RunRecord, StepRecord

METRICS = {"accuracy": 0.5, "macro_f1": 0.25, "mean_average_precision": 0.75}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(
        base=tmp_path, output=tmp_path / "out", push=tmp_path / "out" / "serving", edge=tmp_path / "out" / "edge"
    )


def _run(name: str, status: str) -> RunRecord:
    return RunRecord(
        name=name, status=status, started="2026-01-01 00:00:00", config={}, steps=[StepRecord("ExampleGen", "done")]
    )


def _listed(paths: Paths, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    print_runs(paths, stream, as_json=False, verbose=verbose)
    return stream.getvalue()


def _lots(paths: Paths) -> None:
    """Runs that ended in every way, the last at the step with the longest name."""
    for number, status in enumerate(("pushed", "already live", "unchanged", "not blessed", "finished")):
        run = _run(f"20260101-00000{number}", status)
        run.evaluation, run.verdict, run.pushed = {"metrics": METRICS}, "the verdict", "/out/serving/7"
        run.seconds = 40_000.0
        run.save(paths)
    stopped = _run("20260101-000009-2", "running")
    stopped.stop("interrupted", "interrupted by Ctrl-C\n  kept: nothing", "ExampleValidator")
    stopped.save(paths)


@pytest.mark.parametrize("width", ["80", "160"])
def test_each_run_is_one_line_that_fits(paths: Paths, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    _lots(paths)
    heading, *lines = _listed(paths).splitlines()
    assert len(lines) == 6
    assert max(map(len, [heading, *lines])) <= int(width)
    assert lines[-1].split() == [
        "20260101-000009-2",
        "0",
        "s",
        "interrupted",
        "at",
        "ExampleValidator",
        "-",
        *["-"] * (len(heading.split()) - 4),
    ]
    assert " 11 h 06 min  pushed  " in lines[0]
    assert " 11 h 06 min  already live  " in lines[1]
    assert heading.split()[:4] == ["run", "took", "ended", "accuracy"]
    assert ("mean_average_precision" in heading) == (width == "160")


def test_details_are_for_those_who_ask(paths: Paths) -> None:
    _lots(paths)
    assert "the verdict" not in _listed(paths)
    assert "/out/serving/7" not in _listed(paths)
    shown = _listed(paths, verbose=True)
    assert shown.count("    the verdict\n") == shown.count("    /out/serving/7\n") == 5
    assert re.search("at ExampleValidator, .*: interrupted by Ctrl-C\n", shown)


def test_all_of_a_run(paths: Paths) -> None:
    run = _run("20260101-000000", "running")
    run.steps = [
        StepRecord("ExampleGen", "cached"),
        StepRecord("Trainer", "failed", 4321.06, peak_memory_bytes=1_234_000_000, cpu_seconds=9000.04),
    ]
    run.stop("failed", "the loss is not finite\n  to fix: a lower rate", "Trainer")
    run.save(paths)
    folder = paths.runs / run.name
    (folder / "logs").mkdir()
    (folder / "logs" / "Trainer.txt").touch()
    stream = io.StringIO()
    print_run(run, folder, stream, as_json=False)
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines[0] == "step seconds MB at most CPU seconds"
    assert lines[1:3] == ["ExampleGen cached", "Trainer failed 4,321.1 1,234 9,000.0"]
    assert f"log: {folder}/logs/Trainer.txt" in lines
    assert lines[-2:] == ["the loss is not finite", "to fix: a lower rate"]
    stream = io.StringIO()
    print_run(run, folder, stream, as_json=True)
    assert json.loads(stream.getvalue())["steps"][1]["peak_memory_bytes"] == 1_234_000_000


def test_the_argument_names_a_run_or_a_project(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = paths.base / "transom.yaml"
    project.write_text("name: x\noutput: out\ndata: {path: t.csv}\n")
    _lots(paths)
    monkeypatch.chdir(paths.base)
    folder = str(paths.runs / "20260101-000003")
    for named in (["last"], ["20260101-000003"], [folder], ["last", "--project", str(project)]):
        assert main(["runs", *named]) == 0
        assert "CPU seconds" in capsys.readouterr().out
    for named in ([], [str(project)], ["."], ["--project", "."], [str(project), "--set", "output=out"]):
        assert main(["runs", *named]) == 0
        assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["run", "took", "ended"]
    assert main(["runs", "2025"]) == main(["runs", ".", "--project", str(project)]) == 2
    assert "one project" in capsys.readouterr().err


def test_a_running_run_names_its_log(paths: Paths) -> None:
    run = _run("1", "running")
    folder = paths.runs / "1" / "logs"
    folder.mkdir(parents=True)
    (folder / "ExampleGen.txt").touch()
    stream = io.StringIO()
    print_run(run, folder.parent, stream, as_json=False)
    assert f"log:     {folder}/ExampleGen.txt" in stream.getvalue()
    assert "to now" in stream.getvalue()


STOPS = [
    (
        "failed",
        "the data gate stops the run: 1 error\n  got:\n    error one_class\n      to fix: more",
        "1 error: error one",
    ),
    ("failed", "data.path: no file\n  got: nothing\n  to fix: correct it", "data.path: no file: nothing"),
    ("interrupted", "ended by SIGTERM", "ended by SIGTERM"),
    ("failed", "one line alone", "one line alone"),
]


@pytest.mark.parametrize(("status", "why", "expected"), STOPS)
@pytest.mark.parametrize("fates", [[], ["done"], ["done", "running"], ["done", "failed"], ["skipped"]])
def test_a_stopped_run_shows_where_when_and_why(
    paths: Paths, status: str, why: str, expected: str, fates: list[str]
) -> None:
    run = RunRecord(name="1", status="running", started="2026-01-01 00:00:00", config={})
    run.steps = [StepRecord(name, fate) for name, fate in zip(("ExampleGen", "LiveModel"), fates, strict=False)]
    run.stop(status, why)
    run.save(paths)
    table, lines = io.StringIO(), io.StringIO()
    print_runs(paths, table, as_json=False, verbose=True)
    print_runs(paths, lines, as_json=True)
    where = {0: "checks", 1: "ExampleGen", 2: "LiveModel"}[len(fates)] if fates != ["skipped"] else "checks"
    assert f"at {where}, {run.ended}: " in table.getvalue()
    assert expected in table.getvalue()
    record = json.loads(lines.getvalue())
    assert (record["status"], record["step"], record["error"]) == (status, where, why)
    assert record["ended"] == run.ended


def test_the_table_and_the_json_tell_the_same(paths: Paths) -> None:
    run = _run("20260101-000000", "not blessed")
    run.evaluation = {"metrics": {"accuracy": 0.5}}
    run.verdict = "not blessed: accuracy 0.5 is below 0.8"
    run.save(paths)
    table, lines = io.StringIO(), io.StringIO()
    print_runs(paths, table, as_json=False)
    print_runs(paths, lines, as_json=True)
    assert "not blessed" in table.getvalue()
    assert "0.5000" in table.getvalue()
    assert json.loads(lines.getvalue())["verdict"] == run.verdict
