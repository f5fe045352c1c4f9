"""`transom run` before and around the graph."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx.types.standard_artifacts import PushedModel

from models.errors import ConfigError, DataError, GateError, NotBlessedError, PresetError, PushError, TrainingError
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from pipeline.runs import pipeline_run
from pipeline.runs.interruption import Interruption, interruptible
from pipeline.runs.pipeline_run import _print, _recorded, run
from pipeline.runs.run_outcome import set_status
from pipeline.runs.run_recorder import RunRecorder
from pipeline.runs.run_records import RunRecord, StepRecord, all_runs
from pipeline.terminal.console import View


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Nope", None, "one of ExampleGen"),
        (None, "trainer", "did you mean Trainer?"),
        ("Trainr", None, "did you mean Trainer?"),
        ("Trainer", "ExampleGen", "Trainer, which comes after ExampleGen"),
    ],
)
def test_steps_that_make_no_run(tmp_path: Path, first: str | None, last: str | None, expected: str) -> None:
    config = tmp_path / "transom.yaml"
    config.write_text("data: {path: none.csv}\n")
    with pytest.raises(ConfigError) as caught:
        run(config, [], from_step=first, to_step=last)
    assert expected in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["transom.yaml"]


def _project(folder: Path, table: str) -> Path:
    (folder / "t.csv").write_text(table)
    config = folder / "transom.yaml"
    config.write_text("name: p\ndata: {path: t.csv}\n")
    return config


ONE_CLASS = "text,label\n" + "".join(f"some words {number},a\n" for number in range(60))


@pytest.mark.parametrize(
    ("table", "overrides", "error", "step", "expected"),
    [
        (ONE_CLASS, [], GateError, "DataGate", "one_class"),
        (ONE_CLASS, ["data.path=none.csv"], DataError, "checks", "none.csv"),
        (ONE_CLASS, ["task.text=nope"], DataError, "checks", "nope"),
        (ONE_CLASS, ["push.directory=/proc/x"], ConfigError, "checks", "push.directory"),
        (ONE_CLASS, ["model.preset=none"], PresetError, "checks", "none"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_stopped_before_its_first_step_leaves_a_record(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    table: str,
    overrides: list[str],
    error: type[Exception],
    step: str,
    expected: str,
    as_json: bool,
) -> None:
    config = _project(tmp_path, table)
    with pytest.raises(error):
        run(config, overrides, as_json=as_json)
    (record,) = all_runs(Paths.from_config(load(config), config))
    assert (record.status, record.step) == ("failed", step)
    assert expected in record.error
    assert record.started <= record.ended
    shown = capsys.readouterr().out
    assert record.name in shown
    assert not as_json or json.loads(shown)["error"] == record.error


TWO_CLASSES = "text,label\n" + "".join(f"some words {number},{'ab'[number % 2]}\n" for number in range(200))


def test_the_compile_cache_is_chosen_when_what_it_depends_on_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(pipeline_run, "prepare", lambda onednn: calls.append("prepare"))
    monkeypatch.setattr(pipeline_run.compile_cache, "use", lambda onednn, folder: calls.append("use"))
    monkeypatch.setattr(RunRecorder, "run", lambda self, *given: None)
    assert run(_project(tmp_path, TWO_CLASSES), []) == 0
    assert calls == ["prepare", "use"]


def test_a_tensorflow_loaded_otherwise_stops_the_run_with_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(onednn: str) -> None:
        raise TrainingError("TensorFlow was loaded with other settings")

    monkeypatch.setattr(pipeline_run, "prepare", refuse)
    config = _project(tmp_path, TWO_CLASSES)
    with pytest.raises(TrainingError):
        run(config, [], as_json=True)
    assert json.loads(capsys.readouterr().out)["status"] == "failed"
    assert all_runs(Paths.from_config(load(config), config))[0].step == "checks"


def test_without_room_for_a_record_nothing_is_left(tmp_path: Path) -> None:
    config = _project(tmp_path, ONE_CLASS)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="output"):
        run(config, ["output=file"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "t.csv", "transom.yaml"]


@pytest.mark.parametrize("expected", ["", "interrupted in Trainer, after 3 s"])
def test_an_interruption_leaves_a_record_of_the_step_and_the_reason(tmp_path: Path, expected: str) -> None:
    paths = Paths(base=tmp_path, output=tmp_path, push=tmp_path / "push", edge=tmp_path / "edge")
    record = RunRecord(name="1", status="running", started="2026-01-01 00:00:00", config={})
    record.steps.append(StepRecord("Trainer", "running"))
    record.error = expected
    with pytest.raises(KeyboardInterrupt), interruptible(), _recorded(record, paths):
        signal.raise_signal(signal.SIGTERM)
    (read,) = all_runs(paths)
    assert (read.status, read.step) == ("interrupted", "Trainer")
    assert (expected or "SIGTERM") in read.error


def test_a_reader_that_has_gone_does_not_hide_how_a_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON is printed while the interruption propagates, which must not turn into a BrokenPipeError."""
    paths = Paths(base=tmp_path, output=tmp_path, push=tmp_path / "push", edge=tmp_path / "edge")
    read, write = os.pipe()
    os.close(read)
    real, stream = os.dup(1), os.fdopen(write, "w", buffering=1)
    monkeypatch.setattr(sys, "stdout", stream)
    try:
        _print(RunRecord(name="1", status="interrupted", started="", config={}), paths, as_json=True)
    finally:
        os.dup2(real, 1)
        os.close(real)
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def test_a_mistake_of_ours_leaves_a_record(tmp_path: Path) -> None:
    paths = Paths(base=tmp_path, output=tmp_path, push=tmp_path / "push", edge=tmp_path / "edge")
    record = RunRecord(name="1", status="running", started="", config={})
    with pytest.raises(ZeroDivisionError), _recorded(record, paths):
        1 / 0  # noqa: B018
    (read,) = all_runs(paths)
    assert (read.status, read.step) == ("failed", "checks")
    assert "ZeroDivisionError" in read.error


