from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from doctor_projects import make_project, snapshot, statuses
from metadata_stores import fill

from pipeline.doctor.checks.project_checks import (
    checks,
    last_run,
    load_project,
    metadata_store,
    preflight_parts,
    run_lock,
)
from pipeline.doctor.finding import Project, findings_of
from pipeline.runs.run_lock import hold_lock
from pipeline.runs.run_records import RunRecord
from pipeline.runs.store.metadata_check import seal


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"a: [",
        b"- 1\n",
        b"data: {path: t.csv}\nfoo: 1\n",
        b"data: &a [*a]\n",
        b"x: " + b"[" * 5000,
        b"y" * (2**20 + 1),
    ],
)
def test_an_invalid_configuration_is_a_finding(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "transom.yaml"
    file.write_bytes(content)
    found, finding = load_project(file, [])
    assert found is None
    assert (finding.check, finding.status) == ("configuration", "error")


def test_a_folder_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, finding = load_project(None, [])
    assert found is None
    assert finding.status == "note"
    assert "only the machine and the installation" in finding.text
    assert load_project(tmp_path, [])[1].status == "error"  # it was named
    assert load_project(tmp_path / "missing.yaml", [])[1].status == "error"


def test_a_project_is_loaded_with_what_overrides_it(project: Project) -> None:
    found, finding = load_project(project.file, ["output=elsewhere"])
    assert finding.status == "ok"
    assert found is not None
    assert found.paths.output == project.file.parent / "elsewhere"
    assert load_project(project.file, ["ouptut=x"])[1].status == "error"


def test_a_sound_project_has_no_problem_and_is_left_as_it_is(project: Project) -> None:
    before = snapshot(project.paths.base)
    found = [finding for check in checks(project) for finding in findings_of(check)]
    assert {finding.status for finding in found} == {"ok"}
    assert "tables" in found[0].text
    assert snapshot(project.paths.base) == before


def test_all_that_would_stop_a_run_is_found_at_once(tmp_path: Path) -> None:
    project = make_project(
        tmp_path,
        data={"path": "missing.csv"},
        model={"type": "preset", "preset": "./nowhere"},
        push={"directory": "transom.yaml"},
        beam={"steps": {"Transfrm": {}}},
    )
    found = list(preflight_parts(project))
    assert {check for check, status in statuses(found) if status == "error"} == {"folders", "beam", "preset", "tables"}
    assert all(finding.remedy for finding in found if finding.status == "error")


def test_a_hubs_preset_is_not_downloaded(tmp_path: Path) -> None:
    project = make_project(tmp_path, model={"type": "preset", "preset": "hf://someone/something"})
    found = {finding.check: finding for finding in preflight_parts(project)}
    assert found["preset"].status == "note"
    assert "hf://someone/something is downloaded when" in found["preset"].text


def test_a_part_that_breaks_does_not_hide_the_others(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pipeline.preflight.check_folders", break_down)
    assert statuses(list(preflight_parts(project))) == [("folders", "warn"), ("before a run", "ok")]


def test_a_run_in_progress_is_left_alone(project: Project) -> None:
    assert statuses(list(run_lock(project))) == [("lock of runs", "ok")]
    with hold_lock(project.paths.lock, lambda: "20260101-000000"):
        before = snapshot(project.paths.output)
        (found,) = run_lock(project)
        assert found.status == "note"
        assert "run 20260101-000000 (process " in found.text
        assert list(metadata_store(project)) == []
        assert snapshot(project.paths.output) == before
    assert statuses(list(run_lock(project))) == [("lock of runs", "ok")]


def test_a_lock_that_is_another_file(project: Project) -> None:
    project.paths.output.mkdir()
    project.paths.lock.write_text("my notes")
    assert statuses(list(run_lock(project))) == [("lock of runs", "error")]
    project.paths.lock.unlink()
    project.paths.lock.mkdir()
    (found,) = run_lock(project)
    assert "cannot be read" in found.text


def test_the_store_is_checked_and_left_as_it_is(project: Project) -> None:
    paths = project.paths
    assert "none yet" in next(metadata_store(project)).text
    paths.output.mkdir()
    fill(paths)
    seal(paths)
    before = snapshot(paths.output)
    assert statuses(list(metadata_store(project))) == [("metadata store", "ok")]
    assert snapshot(paths.output) == before
    (paths.artifacts / "Transform" / "examples" / "2" / "schema.txt").unlink()
    before = snapshot(paths.output)
    (found,) = metadata_store(project)
    assert (found.status, found.text) == ("warn", "files of 1 result are missing (of Transform)")
    assert snapshot(paths.output) == before


@pytest.mark.parametrize("damage", ["cut", "text", "folder", "other"])
def test_a_damaged_store_is_a_finding(damage: str, project: Project) -> None:
    paths = project.paths
    paths.output.mkdir()
    fill(paths)
    if damage == "cut":
        paths.metadata.write_bytes(paths.metadata.read_bytes()[:5000])
    elif damage == "text":
        paths.metadata.write_text("SQLite, but not really")
    else:
        paths.metadata.unlink()
        if damage == "folder":
            paths.metadata.mkdir()
        else:
            with sqlite3.connect(paths.metadata) as other:
                other.execute("CREATE TABLE mine (x)")
    (found,) = metadata_store(project)
    assert found.status == "error"
    assert found.remedy


def test_what_a_killed_program_left_unfinished_is_not_undone(project: Project) -> None:
    paths = project.paths
    paths.output.mkdir()
    fill(paths)
    journal = paths.output / f"{paths.metadata.name}-journal"
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    before = snapshot(paths.output)
    (found,) = metadata_store(project)
    assert found.status == "note"
    assert str(journal) in found.text
    assert snapshot(paths.output) == before


def test_how_the_last_run_ended(project: Project) -> None:
    assert "none yet" in next(last_run(project)).text
    RunRecord("1", "failed", "", {}, step="Trainer", error="x\n  got: y", seconds=3).save(project.paths)
    (found,) = last_run(project)
    assert found.text == "1: failed at Trainer, 3 s: x got: y"
    (project.paths.runs / "2").mkdir()
    (project.paths.runs / "2" / "run.json").write_text("{")
    (found,) = last_run(project)
    assert found.text.startswith("2: unreadable, 0 s, the last of 2 runs")
    assert found.status == "note"
