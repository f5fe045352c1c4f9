"""What a clean-up removes, and what it never does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from metadata_stores import connect
from ml_metadata.proto import metadata_store_pb2 as pb

from models.errors import ConfigError
from pipeline.paths import Paths
from pipeline.runs.store import metadata_check
from pipeline.runs.store.clean_up import find_leftovers, remove


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    """Three runs: the first pushed version 7, which is live; the second shares the rows of the first."""
    paths = Paths(base=tmp_path, output=tmp_path / "out", push=tmp_path / "push", edge=tmp_path / "edge")
    paths.artifacts.mkdir(parents=True)
    (paths.push / "7").mkdir(parents=True)
    (paths.push / "7" / "saved_model.pb").write_text("model")
    store = connect(paths)
    artifact = store.put_artifact_type(pb.ArtifactType(name="Any"))
    step = store.put_execution_type(pb.ExecutionType(name="components.steps.trainer.Trainer"))
    run = store.put_context_type(pb.ContextType(name="pipeline_run"))
    whole = store.put_context_type(pb.ContextType(name="pipeline"))
    (pipeline,) = store.put_contexts([pb.Context(type_id=whole, name="tiny")])
    rows = 0
    for number, version in ((1, "7"), (2, "6"), (3, "")):
        (context,) = store.put_contexts([pb.Context(type_id=run, name=f"run {number}")])
        (execution,) = store.put_executions([pb.Execution(type_id=step, last_known_state=pb.Execution.COMPLETE)])
        contexts = [pb.Association(context_id=one, execution_id=execution) for one in (context, pipeline)]
        store.put_attributions_and_associations([], contexts)
        folder = paths.artifacts / "Pusher" / "pushed_model" / str(execution)
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 5000)
        made = pb.Artifact(type_id=artifact, uri=str(folder), state=pb.Artifact.LIVE)
        if version:
            made.custom_properties["pushed_version"].string_value = version
        (one,) = store.put_artifacts([made])
        rows = rows or one
        events = [pb.Event(artifact_id=one, execution_id=execution, type=pb.Event.OUTPUT)]
        if number == 2:
            events.append(pb.Event(artifact_id=rows, execution_id=execution, type=pb.Event.INPUT))
        store.put_events(events)
    return paths


def names(paths: Paths, runs: int) -> dict[str, str]:
    return {one.folder.name: one.why for one in find_leftovers(paths, runs)}


def test_what_the_last_runs_and_the_live_version_need_stays(project: Paths) -> None:
    assert names(project, 3) == names(project, 2) == {}
    assert names(project, 1) == {"2": "of earlier runs"}
    shutil.rmtree(project.push / "7")
    assert names(project, 2) == {}, "the second run has used the rows of the first"
    assert names(project, 1) == {"1": "of earlier runs", "2": "of earlier runs"}


def test_what_is_removed_is_no_longer_found_by_the_cache(project: Paths) -> None:
    (project.artifacts / "Trainer" / "model" / "3").mkdir(parents=True)
    temporary = project.artifacts / "Trainer" / ".system" / "executor_execution" / "3" / ".temp"
    temporary.mkdir(parents=True)
    found = find_leftovers(project, 1)
    assert {one.why for one in found} == {
        "of earlier runs",
        "of a step that did not end",
        "temporary files of a run that was killed",
    }
    assert sum(one.size for one in found) >= 5000
    remove(found, project)
    assert not any(one.folder.exists() for one in found)
    assert (project.push / "7" / "saved_model.pb").exists()
    assert metadata_check.check(project) == []
    states = {Path(one.uri).name: one.state for one in connect(project).get_artifacts()}
    assert states == {"1": pb.Artifact.LIVE, "2": pb.Artifact.DELETED, "3": pb.Artifact.LIVE}
    assert find_leftovers(project, 1) == []


def contents(paths: Paths) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in paths.output.rglob("*") if path.is_file()}


def test_looking_changes_nothing(project: Paths) -> None:
    shutil.rmtree(project.artifacts / "Pusher" / "pushed_model" / "3")
    (project.artifacts / "Pusher" / "pushed_model" / "2" / "file").unlink()
    metadata_check.seal(project)
    before = contents(project)
    assert names(project, 3) == {"2": "no longer valid"}
    assert contents(project) == before
    assert metadata_check.check(project) == ["Pusher"], "the next run still notices what is missing"


def test_a_project_that_was_moved_is_left_as_it_is(project: Paths, tmp_path: Path) -> None:
    moved = Paths(base=tmp_path, output=tmp_path / "moved", push=project.push, edge=project.edge)
    project.output.rename(moved.output)
    before = contents(moved)
    with pytest.raises(ConfigError, match="cannot be cleaned up") as caught:
        find_leftovers(moved, 1)
    assert str(project.output) in caught.value.got
    assert contents(moved) == before
    assert metadata_check.check(moved) == ["Pusher"]  # as a run does
    assert set(names(moved, 1).values()) == {"no longer valid"}


def test_a_copy_of_a_project_leaves_the_original_alone(project: Paths, tmp_path: Path) -> None:
    copy = Paths(base=tmp_path, output=tmp_path / "copy", push=project.push, edge=project.edge)
    shutil.copytree(project.output, copy.output)
    found = find_leftovers(copy, 3)
    original = project.artifacts / "Pusher" / "pushed_model"
    why = "a copy: the results in use are in"
    assert {one.folder.name: one.why for one in found} == {name: f"{why} {original / name}" for name in ("1", "2", "3")}
    before = contents(project)
    remove(found, copy)
    assert contents(project) == before
    assert metadata_check.check(copy) == [], "its records still name the original's results"


def test_runs_without_a_model_displace_none(project: Paths) -> None:
    store = connect(project)
    run, step = store.get_context_type("pipeline_run"), store.put_execution_type(pb.ExecutionType(name="ExampleGen"))
    for number in range(4, 10):
        (context,) = store.put_contexts([pb.Context(type_id=run.id, name=f"run {number}")])
        (execution,) = store.put_executions([pb.Execution(type_id=step, last_known_state=pb.Execution.FAILED)])
        store.put_attributions_and_associations([], [pb.Association(context_id=context, execution_id=execution)])
    assert names(project, 2) == {}
    assert names(project, 1) == {"2": "of earlier runs"}


def test_an_interrupted_removal_is_completed_by_the_next(project: Paths) -> None:
    found = find_leftovers(project, 1)
    remove(found, project)
    found[0].folder.mkdir()
    assert names(project, 1) == {"2": "no longer valid"}


def test_a_project_without_runs_has_no_leftovers(tmp_path: Path) -> None:
    paths = Paths(base=tmp_path, output=tmp_path / "out", push=tmp_path / "push", edge=tmp_path / "edge")
    assert find_leftovers(paths, 1) == []
