from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from training_checkpoints import IDENTITY, load_checkpoint, save_checkpoint, variables

from models.errors import TrainingError
from models.training.resuming import checkpoint_folder
from models.training.resuming.checkpoint import Checkpoints


def test_leftovers_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    leftover = save_checkpoint(tmp_path) / "checkpoint.npz.0123.tmp"
    leftover.write_bytes(b"half")
    load_checkpoint(tmp_path)
    assert not leftover.exists()


def test_only_the_newest_trainings_are_kept_and_nothing_of_a_stranger_goes(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef").mkdir()  # killed before its first checkpoint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "checkpoint.npz").write_bytes(b"a user's")
    (tmp_path / "checkpoint.npz").write_bytes(b"of an earlier version")
    held = [save_checkpoint(tmp_path, identity={"rows": number}) for number in range(5)]
    (held[2] / "notes.txt").write_text("a user's")
    notes: list[str] = []
    checkpoints = Checkpoints(tmp_path, {"rows": 9}, notes.append)
    with checkpoints.open():
        checkpoints.save(variables(1.0), {})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mine", checkpoints.folder.name, held[2].name, held[3].name, held[4].name}
    assert [path.name for path in held[2].iterdir()] == ["notes.txt"]
    assert [line.partition(" of 2")[0] for line in notes] == ["removed the checkpoint of an interrupted training"]


def test_a_training_at_work_is_not_pruned(tmp_path: Path) -> None:
    at_work = Checkpoints(tmp_path, {"rows": "at work"})
    with at_work.open():
        at_work.save(variables(1.0), {})
        for number in range(4):
            save_checkpoint(tmp_path, identity={"rows": number})
        assert at_work.folder is not None
        assert (at_work.folder / "checkpoint.npz").exists()


def test_two_runs_of_one_training_do_not_share_a_file(tmp_path: Path) -> None:
    notes: list[str] = []
    first, second = Checkpoints(tmp_path, IDENTITY), Checkpoints(tmp_path, IDENTITY, notes.append)
    with first.open():
        first.save(variables(3.0), {"total_steps": 5})
        with second.open(patience=0.05):
            assert second.load(variables(0.0)).state is None
            assert not second.save(variables(4.0), {"total_steps": 6})
    assert any("still running elsewhere" in line for line in notes)
    assert load_checkpoint(tmp_path)[1] == 3.0


def test_a_full_disk_ends_no_training_and_the_former_checkpoint_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    checkpoints = Checkpoints(tmp_path, IDENTITY, notes.append)
    with checkpoints.open():
        checkpoints.save(variables(3.0), {"total_steps": 5})
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
        assert not checkpoints.save(variables(4.0), {"total_steps": 6})
        assert not checkpoints.save(variables(4.0), {"total_steps": 7})
        assert len(notes) == 1
        assert "training continues, and after an interruption it would resume from step 5" in notes[0]
    assert load_checkpoint(tmp_path)[1] == 3.0


def test_a_quota_that_no_free_space_tells_of_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    checkpoints = Checkpoints(tmp_path, IDENTITY, notes.append)
    with checkpoints.open():
        checkpoints.save(variables(3.0), {"total_steps": 5})
        opened = Path.open
        # Every write to this device fails with "No space left on device".
        monkeypatch.setattr(Path, "open", lambda path, *mode: opened(Path("/dev/full"), *mode))
        assert not checkpoints.save(variables(4.0), {"total_steps": 6})
    monkeypatch.undo()
    assert "No space left on device" in notes[0]
    assert load_checkpoint(tmp_path)[1] == 3.0


def test_other_trainings_make_room_on_a_nearly_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = save_checkpoint(tmp_path, identity={"rows": "old"})
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if old.exists() else 10**6))
    with checkpoints.open():
        assert checkpoints.save(variables(3.0), {"total_steps": 5})
    assert checkpoint_folder.stored_checkpoints(tmp_path)[0].step == 5


def test_a_folder_that_cannot_be_made_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with (
        pytest.raises(TrainingError, match=r"checkpoints.*\n  got: Not a directory"),
        Checkpoints(tmp_path / "checkpoints", IDENTITY).open(),
    ):
        pass
