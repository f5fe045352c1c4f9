"""Training ends with the temperatures and the threshold of the weights that it keeps."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from models import calibration
from models.errors import Interrupted
from models.training.batches import Batches
from models.training.eval_metrics import compute
from models.training.progress import Progress


def predict_eval(tiny: ModuleType, trained: object, rows: object) -> np.ndarray:
    """Logits of the returned model, in the rows' order."""
    logits = np.empty((len(rows), 2), np.float32)
    for batch in Batches(rows, (20,), 64, pad_id=0).by_length():
        logits[batch.rows] = trained.model(batch.features, training=False).numpy()[: len(batch.rows)]
    return logits


def test_the_temperature_is_that_of_the_kept_weights_and_not_of_the_last(tiny: ModuleType) -> None:
    rows = tiny.rows(200, 1)
    rows = replace(rows, targets=np.where(np.arange(200) % 9 == 0, 1 - rows.targets, rows.targets))  # wrong labels
    config = {"epochs": 6, "learning_rate": 0.03, "metric": "loss"}
    trained = tiny.fit(count=300, evaluation=rows, train_config=config)
    assert trained.report["best_epoch"] < 6
    report = trained.report["calibration"]
    logits = predict_eval(tiny, trained, rows)
    wanted = calibration.fit(logits, rows.targets, trained.task, ("no", "yes"), calibrate=True, metric="loss")
    assert wanted.temperatures
    assert trained.labels.temperatures == pytest.approx(wanted.temperatures, rel=1e-3)
    assert report["temperatures"] == list(trained.labels.temperatures)
    assert report["rows"] == 200


def test_an_automatic_threshold_gives_the_f1_that_chose_the_epoch(tiny: ModuleType) -> None:
    rows = tiny.rows(200, 1, task="multi_label")
    options = {"task": "multi_label", "count": 100, "evaluation": rows, "threshold": "auto"}
    trained = tiny.fit(**options, train_config={"epochs": 3, "learning_rate": 0.01})
    assert trained.report["calibration"]["tuned"]
    assert trained.task.threshold == trained.report["calibration"]["threshold"] != 0.5
    scaled = predict_eval(tiny, trained, rows) / np.array(trained.labels.temperatures)
    found = compute(scaled, rows.targets, trained.task, trained.labels)
    assert found["micro_f1"] == pytest.approx(trained.report["best_value"], abs=0.01)


@pytest.mark.slow
def test_a_stop_after_the_last_epoch_loses_nothing(tiny: ModuleType, tmp_path: Path) -> None:
    """The eval rows are then predicted once more, with the best weights."""
    rows = tiny.rows(60, 1)
    options = {"evaluation": rows, "train_config": {"epochs": 2, "learning_rate": 0.005}}

    def on_progress(now: Progress) -> None:
        if now.evaluation and now.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        tiny.fit(checkpoint_dir=tmp_path, on_progress=on_progress, **options)
    assert "only evaluation and export are left" in caught.value.then
    continued, whole = tiny.fit(checkpoint_dir=tmp_path, **options), tiny.fit(**options)
    assert continued.report["resumed_at_step"] == continued.report["steps"]
    assert continued.labels.temperatures == whole.labels.temperatures != ()


def test_too_few_eval_rows_are_said(tiny: ModuleType) -> None:
    notes: list[str] = []
    trained = tiny.fit(evaluation=tiny.rows(12, 1), train_config={"epochs": 1}, on_note=notes.append)
    assert trained.labels.temperatures == ()
    assert trained.report["calibration"]["notes"] == notes[2:]
    assert "there are 12" in notes[2]


def test_it_can_be_turned_off(tiny: ModuleType) -> None:
    trained = tiny.fit(calibrate=False, train_config={"epochs": 1})
    assert (trained.labels.temperatures, trained.report["calibration"]["notes"]) == ((), [])
