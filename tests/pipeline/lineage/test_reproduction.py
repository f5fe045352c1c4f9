"""What stops a reproduction before it begins, and what it says at its end. `e2e/test_lineage.py` trains models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from written_lineages import DIGEST, facts, lineage, version

from pipeline.cli import main
from pipeline.lineage.reproduction import DIFFERENT, IDENTICAL, OTHER_GRAPH, _base, _lines
from pipeline.lineage.weight_comparison import VariableDifference


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_tables_end_it_with_the_error_for_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = version(tmp_path / "7", facts(tmp_path / "project"))
    (tmp_path / "project" / "t.csv").write_text("text,label\n")
    before = everything(tmp_path)
    assert main(["reproduce", str(folder), "--into", str(tmp_path / "again")]) == 3
    assert "t.csv has 11 bytes instead of" in capsys.readouterr().err
    assert everything(tmp_path) == before
    assert not (tmp_path / "again").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = version(tmp_path / "7", facts(tmp_path / "project"))
    before = everything(tmp_path)
    assert main(["reproduce", str(folder), "--into", str(tmp_path / "project")]) == 2
    assert "which is not empty" in capsys.readouterr().err
    assert main(["reproduce", str(folder), "--data", str(tmp_path / "absent")]) == 2
    assert everything(tmp_path) == before


def test_a_setting_of_another_version_is_a_configuration_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = facts(tmp_path / "project")
    content["config"]["train"]["optimizer"] = "sgd"
    assert main(["reproduce", str(version(tmp_path / "7", content)), "--into", str(tmp_path / "again")]) == 2
    assert "train.optimizer" in capsys.readouterr().err


def test_a_version_without_a_lineage_is_a_model_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = version(tmp_path / "7", None)
    (folder / "assets.extra" / "transom.json").write_text(json.dumps({"name": "old"}))
    assert main(["reproduce", str(folder)]) == 7
    assert "does not say how it was made" in capsys.readouterr().err


def test_tables_are_looked_for_in_the_original_folder_else_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, current, given = (tmp_path / name for name in ("original", "current", "given"))
    for folder in (current, given):
        folder.mkdir()
    monkeypatch.chdir(current)
    found = lineage(original)
    assert _base(found, None) == original
    assert _base(found, Path(os.path.relpath(given))) == given
    (original / "t.csv").unlink()
    original.rmdir()
    assert _base(found, None) == current


def test_each_result_says_what_is_the_same(tmp_path: Path) -> None:
    found = lineage(tmp_path)
    same = _lines(found, IDENTICAL, 9, [], (DIGEST, DIGEST))
    assert same[0] == "identical: all 9 variables have the same bits, and the graph computes the same"
    graph = _lines(found, OTHER_GRAPH, 9, [], (DIGEST, "6" * 64))
    assert "but another graph" in graph[1]
    worst = [VariableDifference(f"weights/{n} (a\x1b[2J)", "other values", 0.5, 3) for n in range(20)]
    shown = _lines(found, DIFFERENT, 30, worst, ("7" * 64, "6" * 64))
    assert "have been changed" in shown[0]
    assert shown[1].startswith("different: 20 of 30 variables")
    assert shown[2] == r"  weights/0 (a\x1b[2J): 0.5 (3 values)"
    assert shown[-1] == "  and 8 more: see --json"
