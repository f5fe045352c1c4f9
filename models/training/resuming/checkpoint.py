"""The checkpoint of an interrupted training: one file with weights, optimizer and position, replaced atomically.

Each training has its own folder, named after all that decides its result, so that no training overwrites another's
checkpoint (`models.training.resuming.checkpoint_folder`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TrainingError, os_errors_as
from models.training.resuming import checkpoint_folder as folders
from models.training.resuming.checkpoint_folder import BEST, NAME, PATIENCE, STATE, TEMPORARY
from models.training.resuming.resume_key import describe_differences, digest
from tflite.host.json_text import to_json

logger = logging.getLogger(__name__)

# A checkpoint every half minute, or less often if writing one is slow: never over 2% of the time.
_SECONDS_BETWEEN, _COSTS_BETWEEN = 30.0, 50.0


@dataclass(frozen=True)
class LoadedCheckpoint:
    """What `Checkpoints.load` read."""

    state: dict[str, Any] | None  # the saved JSON value; None if training starts from the beginning
    when: str = ""  # local time of the checkpoint
    restart_reason: str = ""  # why training starts from the beginning, else empty


@dataclass(frozen=True)
class KeptCheckpoint:
    """The checkpoint of a finished training."""

    folder: Path | None  # None if none is written
    step: int | None  # None if there is none

    def remove(self) -> None:
        """Removes it. Call it when the model is safe elsewhere."""
        if self.folder is not None:
            folders.remove(self.folder)
            with contextlib.suppress(OSError):  # others' are still there
                self.folder.parent.rmdir()


class Checkpoints:
    """The checkpoint and the best epoch's weights of one training, in a folder or only in memory.

    Args:
        directory: the project's folder of checkpoints; None keeps only the best weights, in memory.
        resume_key: all that decides the training's result (`models.training.resuming.resume_key`).
        notify: receives sentences for the user.
    """

    def __init__(
        self,
        directory: Path | str | None,
        resume_key: Mapping[str, Any],
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._directory = Path(directory) if directory is not None else None
        self._resume_key, self._digest, self._notify = dict(resume_key), digest(resume_key), notify
        self._best: list[Any] | None = None  # arrays, or variables that do not change any more
        self.folder: Path | None = None
        """The folder of this training's checkpoint; None if none is written."""
        self._has_warned = False
        self._cost = 0.0
        self._saved_at = self._tried_at = time.monotonic()
        self.kept_step: int | None = None
        """The step of the checkpoint on disk; None if there is none."""

    @contextlib.contextmanager
    def open(self, patience: float = PATIENCE) -> Iterator[None]:
        """Locks the training's folder within the block.

        If the same training runs elsewhere and holds the lock, no checkpoints are written.

        Raises:
            TrainingError: the folder is not writable.
        """
        if self._directory is None:
            yield
            return
        folder = self._directory / self._digest[:16]
        waiting = "another run of the same training is active, or its machine has just vanished: waiting for it"
        fix = "change its permissions, free some space, or choose another `output`, then run again"
        with contextlib.ExitStack() as stack:
            with os_errors_as(TrainingError, f"the checkpoint folder {folder}", expected="a writable folder", fix=fix):
                acquired = stack.enter_context(folders.locked(folder, partial(self._notify, waiting), patience))
                if acquired:
                    self._begin(folder)
            if not acquired:
                self._notify(
                    "the same training is still running elsewhere: this one starts afresh, without checkpoints"
                )
            yield

    def _begin(self, folder: Path) -> None:
        assert self._directory is not None
        probe = folder / f"{NAME}.{uuid.uuid4().hex}{TEMPORARY}"
        probe.touch()
        for leftover in folder.glob(f"*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        self.folder = folder
        folders.remove_former_layout(self._directory)
        for each in folders.prune(self._directory, folder):
            self._notify(f"removed the checkpoint of an interrupted training of {each.when}: {folders.KEPT} are kept")

    def due(self) -> bool:
        """Whether enough time has passed since the start or the last attempt to write a checkpoint; never without a
        folder."""
        passed = time.monotonic() - self._tried_at
        return self.folder is not None and passed >= max(_SECONDS_BETWEEN, _COSTS_BETWEEN * self._cost)

    def worthwhile(self) -> bool:
        """Whether enough work is unsaved to be worth a checkpoint before the export."""
        return self.unsaved_seconds >= _SECONDS_BETWEEN

    @property
    def unsaved_seconds(self) -> float:
        """Seconds since the last written checkpoint, or the start."""
        return time.monotonic() - self._saved_at

    def save(self, variables: Sequence[Any], state: Mapping[str, Any], *, last: bool = False) -> bool:
        """Replaces the checkpoint with these variables and this JSON value; does nothing without a folder.

        A full disk does not end the training: the user is notified, and the previous checkpoint stays. Checkpoints of
        other trainings are removed first.

        Args:
            last: the training ends now, and the caller reports what is kept.

        Returns:
            Whether it was written.
        """
        if self._directory is None or self.folder is None:
            return False
        began = time.monotonic()
        text = to_json({**state, "fingerprint": self._digest, "identity": self._resume_key}, ascii=True)
        arrays = {str(i): np.asarray(variable.numpy()) for i, variable in enumerate(variables)}
        best = state.get("best_epoch")
        files = {}
        if best is not None and not (path := self.folder / BEST.format(epoch=best)).exists():
            files[path] = {str(i): np.asarray(value) for i, value in enumerate(self._best or ())}
        files[self.folder / NAME] = {STATE: np.array(text), **arrays}
        try:
            folders.write_making_room(self._directory, self.folder, files, self._notify_removed)
        except OSError as error:
            logger.warning("no checkpoint in %s: %s", self.folder, error)
            if not (last or self._has_warned):
                self._has_warned = True
                kept = "the beginning" if self.kept_step is None else f"step {self.kept_step}"
                self._notify(
                    f"the checkpoint cannot be written ({error.strerror or error}): training continues, and after an "
                    f"interruption it would resume from {kept}"
                )
            return False
        finally:
            # After a failure, the next attempt waits as long as after a success.
            self._tried_at = time.monotonic()
            self._cost = self._tried_at - began
        self.kept_step, self._has_warned = int(state.get("total_steps", 0)), False
        self._saved_at = self._tried_at
        self._remove_best_but(best)
        return True

    def load(self, variables: Sequence[Any]) -> LoadedCheckpoint:
        """Restores the variables from this training's checkpoint, all of them or none."""
        if self._directory is None or self.folder is None:
            return LoadedCheckpoint(None)
        path = self.folder / NAME
        if not path.exists():
            self._clear()
            return LoadedCheckpoint(None, restart_reason=self._why_there_is_none())
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        try:
            state, values = self._read(path, variables)
        except Exception as error:
            logger.warning("the checkpoint %s is not used", path, exc_info=True)
            why = f"its checkpoint of {when} cannot be read ({type(error).__name__}: {error})"
            self._clear()
            return LoadedCheckpoint(None, restart_reason=why)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.kept_step = int(state.get("total_steps", 0))
        self._remove_best_but(state.get("best_epoch"))
        return LoadedCheckpoint(state, when)

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
        assert self.folder is not None
        with contextlib.suppress(OSError):
            (self.folder / NAME).unlink(missing_ok=True)
        self._remove_best_but(None)

    def _remove_best_but(self, epoch: int | None) -> None:
        """Removes best weights that the checkpoint does not name, lest they are taken for this training's later."""
        assert self.folder is not None
        for path in self.folder.glob(BEST.format(epoch="*")):
            if path.name != BEST.format(epoch=epoch):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _why_there_is_none(self) -> str:
        """Why this training has none of the checkpoints that are there; "" if there are none."""
        assert self._directory is not None
        others = [each for each in folders.stored_checkpoints(self._directory) if each.folder != self.folder]
        found = folders.nearest(others, self._resume_key)
        if found is None:
            return "no checkpoint of an interrupted training can be read" if others else ""
        other, differs = found
        which = f"the checkpoint of {other.when} (step {other.step})"
        return f"{which} belongs to another training and is kept; what differs: {describe_differences(differs)}"

    def keep_best(self, variables: Sequence[Any], *, final: bool = False) -> None:
        """Keeps the best epoch's weights in memory; the next `save` writes them next to the checkpoint.

        Args:
            final: they will not change any more, so that they need not be copied.
        """
        self._best = list(variables) if final else [np.array(variable.numpy()) for variable in variables]

    def restore_best(self, variables: Sequence[Any]) -> None:
        """Restores the best epoch's weights, if any were kept."""
        for variable, value in zip(variables, self._best or (), strict=False):
            if value is not variable:
                variable.assign(value)

    @property
    def kept(self) -> KeptCheckpoint:
        """What is on disk now."""
        return KeptCheckpoint(self.folder, self.kept_step)

    def _notify_removed(self, other: folders.StoredCheckpoint) -> None:
        self._notify(f"removed the checkpoint of an interrupted training of {other.when}: the disk is nearly full")
