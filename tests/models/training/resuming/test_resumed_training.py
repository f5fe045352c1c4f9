from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from progress_triggers import OnceAt

from models.errors import Interrupted
from models.training.progress import Progress
from models.training.resuming.checkpoint import Checkpoints

RunTiny = Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]


@pytest.mark.slow
def test_a_killed_training_continues_and_ends_with_the_same_weights(run_tiny: RunTiny, tmp_path: Path) -> None:
    # 29 batches of 8 rows in groups of 2: 15 steps per epoch, the last one half a group. Killed in the second epoch.
    config = {"epochs": 3, "batch_size": 8, "accumulate": 2, "checkpoint_steps": 4, "xla": True}
    shared = {"count": 229, "dropout": 0.1, "train_config": config}
    folder = str(tmp_path / "checkpoints")
    status, _, _ = run_tiny(tmp_path / "a.npz", kill_at=25, checkpoint_dir=folder, **shared)
    assert status == -9
    _, resumed, report = run_tiny(tmp_path / "b.npz", checkpoint_dir=folder, **shared)
    _, whole, expected = run_tiny(tmp_path / "c.npz", **shared)
    assert report["resumed_at_step"] == 24
    assert all(np.array_equal(a, b) for a, b in zip(resumed, whole, strict=True))
    for ours, theirs in zip(report["history"], expected["history"], strict=True):
        assert {**ours, "traces": 0} == {**theirs, "traces": 0}
    assert report["best_epoch"] == expected["best_epoch"]


def _history(trained: Any) -> list[dict[str, Any]]:
    """The measurements, without the compilations, which depend on where a training started."""
    return [{**epoch, "traces": 0} for epoch in trained.report["history"]]


def _weights(trained: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in trained.model.weights]


@pytest.mark.slow
def test_an_interrupted_training_goes_on_though_another_ran_meanwhile(tiny: ModuleType, tmp_path: Path) -> None:
    # A moving average and a loss scale are also part of the state.
    first = {"epochs": 3, "ema_momentum": 0.9, "precision": "mixed_float16"}
    second = {**first, "learning_rate": 0.01}
    notes: list[str] = []

    def fit(config: dict[str, Any], **more: Any) -> Any:
        return tiny.fit(checkpoint_dir=tmp_path, train_config=config, dropout=0.1, on_note=notes.append, **more)

    stop = OnceAt(11, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        fit(first, on_progress=stop)
    fit(second).checkpoint.remove()
    again = fit(first)
    whole = tiny.fit(train_config=first, dropout=0.1)
    assert 11 <= stop.done_at == again.report["resumed_at_step"] < 24
    assert _history(again) == _history(whole)
    assert all(np.array_equal(a, b) for a, b in zip(_weights(again), _weights(whole), strict=True))
    assert notes[1].startswith("training on tensorflow "), "after the linear model's"
    anew, on = (note for note in notes if note.startswith(("training starts", "training continues")))
    assert "train.learning_rate was 0.02, is 0.01" in anew
    assert on.startswith(f"training continues after step {stop.done_at} of 24, from a checkpoint of 20")
    again.checkpoint.remove()
    assert not tmp_path.exists()


@pytest.mark.slow_variants
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_what_was_trained_and_says_so(tiny: ModuleType, tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = OnceAt(10, lambda: signal.raise_signal(number))
    with pytest.raises(Interrupted) as caught:
        tiny.fit(checkpoint_dir=tmp_path, train_config={"epochs": 3}, on_progress=stop)
    assert signal.getsignal(number) is before
    assert caught.value.what == f"training, after step {stop.done_at} of 24"
    assert caught.value.kept.startswith(f"a checkpoint of step {stop.done_at}, in {tmp_path}")
    assert caught.value.lost == "nothing of the training"
    assert caught.value.then.endswith(f"training continues at step {stop.done_at + 1}")


def test_an_end_after_the_last_step_leaves_only_the_export(tiny: ModuleType, tmp_path: Path) -> None:
    stop = OnceAt(16, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted) as caught:
        tiny.fit(checkpoint_dir=tmp_path, on_progress=stop)
    assert caught.value.what == "training, after step 16 of 16"
    assert caught.value.then.endswith("only evaluation and export are left")


@pytest.mark.slow
def test_an_end_during_the_evaluation_evaluates_again(tiny: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("models.training.progress.Pace.is_report_due", lambda self: True)
    requests: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        if progress.evaluated is not None and not requests:
            requests.append(progress)
            signal.raise_signal(signal.SIGTERM)

    config = {"epochs": 2, "ema_momentum": 0.9, "batch_size": 8}
    with pytest.raises(Interrupted) as caught:
        tiny.fit(checkpoint_dir=tmp_path, train_config=config, on_progress=on_progress)
    assert caught.value.what == "training, after step 15 of 30"
    again = tiny.fit(checkpoint_dir=tmp_path, train_config=config)
    whole = tiny.fit(train_config=config)
    assert again.report["resumed_at_step"] == 15
    assert _history(again) == _history(whole)
    assert all(np.array_equal(a, b) for a, b in zip(_weights(again), _weights(whole), strict=True))


def test_a_checkpoint_that_cannot_be_written_at_the_end_is_counted_as_lost(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"checkpoint_steps": 3, "epochs": 4}

    def full() -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        tiny.fit(checkpoint_dir=tmp_path, train_config=config, on_progress=OnceAt(16, full))
    assert "a checkpoint of step 15" in caught.value.kept
    assert caught.value.lost.startswith("the last step, ")
    assert caught.value.then.endswith("training continues at step 16")


@pytest.mark.slow
def test_only_what_took_a_while_is_kept_for_the_time_of_the_export(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "unsaved_seconds", 29.0)
    short = tiny.fit(checkpoint_dir=tmp_path / "short")
    assert short.checkpoint.step is None
    assert not list(tmp_path.rglob("*.npz"))
    monkeypatch.setattr(Checkpoints, "unsaved_seconds", 31.0)
    long = tiny.fit(checkpoint_dir=tmp_path / "long")
    assert long.checkpoint.step == long.report["steps"]
    assert list(tmp_path.rglob("*.npz"))


@pytest.mark.slow
def test_other_data_code_or_another_model_start_anew(tiny: ModuleType, tmp_path: Path) -> None:
    def fit(**changes: Any) -> dict[str, Any]:
        steps = {"epochs": 1, "checkpoint_steps": 8}
        return tiny.fit(checkpoint_dir=tmp_path, train_config=steps, **changes).report

    first, same = fit(), fit()
    assert first["resumed_at_step"] is None
    assert same["resumed_at_step"] == same["steps"] == first["steps"]
    for changes, reason in (
        ({"resume_key": {"model": {"width": 16}, "code": "another"}}, "model.width was unset, is 16; Transom's code"),
        ({"rows_": tiny.rows(120, 7)}, "the rows of train or eval"),
    ):
        report = fit(**changes)
        assert report["resumed_at_step"] is None
        assert reason in report["started_anew_because"]
