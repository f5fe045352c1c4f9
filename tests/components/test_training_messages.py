"""What is shown of the progress, and what an interrupted export reports about the training."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import pytest

from components.training_messages import explain_interrupted_export, log_progress
from models.config import TaskConfig
from models.errors import Interrupted
from models.training.progress import Progress
from models.training.resuming.checkpoint import Checkpoints
from models.training.training_run import TrainedModel
from tflite.host.labels import LabelSpace


@pytest.mark.parametrize(
    ("saved", "kept", "lost", "then"),
    [
        (
            8,
            "the whole training, as a checkpoint in",
            "at most the last evaluation, and the export",
            "only evaluation and export are left",
        ),
        (5, "a checkpoint of step 5, in", "all steps after it", "training continues at step 6"),
        (None, "", "the whole training", "training starts at step 1"),
    ],
)
def test_an_interrupted_export_keeps_what_a_checkpoint_holds(
    tmp_path: Path, saved: int | None, kept: str, lost: str, then: str
) -> None:
    checkpoints = Checkpoints(tmp_path if saved else None, {"rows": 1})
    with checkpoints.open():
        checkpoints.save([keras.Variable(1.0)], {"total_steps": saved})
    with (
        pytest.raises(Interrupted) as caught,
        explain_interrupted_export(
            TrainedModel(keras.Model(), {"steps": 8}, checkpoints.kept, LabelSpace(("a", "b")), TaskConfig())
        ),
    ):
        raise KeyboardInterrupt
    error = caught.value
    assert (error.kept.partition(str(tmp_path))[0].rstrip(), bool(error.kept)) == (kept, bool(saved))
    assert lost in error.lost
    assert error.then.endswith(then)


def test_progress_tells_the_tuning_from_the_epochs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "transom.progress")
    log_progress(Progress(0, 0, 20, 50, 1.5, 900.0, 31.0))
    log_progress(Progress(1, 4, 1, 8, 0.5, 900.0))
    assert caplog.messages == [
        "tuning on pairs of rows, step 20/50, 31 s left, 900 tokens/s, loss 1.5000",
        "epoch 1/4, step 1/8, 900 tokens/s, loss 0.5000",
    ]
    assert [vars(record)["amounts"] for record in caplog.records] == [
        {"unit": "steps", "done": 20, "total": 50, "seconds_left": 31.0, "tokens_per_second": 900.0, "loss": 1.5},
        {"unit": "steps", "done": 1, "total": 8, "seconds_left": None, "tokens_per_second": 900.0, "loss": 0.5},
    ]
