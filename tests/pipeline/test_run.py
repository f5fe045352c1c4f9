"""What `transom run` decides before and around the graph."""

from __future__ import annotations

import errno
import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.errors import ConfigError, PushError
from pipeline.console import View
from pipeline.paths import Paths
from pipeline.records import Run, Step, all_runs
from pipeline.run import _disk_is_full, _Recorder, _terminable, run


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("Nope", None, "one of ExampleGen"),
        (None, "trainer", "did you mean Trainer?"),
        ("Trainr", None, "did you mean Trainer?"),
        ("Trainer", "ExampleGen", "Trainer, which comes after ExampleGen"),
    ],
)
def test_steps_that_make_no_run(tmp_path: Path, first: str | None, last: str | None, told: str) -> None:
    config = tmp_path / "transom.yaml"
    config.write_text("data: {path: none.csv}\n")
    with pytest.raises(ConfigError) as caught:
        run(config, [], from_step=first, to_step=last)
    assert told in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["transom.yaml"]


def test_a_termination_is_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), _terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


class _Graph(_Recorder):
    """A recorder whose steps end as a test wants."""

    wrote: Path
    fails: Exception

    def _run(self, config: object, from_step: str | None, to_step: str | None) -> None:
        self.record.steps.append(Step("Pusher", "failed"))
        self._outputs["Evaluator"] = {"evaluation": SimpleNamespace(uri=str(self.wrote))}
        raise self.fails


@pytest.fixture
def graph(tmp_path: Path) -> _Graph:
    paths = Paths(base=tmp_path, output=tmp_path / "out", push=tmp_path / "push", edge=tmp_path / "edge")
    graph = _Graph(Run(name="1", status="running", started="", config={}), paths, View(sys.stderr))
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


def test_a_full_disk_is_said_to_be_full(graph: _Graph) -> None:
    graph.fails = RuntimeError("INSERT INTO x: database or disk is full")
    told = str(graph.run(None, None, None))
    assert "Pusher: no room in" in told
    assert "make room" in told
    caused = ValueError("x")
    caused.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert _disk_is_full(caused)
    assert not _disk_is_full(OSError(errno.EACCES, "Permission denied"))
