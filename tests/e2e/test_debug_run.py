"""`transom run --debug` in whole: it changes nothing for the runs after it, and pdb opens on a terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import debugger_session
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# `transom`, with a layer that gives no number for the rows with a certain word, or that fails.
BROKEN = """\
import sys
sys.path.insert(0, {repository!r})
from pipeline.inspection import debug_run
usual = debug_run._DebugTraining.__call__

def broken(self, *given):
    import keras
    import tensorflow as tf
    from models.network.packed import RowPooling
    pooled = RowPooling.call

    def call(layer, states, rows, starts):
        if {fails} and not isinstance(states, keras.KerasTensor):
            raise ZeroDivisionError("of a layer")
        result = pooled(layer, states, rows, starts)
        if isinstance(result, keras.KerasTensor):
            return result
        first = tf.range(result.shape[0]) == 2
        return tf.where(first[:, None], float("nan"), result)

    RowPooling.call = call
    return usual(self, *given)

debug_run._DebugTraining.__call__ = broken
from pipeline.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def debugged(source: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny project after a debug run, its first; and that run's events and record."""
    project = source.copy_to(tmp_path_factory.mktemp("debugged"))
    out = project.transom("run", str(project.config), "--debug", "--steps", "3", "--json")
    return project, [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_a_debug_run_takes_its_steps_and_says_that_it_is_one(debugged: Any) -> None:
    project, events = debugged
    steps = [event for event in events if event["event"] == "debug step"]
    assert [step["step"] for step in steps] == [1, 2, 3]
    record = events[-1]
    assert record["status"] == "debugged"
    assert record["debug"]["steps_wanted"] == 3
    assert [step["loss"] for step in record["debug"]["steps"]] == [step["loss"] for step in steps]
    assert record["debug"]["stopped"] == {}
    assert [step["name"] for step in record["steps"]][-2:] == ["Transform", "Trainer"]
    assert record["pushed"] == ""
    made = {path.name for path in project.output.iterdir()}
    assert made == {"metadata.seal.json", "artifacts", "lock", "metadata.sqlite", "runs"}
    assert not (project.output / "artifacts" / "Trainer").exists()
    assert list(project.temporary.iterdir()) == []
    shown = project.transom("runs", "-v", str(project.config))
    assert "debugged" in shown
    assert "a debug run: 3 of 3 steps were finite" in shown


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "code"), [(False, 6), (True, 1)], ids=["not finite", "an exception"])
def test_pdb_opens_where_the_training_stopped(debugged: Any, tmp_path: Path, fails: bool, code: int) -> None:
    project, _ = debugged
    program = tmp_path / "broken.py"
    program.write_text(BROKEN.format(repository=str(REPOSITORY), fails=fails))
    command = [sys.executable, str(program), "run", str(project.config), "--debug"]
    environment = {**os.environ, "TMPDIR": str(project.temporary)}
    ended, shown = debugger_session.session(command, [b"p 6 * 7 * 10\n", b"q\n"], environment)
    assert ended == code, shown
    assert "420" in shown.partition("(Pdb)")[2]
    assert ("ZeroDivisionError: of a layer" in shown) == fails
    record = json.loads(project.transom("runs", str(project.config), "--json").splitlines()[-1])
    assert record["status"] == "failed"
    if not fails:
        stopped = record["debug"]["stopped"]
        assert (stopped["kind"], stopped["where"], stopped["step"]) == ("output", "row_pooling", 1)
        (row,) = [row for row in stopped["rows"] if row["not_finite"]]
        assert row["text"] in shown
        (place,) = row["places"]
        line = (project.folder / "reviews.csv").read_text(encoding="utf-8").splitlines()[place["line"] - 1]
        assert line.startswith(f"{row['text']},{row['label']},")
        assert "the output of row_pooling is not finite" in shown
    assert list(project.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_run_after_a_debug_run_is_the_run_without_it(debugged: Any, tiny: Any) -> None:
    project, _ = debugged
    after, (_, without) = project.run(), tiny
    data = {"ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "TokenizerTrainer", "Transform"}
    assert {step for step, fate in after["fates"].items() if fate == "cached"} >= data
    assert after["fates"]["Trainer"] == "done"
    assert after["status"] == without["status"] == "pushed"
    assert after["training"]["history"] == without["training"]["history"]
    # The evaluation adds up in an order that may differ.
    assert after["evaluation"]["metrics"] == pytest.approx(without["evaluation"]["metrics"], rel=1e-9, nan_ok=True)
    checkpoints = {path.name for path in (project.output / "checkpoints").rglob("*")}
    project.transom("run", str(project.config), "--debug", "--steps", "1", "--set", "train.learning_rate=0.5")
    project.transom("run", str(project.config), "--debug", "--steps", "1")
    assert {path.name for path in (project.output / "checkpoints").rglob("*")} == checkpoints
    again = project.run()
    assert again["status"] == "unchanged"
    assert set(again["fates"].values()) == {"cached"}
    assert "nothing has changed since" in again["out"] + project.transom("run", str(project.config))
