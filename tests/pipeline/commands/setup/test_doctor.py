"""`transom doctor`, as a user calls it. TensorFlow's answer takes some 5 seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from doctor_projects import make_project, snapshot

from pipeline.cli import main

LIGHT = """
import sys
from pipeline.cli import main
main(["doctor", sys.argv[1]])
print([name for name in ("tensorflow", "keras", "tfx", "apache_beam", "jax", "torch") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def no_other_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path / "none"))


def test_a_whole_examination_loads_no_framework_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    make_project(folder)
    before = snapshot(folder)
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(folder)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    *report, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert f"using {folder / 'transom.yaml'}" in done.stderr
    assert any(line.startswith("  ✓ tensorflow       2.") for line in report)
    assert any(line.startswith("  ✓ auto             an encoder from scratch: ") for line in report)
    assert snapshot(folder) == before


def test_an_error_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.doctor.examination._start_queries", lambda project: {})  # it takes seconds
    project = make_project(tmp_path, data={"path": "missing.csv"})
    assert main(["doctor", str(project.file), "--json", "--tf-serving", "2.19"]) == 1
    *found, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = {one["check"]: one for one in found if one["status"] == "error"}
    assert {"tables", "TF Serving"} <= set(wrong)
    assert all(one["remedy"] for one in wrong.values())
    assert last["summary"]["exit_code"] == 1
    assert last["summary"]["error"] == len([one for one in found if one["status"] == "error"])


@pytest.mark.parametrize("version", ["", "latest", "2", "2.x", "-1.0", "2.20.0.0", "２.20"])
def test_a_version_of_tf_serving_that_is_none(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", f"--tf-serving={version}"])
    assert stop.value.code == 2
    assert "expected a version such as" in capsys.readouterr().err
