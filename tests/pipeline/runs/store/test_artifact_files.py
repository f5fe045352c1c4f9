"""Artifacts whose files are gone or changed: the steps that wrote them run again."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from metadata_stores import STEPS, connect, fill
from ml_metadata.proto import metadata_store_pb2 as pb

from components.artifacts import MEASURE_AGAIN
from pipeline.paths import Paths
from pipeline.runs.store import metadata_check


@pytest.mark.parametrize(
    ("removed", "steps"),
    [
        ("", ["ExampleGen", "LiveModel", "Transform"]),
        ("Transform", ["Transform"]),
        ("Transform/examples/2", ["Transform"]),
        ("Transform/examples/2/Split-train", ["Transform"]),
        ("ExampleGen/examples/1/schema.txt", ["ExampleGen"]),
        ("LiveModel/examples/3", ["LiveModel"]),
    ],
)
def test_missing_artifacts_are_produced_again(paths: Paths, removed: str, steps: list[str]) -> None:
    place = paths.artifacts / removed
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert metadata_check.check(paths) == steps
    states = {Path(one.uri).parts[-3]: one.state for one in connect(paths).get_artifacts()}
    assert {step for step, state in states.items() if state == pb.Artifact.DELETED} == set(steps)
    assert metadata_check.check(paths) == []  # reported once


def test_a_refusal_of_the_moment_is_not_taken_from_the_cache(paths: Paths) -> None:
    assert metadata_check.AGAIN == MEASURE_AGAIN
    made = connect(paths)
    refused, stands = made.get_artifacts_by_id([1, 2])
    refused.custom_properties[MEASURE_AGAIN].int_value, stands.custom_properties[MEASURE_AGAIN].int_value = 1, 0
    made.put_artifacts([refused, stands])
    assert metadata_check.check(paths) == []
    states = {one.id: one.state for one in connect(paths).get_artifacts()}
    assert states == {1: pb.Artifact.DELETED, 2: pb.Artifact.LIVE, 3: pb.Artifact.LIVE}


def test_artifacts_of_a_moved_project_are_produced_again(paths: Paths) -> None:
    """The store holds absolute paths, which still lead to the old place."""
    moved = replace(paths, output=paths.output.with_name("moved"))
    paths.output.rename(moved.output)
    try:
        assert metadata_check.check(moved) == sorted(STEPS)
    finally:
        moved.output.rename(paths.output)


def test_missing_artifacts_behind_a_link_are_produced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TFX uses a link if the folder's name is a pattern; see `Paths.root`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = Paths(base=tmp_path, output=tmp_path / "out [v2]", push=tmp_path / "p", edge=tmp_path / "e")
    paths.output.mkdir()
    paths.make_root()
    fill(paths)
    with sqlite3.connect(paths.metadata) as made:
        old_and_new = (f"{paths.artifacts}/", f"{paths.root}/")
        made.execute("UPDATE Artifact SET uri = replace(uri, ?, ?)", old_and_new)
    made.close()
    assert metadata_check.check(paths) == []
    shutil.rmtree(paths.artifacts / "Transform")
    with pytest.raises(FileNotFoundError) as missing:
        (paths.root / "Transform/examples/2/schema.txt").read_text()
    explained = metadata_check.explain_store_error(missing.value, paths)
    assert explained is not None
    assert f"remove {paths.artifacts}/Transform/examples/2, and run again" in explained.fix
    assert metadata_check.check(paths) == ["Transform"]


def test_emptied_or_truncated_artifacts_are_produced_again(paths: Paths) -> None:
    (paths.artifacts / "ExampleGen/examples/1/Split-train/rows.gz").write_text("row")
    for path in sorted((paths.artifacts / "Transform/examples/2").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert metadata_check.check(paths) == ["ExampleGen", "Transform"]


def test_what_an_older_version_wrote_is_whole_where_there_is_a_file(paths: Paths) -> None:
    shutil.rmtree(paths.artifacts / ".files")
    assert metadata_check.check(paths) == ["LiveModel"]  # an empty folder, which is quickly copied again


def test_files_that_came_later_harm_nothing(paths: Paths) -> None:
    (paths.artifacts / "Transform/examples/2/notes.txt").write_text("mine")
    assert metadata_check.check(paths) == []
