"""Where an interrupted training continues: one file with weights, optimizer and position, replaced as a whole.

Each training has a folder of its own, named after all that decides its result, so that one training never overwrites
another's checkpoint (`models.training.resuming.checkpoint_folder`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TrainingError
from models.training.resuming import checkpoint_folder as folders
from models.training.resuming.checkpoint_folder import BEST, NAME, STATE, TEMPORARY
from models.training.resuming.resume_key import describe_differences, digest
from tflite.host.json_text import to_json

logger = logging.getLogger(__name__)

# A checkpoint every half a minute, or more rarely where writing one is slow: never over 2% of the time.
_SECONDS_BETWEEN, _COSTS_BETWEEN = 30.0, 50.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class RestoredTraining:
    """What `Checkpoints.load` found.

    Attributes:
        state: the JSON value that was saved; None where training starts anew.
        when: local time of the checkpoint.
        why_anew: why training starts anew, else empty.
    """

    state: dict[str, Any] | None
    when: str = ""
    why_anew: str = ""


class Checkpoints:
    """The checkpoint and the best epoch's weights of one training, in a folder, or in memory alone.

    Args:
        directory: the project's folder of checkpoints; None keeps only the best weights, in memory.
        identity: all that decides the training's result (`models.training.resuming.resume_key`).
        say: is told what the user should know.
    """

    def __init__(
        self,
        directory: Path | str | None,
        identity: Mapping[str, Any],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._directory = Path(directory) if directory is not None else None
        self._identity, self._digest, self._say = dict(identity), digest(identity), say
        self._best: list[np.ndarray] | None = None
        self._folder: Path | None = None
        self._complained = False
        self._cost = 0.0
        self._saved_at = self._tried_at = time.monotonic()
        self.kept_step: int | None = None
        """The step that the checkpoint on the disk holds; None where there is none."""

    @property
    def folder(self) -> Path | None:
        """Where this training's checkpoint lies; None where none is written."""
        return self._folder

    @contextlib.contextmanager
    def open(self, patience: float | None = None) -> Iterator[None]:
        """Holds the training's folder for the block's time.

        A training of the same identity that runs elsewhere holds it too: then none is written here.

        Raises:
            TrainingError: the folder cannot be written.
        """
        if self._directory is None:
            yield
            return
        folder = self._directory / self._digest[:16]
        options = {} if patience is None else {"patience": patience}
        with contextlib.ExitStack() as stack:
            try:
                ours = stack.enter_context(folders.held(folder, self._wait, **options))
                if ours:
                    self._begin(folder)
            except OSError as error:
                raise _unwritable(folder, error) from error
            if not ours:
                self._say("the same training is still at work elsewhere: this one starts anew, without checkpoints")
            yield

    def _wait(self) -> None:
        self._say("another run is at work on the same training, or its machine has just vanished: waiting for it")

    def _begin(self, folder: Path) -> None:
        assert self._directory is not None
        probe = folder / f"{NAME}.{uuid.uuid4().hex}{TEMPORARY}"
        probe.touch()
        for leftover in folder.glob(f"*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        self._folder = folder
        folders.remove_flat(self._directory)
        for each in folders.prune(self._directory, folder):
            self._say(f"removed the checkpoint of an interrupted training of {each.when}: {folders.KEPT} are kept")

    def due(self) -> bool:
        """Whether so much time has passed since the last attempt to write a checkpoint, or the start, that another is
        worth it; never where none is written."""
        passed = time.monotonic() - self._tried_at
        return self._folder is not None and passed >= max(_SECONDS_BETWEEN, _COSTS_BETWEEN * self._cost)

    @property
    def unsaved_seconds(self) -> float:
        """Since the last checkpoint that was written, or the start."""
        return time.monotonic() - self._saved_at

    def save(self, variables: Sequence[Any], state: Mapping[str, Any], *, last: bool = False) -> bool:
        """Replaces the checkpoint by these variables and this JSON value; a no-op without a folder.

        A disk that is full ends no training: the user is told, and the former checkpoint stands. Checkpoints of other
        trainings make room first.

        Args:
            last: the training ends here in any case; whoever ends it says what is kept.

        Returns:
            Whether it was written.
        """
        if self._folder is None:
            return False
        began = time.monotonic()
        text = to_json({**state, "fingerprint": self._digest, "identity": self._identity}, ascii=True)
        arrays = {str(i): np.asarray(variable.numpy()) for i, variable in enumerate(variables)}
        best = state.get("best_epoch")
        files = {} if best is None else self._best_file(best)
        files[self._folder / NAME] = {STATE: np.array(text), **arrays}
        try:
            self._make_room(sum(array.nbytes for held in files.values() for array in held.values()))
            for path, content in files.items():
                self._write(path, content)
        except OSError as error:
            logger.warning("no checkpoint in %s: %s", self._folder, error)
            if not last:
                self._complain(error)
            return False
        finally:
            # A disk that refuses is asked again after the same time, not at every step.
            self._tried_at = time.monotonic()
            self._cost = self._tried_at - began
        self.kept_step, self._complained = int(state.get("total_steps", 0)), False
        self._saved_at = self._tried_at
        self._remove_best_but(best)
        return True

    def load(self, variables: Sequence[Any]) -> RestoredTraining:
        """Puts this training's checkpoint back into the variables, all of them or none."""
        if self._directory is None or self._folder is None:
            return RestoredTraining(None)
        path = self._folder / NAME
        if not path.exists():
            self._clear()
            return RestoredTraining(None, why_anew=self._why_none())
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        try:
            state, values = self._read(path, variables)
        except Exception as error:
            logger.warning("the checkpoint %s is not used", path, exc_info=True)
            why = f"its checkpoint of {when} cannot be read ({type(error).__name__}: {error})"
            self._clear()
            return RestoredTraining(None, why_anew=why)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.kept_step = int(state.get("total_steps", 0))
        self._remove_best_but(state.get("best_epoch"))
        return RestoredTraining(state, when)

    def _read(self, path: Path, variables: Sequence[Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
        with np.load(path, allow_pickle=False) as arrays:
            state: dict[str, Any] = json.loads(str(arrays[STATE]))
            if state.pop("fingerprint") != self._digest:
                raise ValueError("it belongs to another training")
            del state["identity"]
            values = [arrays[str(i)] for i in range(len(variables))]
        for variable, value in zip(variables, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"a variable of shape {tuple(variable.shape)} has the values of {value.shape}")
        if state.get("best_epoch") is not None:
            with np.load(path.with_name(BEST.format(epoch=state["best_epoch"])), allow_pickle=False) as arrays:
                self._best = [arrays[str(i)] for i in range(len(arrays.files))]
        return state, values

    def _clear(self) -> None:
        """Removes a checkpoint that cannot be read, and all best weights."""
        assert self._folder is not None
        with contextlib.suppress(OSError):
            (self._folder / NAME).unlink(missing_ok=True)
        self._remove_best_but(None)

    def _remove_best_but(self, epoch: int | None) -> None:
        """Removes best weights that the checkpoint does not name: they must not pass for this training's own later."""
        assert self._folder is not None
        for path in self._folder.glob(BEST.format(epoch="*")):
            if path.name != BEST.format(epoch=epoch):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _why_none(self) -> str:
        """Why a training has no checkpoint: what lies there is another's, or nothing does."""
        assert self._directory is not None
        others = [each for each in folders.lying(self._directory) if each.folder != self._folder]
        found = folders.nearest(others, self._identity)
        if found is None:
            return (
                "no checkpoint of an interrupted training can be read"
                if others
                else "there is no earlier training to continue"
            )
        other, differs = found
        why = describe_differences(differs)
        return f"the checkpoint of {other.when} (step {other.step}) is of another training, and is kept: {why}"

    def keep_best(self, variables: Sequence[Any]) -> None:
        """Keeps the weights of the best epoch so far, in memory; the next `save` writes them beside the checkpoint."""
        self._best = [np.array(variable.numpy()) for variable in variables]

    def restore_best(self, variables: Sequence[Any]) -> None:
        """Puts the best epoch's weights into the variables; a no-op where none were kept."""
        for variable, value in zip(variables, self._best or (), strict=False):
            variable.assign(value)

    def remove(self) -> None:
        """Removes this training's checkpoint; to be called when its model is safe elsewhere."""
        if self._directory is not None and self._folder is not None:
            folders.remove(self._folder)
            with contextlib.suppress(OSError):  # others' are still there
                self._directory.rmdir()

    def _best_file(self, epoch: int) -> dict[Path, dict[str, np.ndarray]]:
        """The best epoch's file, where it is not written yet."""
        assert self._folder is not None
        path = self._folder / BEST.format(epoch=epoch)
        return {} if path.exists() else {path: {str(i): value for i, value in enumerate(self._best or ())}}

    def _make_room(self, size: int) -> None:
        """Sees to it that a checkpoint never takes the last of the disk: as much as it takes must be left over.

        Raises:
            OSError: there is too little room, and no other training's checkpoint to remove.
        """
        assert self._directory is not None
        assert self._folder is not None
        while shutil.disk_usage(self._folder).free < 2 * size:
            if not self._remove_another():
                raise OSError(errno.ENOSPC, f"less than {2 * size / 1e6:,.0f} MB are free, twice its size")

    def _remove_another(self) -> bool:
        assert self._directory is not None
        assert self._folder is not None
        other = folders.remove_oldest(self._directory, self._folder)
        if other is not None:
            self._say(f"removed the checkpoint of an interrupted training of {other.when}: the disk is nearly full")
        return other is not None

    def _write(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        while True:
            try:
                folders.write(path, arrays)
                return
            except OSError as error:  # a quota, which no free space tells of
                if error.errno not in _FULL or not self._remove_another():
                    raise

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            kept = "no checkpoint" if self.kept_step is None else f"the one of step {self.kept_step} alone"
            self._say(
                f"the checkpoint cannot be written ({error.strerror or error}): training goes on, and an interruption "
                f"would find {kept}"
            )
        self._complained = True


def _unwritable(folder: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"the folder of checkpoints {folder}",
        got=error.strerror or str(error),
        expected="a folder that can be written",
        fix="change its permissions, free some space, or choose another `output`, then run again",
    )
