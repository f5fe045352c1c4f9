from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.errors import TrainingError
from models.training.checkpoint import Checkpoints, fingerprint


def _variables(value: float) -> list[Any]:
    return [keras.Variable(np.full((2, 3), value)), keras.Variable(np.array(7 * int(value), "int64"), dtype="int64")]


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "f").save(_variables(3.0), {"step": 5, "loss_sum": 0.1})
    target = _variables(0.0)
    restored = Checkpoints(tmp_path, "f").load(target)
    assert restored.state == {"step": 5, "loss_sum": 0.1}
    assert target[0].numpy().tolist() == [[3.0] * 3] * 2
    assert int(target[1].numpy()) == 21


def test_another_trainings_checkpoint_is_not_used(tmp_path: Path) -> None:
    Checkpoints(tmp_path, fingerprint({"seed": 0})).save(_variables(3.0), {"step": 5})
    target = _variables(0.0)
    restored = Checkpoints(tmp_path, fingerprint({"seed": 1})).load(target)
    assert restored.state is None
    assert "configuration" in restored.why_anew
    assert not target[0].numpy().any()


def test_a_damaged_checkpoint_starts_anew_and_says_so(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "f").save(_variables(3.0), {"step": 5})
    file = tmp_path / "checkpoint.npz"
    file.write_bytes(file.read_bytes()[:100])
    restored = Checkpoints(tmp_path, "f").load(_variables(0.0))
    assert restored.state is None
    assert "cannot be read" in restored.why_anew


def test_leftovers_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "checkpoint.npz.tmp"
    leftover.write_bytes(b"half")
    Checkpoints(tmp_path, "f")
    assert not leftover.exists()


def test_the_best_weights_follow_the_checkpoint_that_names_them(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.keep_best(_variables(1.0), 1)
    checkpoints.save(_variables(1.0), {"best_epoch": 1})
    checkpoints.keep_best(_variables(2.0), 2)  # killed here: the checkpoint still names epoch 1
    again, target = Checkpoints(tmp_path, "f"), _variables(0.0)
    assert again.load(target).state == {"best_epoch": 1}
    again.restore_best(target)
    assert target[0].numpy()[0, 0] == 1.0
    again.keep_best(_variables(2.0), 2)
    again.save(_variables(2.0), {"best_epoch": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-2.npz", "checkpoint.npz"]


def test_a_full_disk_is_a_training_error_and_the_former_checkpoint_stands(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "f").save(_variables(3.0), {"step": 5})
    checkpoints = Checkpoints(tmp_path, "f")
    # Every write to this device fails with "No space left on device".
    (tmp_path / "checkpoint.npz.tmp").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match="No space left"):
        checkpoints.save(_variables(4.0), {"step": 6})
    target = _variables(0.0)
    assert Checkpoints(tmp_path, "f").load(target).state == {"step": 5}
    assert target[0].numpy()[0, 0] == 3.0


def test_without_a_folder_only_the_best_weights_are_kept() -> None:
    checkpoints, target = Checkpoints(None, "f"), _variables(0.0)
    checkpoints.save(_variables(3.0), {})
    assert checkpoints.load(target).state is None
    checkpoints.keep_best(_variables(2.0), 1)
    checkpoints.restore_best(target)
    assert target[0].numpy()[0, 0] == 2.0
