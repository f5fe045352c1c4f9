"""A run is recognized as the last one's repetition only if nothing differs on which any step depends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from metadata_stores import connect
from ml_metadata.proto import metadata_store_pb2 as pb

from components.evaluation.verdict import NOTHING_LIVE
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from pipeline.runs import unchanged
from pipeline.runs.run_records import RunRecord, StepRecord

CONFIG = "name: tiny\noutput: out\ndata: {path: '*.csv', schema_path: schema.pbtxt}\nmodel: {preset: encoder}\n"


@pytest.fixture
def project(tmp_path: Path) -> tuple[ProjectConfig, Paths]:
    (tmp_path / "t.csv").write_text("text,label\na,x\n")
    (tmp_path / "schema.pbtxt").write_text("")
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    (tmp_path / "transom.yaml").write_text(CONFIG)
    return read(tmp_path)


def read(folder: Path, *overrides: str) -> tuple[ProjectConfig, Paths]:
    config = load(folder / "transom.yaml", list(overrides))
    return config, Paths.from_config(config, folder / "transom.yaml")


def push(paths: Paths, version: int, content: str = "model") -> None:
    folder = paths.push / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)


def run_of(paths: Paths, status: str = "pushed", **values: object) -> RunRecord:
    record = RunRecord(name="1", status=status, started="", config={}, pushed=str(paths.push / "1"))
    record.steps = [StepRecord("ExampleGen", "done", 1.0), StepRecord("Pusher", "done", 1.0)]
    record.evaluation = {"blessed": True, "notes": [NOTHING_LIVE, "no test split"]}
    for name, value in values.items():
        setattr(record, name, value)
    record.save(paths)
    return record


def write_store(paths: Paths) -> list[int]:
    """TFX's store with two artifacts; their numbers."""
    paths.output.mkdir(exist_ok=True)
    store = connect(paths)
    kind = store.put_artifact_type(pb.ArtifactType(name="Any"))
    made = [pb.Artifact(type_id=kind, uri=f"/{name}", state=pb.Artifact.LIVE) for name in "ab"]
    return list(store.put_artifacts(made))


def remembered(project: tuple[ProjectConfig, Paths], to_step: str | None = None, **values: object) -> str:
    config, paths = project
    push(paths, 1)
    inputs = unchanged.digest_inputs(config, paths)
    assert inputs is not None
    unchanged.remember(inputs, run_of(paths, **values), config, paths, write_store(paths), to_step)
    return inputs


def test_a_repetition_has_the_result_without_the_work(project: tuple[ProjectConfig, Paths]) -> None:
    inputs = remembered(project)
    former = unchanged.recall(inputs, project[1])
    assert former is not None
    record = RunRecord(name="2", status="running", started="now", config={})
    unchanged.repeat(former, record)
    assert (record.name, record.status, record.pushed) == ("2", "unchanged", former.pushed)
    assert [(step.name, step.status) for step in record.steps] == [("ExampleGen", "cached"), ("Pusher", "cached")]
    assert record.evaluation["notes"][0].startswith("this model is live already, as version 1")
    assert record.evaluation["notes"][1:] == ["no test split"]


