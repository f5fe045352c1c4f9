"""Trainings on several devices, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import framework_environments
import numpy as np
import pytest
import stored_training
from progress_triggers import OnceAt

from models.errors import Interrupted, TrainingError
from models.training.frameworks.process_group import RENDEZVOUS
from models.training.training_run import TrainedModel

STILL = {"dropout": 0.0, "early_stopping": 9}


def _fit(folder: Path, python: Path, **settings: object) -> TrainedModel:
    folder.mkdir()
    return stored_training.fit(stored_training.store(folder, **settings), folder, python)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "spread", "strategy"),
    [
        ("torch", {"devices": 2}, "mirrored"),
        ("torch", {"devices": 3, "task": "regression", "pairs": True}, "mirrored"),
        ("jax", {"devices": 4, "shards": 2}, "sharded"),
    ],
)
def test_several_devices_have_the_losses_of_one(
    framework: str, spread: dict[str, object], strategy: str, tmp_path: Path
) -> None:
    python = framework_environments.python(framework)
    settings = {**STILL, "backend": framework, **spread}
    several = _fit(tmp_path / "several", python, **settings)
    one = _fit(tmp_path / "one", python, **{**settings, "devices": None, "shards": 1})
    assert (several.report["strategy"], len(several.report["devices"])) == (strategy, spread["devices"])
    for ours, theirs in zip(several.report["history"], one.report["history"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-4)
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
    for ours, theirs in zip(several.model.weights, one.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-3, err_msg=ours.path)


@pytest.mark.slow
def test_the_death_of_one_process_ends_the_training_and_says_so(tmp_path: Path) -> None:
    python = framework_environments.python("torch")
    request = stored_training.store(tmp_path, backend="torch", devices=2, epochs=10_000, early_stopping=10_000)
    kill = OnceAt(5, lambda: os.kill(_second_process(tmp_path), signal.SIGKILL))
    with pytest.raises(TrainingError, match="process 1 of the training has ended") as caught:
        stored_training.fit(request, tmp_path, python, on_progress=kill)
    assert "SIGKILL" in caught.value.got
    assert "train.devices" in caught.value.fix


@pytest.mark.slow
def test_no_process_outlives_the_training(tmp_path: Path) -> None:
    python = framework_environments.python("torch")
    request = stored_training.store(tmp_path, backend="torch", devices=2, epochs=10_000, early_stopping=10_000)
    other: list[int] = []
    stop = OnceAt(5, lambda: (other.append(_second_process(tmp_path)), signal.raise_signal(signal.SIGINT)))
    with pytest.raises(Interrupted):
        stored_training.fit(request, tmp_path, python, on_progress=stop)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{other[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{other[0]}").exists()


def _second_process(folder: Path) -> int:
    """The process whose environment says that it is number 1 of the training in a folder."""
    wanted = {b"RANK=1", os.fsencode(f"{RENDEZVOUS}={folder / 'work' / 'rendezvous'}")}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted <= {*(process / "environ").read_bytes().split(b"\0")}:
                    return int(process.name)
    raise AssertionError("there is no second process")