class _Graph(RunRecorder):
    """A recorder whose steps end as the test sets."""

    wrote: Path
    fails: BaseException

    def _run(self, config: object, from_step: str | None, to_step: str | None) -> None:
        self.record.steps.append(StepRecord("Pusher", "failed"))
        self._outputs["Evaluator"] = {"evaluation": SimpleNamespace(uri=str(self.wrote))}
        raise self.fails


@pytest.fixture
def graph(tmp_path: Path) -> _Graph:
    paths = Paths(base=tmp_path, output=tmp_path / "out", push=tmp_path / "push", edge=tmp_path / "edge")
    graph = _Graph(
        RunRecord(name="1", status="running", started="", config={}),
        tmp_path / "transom.yaml",
        paths,
        View(sys.stderr),
        Interruption(),
        {},
    )
    graph.wrote = tmp_path
    return graph


def test_a_failed_push_keeps_what_was_measured(graph: _Graph) -> None:
    summary = {"metrics": {"accuracy": 0.9}, "verdict": "blessed: the threshold is met"}
    (graph.wrote / "summary.json").write_text(json.dumps(summary))
    graph.fails = PushError("the folder cannot take the model", got="no space left")
    assert graph.run(None, None, None) is graph.fails
    (record,) = all_runs(graph.paths)
    assert (record.status, record.verdict) == ("failed", "blessed: the threshold is met")
    assert record.evaluation["metrics"] == {"accuracy": 0.9}
    assert "no space left" in record.error


def test_an_interrupted_run_keeps_what_was_measured(graph: _Graph) -> None:
    (graph.wrote / "summary.json").write_text(json.dumps({"metrics": {"accuracy": 0.9}}))
    graph.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        graph.run(None, None, None)
    (record,) = all_runs(graph.paths)
    assert (record.status, record.evaluation["metrics"]) == ("interrupted", {"accuracy": 0.9})


def test_an_interruption_that_a_step_swallows_ends_the_run_before_the_next(graph: _Graph) -> None:
    with interruptible() as graph.interruption:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            graph.started("Trainer")
        graph.ended("Trainer", "interrupted", 0.1, {})


def test_a_full_disk_is_said_to_be_full(graph: _Graph) -> None:
    graph.fails = RuntimeError("INSERT INTO x: database or disk is full")
    message = str(graph.run(None, None, None))
    assert "Pusher: no room in" in message
    assert "make room" in message


@pytest.mark.parametrize(
    ("fates", "new", "status"),
    [
        ("done done", 1, "pushed"),
        ("done done", 0, "already live"),
        ("done cached", 1, "already live"),
        ("cached cached", 1, "unchanged"),
        ("skipped cached", 1, "unchanged"),
    ],
)
def test_only_a_run_that_put_something_there_has_pushed(graph: _Graph, fates: str, new: int, status: str) -> None:
    pushed = PushedModel()
    pushed.set_int_custom_property("pushed", 1)
    pushed.set_int_custom_property("new", new)
    pushed.set_string_custom_property("pushed_destination", "serving/7")
    graph.record.steps = [StepRecord(*step) for step in zip(("Evaluator", "Pusher"), fates.split(), strict=True)]
    graph._outputs["Pusher"] = {"pushed_model": pushed.mlmd_artifact}
    assert set_status(graph.record, graph._outputs) is None
    assert (graph.record.status, graph.record.pushed) == (status, "serving/7")


def test_a_model_that_a_baseline_stopped_is_told_what_may_help(graph: _Graph) -> None:
    graph._outputs["Pusher"] = {"pushed_model": PushedModel().mlmd_artifact}
    graph._outputs["Pusher"]["pushed_model"].custom_properties["pushed"].int_value = 0
    graph.record.verdict = "not blessed: accuracy 0.5"
    graph.record.evaluation = {"blessed": False, "baselines": {"majority": {"passed": False}}}
    error = set_status(graph.record, graph._outputs)
    assert isinstance(error, NotBlessedError)
    assert "see the baselines above" in error.render()
    graph.record.evaluation["baselines"]["majority"]["passed"] = True
    assert "baselines" not in str(set_status(graph.record, graph._outputs))


@pytest.mark.parametrize("gate", ["evaluation", "serving"])
@pytest.mark.parametrize("blessed", [True, False])
def test_a_run_that_ends_before_the_push_tells_what_its_gates_found(graph: _Graph, gate: str, blessed: bool) -> None:
    graph.record.verdict = "not blessed: accuracy 0.5"
    setattr(graph.record, gate, {"blessed": blessed})
    error = set_status(graph.record, graph._outputs)
    assert (error is None) == blessed
    assert graph.record.status == ("finished" if blessed else "not blessed")
    if error is not None:
        assert error.exit_code == 8
        assert graph.record.step == ("Evaluator" if gate == "evaluation" else "ServingGate")


def test_a_step_that_the_settings_leave_out_cannot_be_named(tmp_path: Path) -> None:
    off = ["evaluation.baselines.majority=off", "evaluation.baselines.linear=off"]
    with pytest.raises(ConfigError, match="not a step while both"):
        run(_project(tmp_path, ONE_CLASS), off, to_step="Baselines")