CHANGES: dict[str, Callable[[Path], object]] = {
    "a row": lambda folder: (folder / "t.csv").write_text("text,label\na,y\n"),
    "a file": lambda folder: (folder / "u.csv").write_text("text,label\na,x\n"),
    "the schema": lambda folder: (folder / "schema.pbtxt").write_text("# "),
    "the preset": lambda folder: (folder / "encoder" / "config.json").write_text("{ }"),
    "a file of the preset": lambda folder: (folder / "encoder" / "vocabulary.txt").write_text("a"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_any_changed_file_runs_the_steps(project: tuple[ProjectConfig, Paths], change: str) -> None:
    inputs = remembered(project)
    CHANGES[change](project[1].base)
    assert unchanged.digest_inputs(*project) != inputs


@pytest.mark.parametrize("override", ["train.epochs=7", "push.keep=9", "name=other", "gate.drift_threshold=0.5"])
def test_any_changed_setting_runs_the_steps(project: tuple[ProjectConfig, Paths], override: str) -> None:
    inputs = remembered(project)
    assert unchanged.digest_inputs(*read(project[1].base, override)) not in (None, inputs)


def test_changed_code_and_another_package_run_the_steps(
    project: tuple[ProjectConfig, Paths], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = unchanged.digest_inputs(*project)
    installed = tmp_path / "site-packages"
    (installed / "other-1.0.dist-info").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(unchanged.sysconfig, "get_path", lambda name: str(installed))
        assert unchanged.digest_inputs(*project) != before
    with monkeypatch.context() as patched:
        patched.setattr(unchanged, "_PACKAGES", ("pipeline", "components", "models", "serving"))
        assert unchanged.digest_inputs(*project) != before
    assert unchanged.digest_inputs(*project) == before


@pytest.mark.parametrize("change", ["deleted", "made anew", "no store"])
def test_the_runs_artifacts_must_still_be_live(project: tuple[ProjectConfig, Paths], change: str) -> None:
    inputs, paths = remembered(project), project[1]
    assert unchanged.recall(inputs, paths) is not None
    if change == "deleted":  # by a check that found a file missing
        store = connect(paths)
        (artifact, _) = store.get_artifacts()
        artifact.state = pb.Artifact.DELETED
        store.put_artifacts([artifact])
    else:
        paths.metadata.unlink()
        if change == "made anew":
            time.sleep(0.01)
            write_store(paths)
    assert unchanged.recall(inputs, paths) is None


def test_each_last_step_is_remembered_by_itself(project: tuple[ProjectConfig, Paths]) -> None:
    config, paths = project
    inputs = remembered(project)
    partial = run_of(paths, name="2", status="finished", pushed="")
    partial.steps[1].status = "skipped"
    partial.save(paths)
    unchanged.remember(inputs, partial, config, paths, [1], "ExampleGen")
    former, whole = unchanged.recall(inputs, paths, "ExampleGen"), unchanged.recall(inputs, paths)
    assert former is not None
    assert whole is not None
    assert (former.name, whole.name) == ("2", "1")
    assert unchanged.recall(inputs, paths, "Trainer") is None
    record = RunRecord(name="3", status="running", started="now", config={})
    unchanged.repeat(former, record)
    assert (record.status, [step.status for step in record.steps]) == ("unchanged", ["cached", "skipped"])


@pytest.mark.parametrize(
    "damage", [{"evaluation": "x"}, {"steps": []}, {"notes": {}}, {"findings": None}, {"edge": []}]
)
def test_a_damaged_record_is_not_repeated(project: tuple[ProjectConfig, Paths], damage: dict[str, object]) -> None:
    inputs, paths = remembered(project), project[1]
    file = paths.runs / "1" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))
    assert unchanged.recall(inputs, paths) is None


def test_what_is_live_must_be_what_the_run_left(project: tuple[ProjectConfig, Paths]) -> None:
    inputs, paths = remembered(project), project[1]
    (paths.push / "1" / "saved_model.pb").write_text("another")
    assert unchanged.recall(inputs, paths) is None
    (paths.push / "1" / "saved_model.pb").write_text("model")
    assert unchanged.recall(inputs, paths) is not None
    push(paths, 2)
    assert unchanged.recall(inputs, paths) is None


def test_the_edge_bundle_must_be_what_the_run_left(project: tuple[ProjectConfig, Paths]) -> None:
    bundle = project[1].edge / "1"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}")
    (bundle / "model.tflite").write_text("model")
    inputs = remembered(project)
    assert unchanged.recall(inputs, project[1]) is not None
    (bundle / "model.tflite").write_text("another")
    assert unchanged.recall(inputs, project[1]) is None


@pytest.mark.parametrize(
    "values",
    [
        {"status": "failed"},
        {"status": "finished"},
        {"status": "not blessed", "step": "ServingGate"},  # perhaps for a reason that passes
        {"findings": [{"rule": "drift"}]},  # the next run compares with another model
        {"edge": {"blessed": False, "again": True}},
        {"steps": [StepRecord("ExampleGen", "skipped")]},
    ],
)
def test_a_run_that_the_next_may_not_repeat_is_not_remembered(
    project: tuple[ProjectConfig, Paths], values: dict[str, object]
) -> None:
    assert unchanged.recall(remembered(project, **values), project[1]) is None
    assert not (project[1].output / unchanged.FILE_NAME).exists()


def test_inputs_that_changed_during_the_run_are_not_remembered(project: tuple[ProjectConfig, Paths]) -> None:
    config, paths = project
    before = unchanged.digest_inputs(config, paths)
    (paths.base / "t.csv").write_text("text,label\na,y\n")
    unchanged.remember(before, run_of(paths), config, paths, write_store(paths))
    assert not (paths.output / unchanged.FILE_NAME).exists()


def test_a_refusal_is_repeated(project: tuple[ProjectConfig, Paths]) -> None:
    inputs = remembered(project, status="not blessed", step="Evaluator", verdict="not blessed: accuracy 0.5")
    former = unchanged.recall(inputs, project[1])
    assert former is not None
    record = RunRecord(name="2", status="running", started="now", config={})
    unchanged.repeat(former, record)
    assert (record.status, record.verdict) == ("not blessed", "not blessed: accuracy 0.5")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"inputs": 1, "live": [], "run": "1"}'])
def test_a_damaged_memory_is_none(project: tuple[ProjectConfig, Paths], content: str) -> None:
    inputs = remembered(project)
    (project[1].output / unchanged.FILE_NAME).write_text(content)
    assert unchanged.recall(inputs, project[1]) is None


def test_files_that_another_may_change_are_asked_for_each_time(project: tuple[ProjectConfig, Paths]) -> None:
    assert unchanged.digest_inputs(*read(project[1].base, "model.preset=hf://someone/encoder")) is None
    (project[1].base / "t.csv").unlink()
    assert unchanged.digest_inputs(*project) is None


def test_it_loads_neither_tensorflow_nor_tfx(repository: Path) -> None:
    program = "import sys, pipeline.runs.pipeline_run; print([name for name in %r if name in sys.modules])"
    names = ["tensorflow", "tfx", "keras", "tensorflow_model_analysis", "tensorflow_data_validation", "apache_beam"]
    command = [sys.executable, "-c", program % names]
    assert subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout == "[]\n"
