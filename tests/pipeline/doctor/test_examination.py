from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doctor_projects import make_project, snapshot

from pipeline.doctor import examination
from pipeline.doctor.device_queries import Query
from pipeline.doctor.examination import examine

WITHOUT_PACKAGES = "import sys; from pipeline.cli import main; sys.exit(main(['doctor', '--json']))"


@pytest.fixture(autouse=True)
def no_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frameworks are asked in other tests: it takes seconds."""
    monkeypatch.setattr(examination, "_start_queries", lambda project: {})


def examined(folder: Path | None, **options: Any) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    stream = io.StringIO()
    code = examine(folder, [], stream, tf_serving="2.20", as_json=True, **options)
    *found, last = [json.loads(line) for line in stream.getvalue().splitlines()]
    return code, found, last["summary"]


def test_a_project_is_examined_and_left_as_it_is(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    before = snapshot(tmp_path)
    _, found, summary = examined(project.file)
    groups = list(dict.fromkeys(one["group"] for one in found))
    assert groups == ["machine", "installation", "project", "serving", "kubeflow", "accelerators"]
    assert summary["project"] == str(project.file)
    assert snapshot(tmp_path) == before


def test_without_a_project_the_rest_is_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, found, summary = examined(None)
    assert summary["project"] is None
    assert {one["group"] for one in found} == {"machine", "installation", "project", "serving", "accelerators"}
    (configuration,) = (one for one in found if one["group"] == "project")
    assert configuration["status"] == "note"
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_configuration_does_not_hide_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "transom.yaml"
    file.write_text("data: {path: t.csv}\nfoo: 1\n")
    code, found, _ = examined(file)
    assert code == 1
    assert {one["check"] for one in found} >= {"glibc", "lock", "configuration", "ports", "hardware"}


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_warnings_count_only_if_asked_to(
    strict: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    got, found, summary = examined(make_project(tmp_path).file, strict=strict)
    assert summary["warn"] > 0
    assert [one for one in found if one["status"] == "error"] == []
    assert got == code


def test_what_a_framework_printed_is_shown_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(_: object) -> dict[str, Query]:
        command = [sys.executable, "-c", "import sys; sys.exit('no GPU, says the driver')"]
        return {"tensorflow": Query(command, os.environ)}

    monkeypatch.setattr(examination, "_start_queries", start)
    file = make_project(tmp_path).file
    for verbose in (True, False):
        code, found, _ = examined(file, verbose=verbose)
        assert code == 1
        assert "no GPU" in next(one for one in found if one["check"] == "tensorflow")["text"]
        assert ("no GPU, says the driver" in capsys.readouterr().err) == verbose


def test_checks_that_cannot_even_be_listed_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("broken")

    monkeypatch.setattr("pipeline.doctor.checks.storage_checks.checks", fail)
    _, found, _ = examined(make_project(tmp_path).file)
    machine = next(one for one in found if one["check"] == "machine")
    assert machine["text"].startswith("could not be checked: ImportError: broken (")
    assert "lock" in {one["check"] for one in found}


def test_a_current_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before = os.getcwd()
    os.chdir(gone)
    gone.rmdir()
    try:
        code, found, _ = examined(None)
    finally:
        os.chdir(before)
    assert code in (0, 1)
    assert any("could not be checked" in one["text"] for one in found)
    assert "processor" in {one["check"] for one in found}


def test_without_any_installed_package_it_still_tells_what_is_missing(tmp_path: Path, repository: Path) -> None:
    """Python alone, without its site-packages; TensorFlow's child ends at once, as it has none either."""
    environment = {"PYTHONPATH": str(repository), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    command = [str(python), "-S", "-P", "-c", WITHOUT_PACKAGES]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    missing = next(one for one in found if one["check"] == "lock")
    assert missing["status"] == "error"
    assert missing["text"].startswith("not installed: absl-py, ")
    assert next(one for one in found if one["check"] == "configuration")["status"] in ("note", "warn")
