from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training_checkpoints import IDENTITY, load_checkpoint, save_checkpoint, variables

from models.training.resuming import checkpoint_folder
from models.training.resuming.checkpoint import Checkpoints


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, loss_sum=0.1)
    checkpoints, target = Checkpoints(tmp_path, IDENTITY), variables(0.0)
    with checkpoints.open():
        restored = checkpoints.load(target)
    assert restored.state == {"total_steps": 5, "loss_sum": 0.1}
    assert checkpoints.kept_step == 5
    assert target[0].numpy().tolist() == [[3.0] * 3] * 2
    assert int(target[1].numpy()) == 21


def test_trainings_of_other_settings_keep_their_own_checkpoints(tmp_path: Path) -> None:
    other = {**IDENTITY, "train": {"learning_rate": 0.0005}}
    save_checkpoint(tmp_path, 3.0)
    assert load_checkpoint(tmp_path, other)[0].state is None
    folder = save_checkpoint(tmp_path, 4.0, other)
    assert load_checkpoint(tmp_path)[1] == 3.0
    assert load_checkpoint(tmp_path, other)[1] == 4.0
    ended = Checkpoints(tmp_path, other)
    with ended.open():
        ended.load(variables(0.0))
    ended.kept.remove()
    assert not folder.exists()
    assert load_checkpoint(tmp_path)[1] == 3.0


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"train": {"learning_rate": 0.0005}}, "train.learning_rate was 0.001, is 0.0005"),
        ({"train": {"learning_rate": 0.001, "seed": 1}}, "train.seed was unset, is 1"),
        ({"rows": [1, 3]}, "the rows of train or eval"),
        ({"rows": [1, 3], "weights": "x", "batches": [8]}, "the rows of train or eval"),
        ({"code": "b"}, "Transom's code or its libraries"),
        ({"versions": ["2.22.0", "3.15.1", "on"]}, "Keras, its framework or oneDNN"),
        ({"weights": "x"}, "the initial weights (the preset's files)"),
        ({"model": {"width": 8}}, "model.width was unset, is 8"),
    ],
)
def test_why_a_checkpoint_is_not_used_names_what_differs(
    tmp_path: Path, changes: dict[str, Any], differences: str
) -> None:
    save_checkpoint(tmp_path)
    why = load_checkpoint(tmp_path, {**IDENTITY, **changes})[0].restart_reason
    assert why.endswith(f"belongs to another training and is kept; what differs: {differences}")
    assert "(step 5)" in why


def test_the_nearest_of_several_checkpoints_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, identity={**IDENTITY, "rows": [8, 9]})
    save_checkpoint(tmp_path, identity={"train": {"learning_rate": 1.0, "epochs": 3}, "rows": [8, 9]})
    assert load_checkpoint(tmp_path)[0].restart_reason.endswith("kept; what differs: the rows of train or eval")


def test_that_nothing_lies_there_needs_no_reason(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "new")[0].restart_reason == ""


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(np.float32(3.0).tobytes() * 6)] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _of_another_model(file: Path) -> None:
    with np.load(file) as arrays:
        changed = dict(arrays)
    np.savez(file, **{**changed, "1": np.zeros((5, 5))})


def _without_best(file: Path) -> None:
    (file.parent / "best-1.npz").unlink()


def _damaged_best(file: Path) -> None:
    _cut(file.parent / "best-1.npz")


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _of_another_model, _without_best, _damaged_best])
def test_a_damaged_checkpoint_starts_anew_and_says_so(tmp_path: Path, damage: Any) -> None:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    with checkpoints.open():
        checkpoints.keep_best(variables(2.0))
        checkpoints.save(variables(3.0), {"total_steps": 5, "best_epoch": 1})
    assert checkpoints.folder is not None
    damage(checkpoints.folder / "checkpoint.npz")
    restored, value = load_checkpoint(tmp_path)
    assert restored.state is None
    assert "cannot be read" in restored.restart_reason
    assert value == 0.0, "some variables were restored, others not"
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["lock"], (
        "it would be taken for one of this run"
    )


