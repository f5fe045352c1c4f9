from __future__ import annotations

from pathlib import Path

import pytest
from doctor_projects import ROWS, make_project

from pipeline.doctor.disk_need import disk_need


def put(file: Path, size: int) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(size))


def test_before_the_first_run_it_is_an_estimate_from_the_tables(tmp_path: Path) -> None:
    need = disk_need(make_project(tmp_path))
    assert need.bytes == 100_000_000 + 5 * len(ROWS)
    assert not need.is_measured


def test_a_presets_weights_count(tmp_path: Path) -> None:
    project = make_project(tmp_path, model={"type": "preset", "preset": "./mine"})
    without = disk_need(project).bytes
    put(tmp_path / "mine" / "model.safetensors", 1000)
    (tmp_path / "mine" / "other.bin").write_bytes(bytes(7))
    assert disk_need(project).bytes == without + 8 * 1000


@pytest.mark.parametrize("path", ["missing.csv", "s3://bucket/t.csv"])
def test_tables_that_are_not_there_count_nothing(path: str, tmp_path: Path) -> None:
    assert disk_need(make_project(tmp_path, data={"path": path})).bytes == 100_000_000


def test_after_a_run_it_is_the_size_of_the_newest_results(tmp_path: Path) -> None:
    paths = make_project(tmp_path).paths
    put(paths.artifacts / "Trainer" / "model" / "9" / "old", 5000)
    put(paths.artifacts / "Trainer" / "model" / "10" / "deep" / "new", 300)
    put(paths.artifacts / "Transform" / "rows" / "2" / "rows", 20)
    put(paths.artifacts / "Transform" / "rows" / "tmp" / "no", 9000)
    put(paths.push / "1" / "saved_model.pb", 7000)
    put(paths.push / "2" / "saved_model.pb", 1)
    (paths.artifacts / "Transform" / "rows" / "2" / "dangling").symlink_to("nowhere")
    need = disk_need(make_project(tmp_path))
    assert need.is_measured
    assert need.bytes == 300 + 20 + 1 + len("nowhere")