def test_no_flipped_byte_ends_a_training(tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path) / "checkpoint.npz"
    content = file.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        _, value = load_checkpoint(tmp_path)
        assert value in (0.0, 3.0)


def test_the_best_weights_follow_the_checkpoint_that_names_them(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path, IDENTITY)
    with first.open():
        first.keep_best(variables(1.0))
        first.save(variables(1.0), {"best_epoch": 1})
        first.keep_best(variables(2.0))  # killed here: the checkpoint still names epoch 1
    again, target = Checkpoints(tmp_path, IDENTITY), variables(0.0)
    with again.open():
        assert again.load(target).state == {"best_epoch": 1}
        again.restore_best(target)
        assert target[0].numpy()[0, 0] == 1.0
        again.keep_best(variables(2.0))
        again.save(variables(2.0), {"best_epoch": 2})
    assert again.folder is not None
    assert sorted(path.name for path in again.folder.iterdir()) == ["best-2.npz", "checkpoint.npz", "lock"]


def test_the_best_weights_are_kept_as_they_were_unless_they_are_final(tmp_path: Path) -> None:
    changed, final = variables(1.0), variables(2.0)
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    with checkpoints.open():
        checkpoints.keep_best(changed)
        changed[0].assign(changed[0] + 5.0)
        checkpoints.restore_best(changed)
        assert changed[0].numpy()[0, 0] == 1.0
        checkpoints.keep_best(final, final=True)
        checkpoints.restore_best(final)
        checkpoints.save(final, {"best_epoch": 3})
    again, target = Checkpoints(tmp_path, IDENTITY), variables(0.0)
    with again.open():
        again.load(target)
    again.restore_best(target)
    assert target[0].numpy()[0, 0] == 2.0


def test_best_weights_whose_checkpoint_was_never_written_do_not_stay(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    (folder / "best-2.npz").write_bytes(b"killed before the checkpoint that names it")
    checkpoints, target = Checkpoints(tmp_path, IDENTITY), variables(0.0)
    with checkpoints.open():
        checkpoints.load(target)
        checkpoints.keep_best(variables(2.0))
        checkpoints.save(variables(3.0), {"best_epoch": 2})
    again = Checkpoints(tmp_path, IDENTITY)
    with again.open():
        again.load(target)
    again.restore_best(target)
    assert target[0].numpy()[0, 0] == 2.0


def test_checkpoints_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("models.training.resuming.checkpoint.time.monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint_folder, "write", lambda path, arrays: now.__setitem__(0, now[0] + 4.0))
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    with checkpoints.open():
        now[0] += 29.0
        assert not checkpoints.due()
        now[0] += 1.0
        assert checkpoints.due()
        checkpoints.save(variables(1.0), {})  # takes 4 s
        now[0] += 199.0
        assert not checkpoints.due()
        now[0] += 1.0
        assert checkpoints.due()


def test_what_an_interruption_would_lose_counts_from_the_last_checkpoint_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("models.training.resuming.checkpoint.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    with checkpoints.open():
        assert checkpoints.save(variables(3.0), {"total_steps": 5})
        now[0] += 600.0
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
        assert not checkpoints.save(variables(4.0), {"total_steps": 6})
        assert not checkpoints.due(), "a full disk would be tried at every step"
        assert checkpoints.unsaved_seconds == 600.0


def test_where_no_checkpoint_is_written_none_is_ever_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("models.training.resuming.checkpoint.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(None, IDENTITY)
    with checkpoints.open():
        now[0] += 3600.0
        assert not checkpoints.due(), "each step would wait for the device to read its loss"


def test_without_a_folder_only_the_best_weights_are_kept() -> None:
    checkpoints, target = Checkpoints(None, IDENTITY), variables(0.0)
    with checkpoints.open():
        assert not checkpoints.save(variables(3.0), {})
        assert checkpoints.load(target).state is None
        checkpoints.keep_best(variables(2.0))
        checkpoints.restore_best(target)
    assert target[0].numpy()[0, 0] == 2.0
