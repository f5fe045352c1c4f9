"""Where an interrupted training continues: one file with weights, optimizer and position, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TrainingError

logger = logging.getLogger(__name__)

_NAME = "checkpoint.npz"
_BEST = "best-{epoch}.npz"
_TEMPORARY = ".tmp"
_STATE = "state"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """A digest of all that decides a training's result, given as JSON values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Restored:
    """What `Checkpoints.load` found.

    Attributes:
        state: the JSON value that was saved; None where training starts anew.
        why_anew: why a checkpoint that exists is not used, else empty.
    """

    state: dict[str, Any] | None
    why_anew: str = ""


class Checkpoints:
    """The checkpoint and the best epoch's weights of one training, in a folder, or in memory alone.

    Args:
        directory: made if need be; None keeps only the best weights, in memory.
        fingerprint: of the training; a checkpoint of another one is not used.
    """

    def __init__(self, directory: Path | str | None, fingerprint: str) -> None:
        self._directory = Path(directory) if directory is not None else None
        self._fingerprint = fingerprint
        self._best: list[np.ndarray] | None = None
        if self._directory is not None:
            _guarded(self._directory, lambda folder: folder.mkdir(parents=True, exist_ok=True))
            for leftover in self._directory.glob(f"*{_TEMPORARY}"):
                leftover.unlink(missing_ok=True)

    def save(self, variables: Sequence[Any], state: Mapping[str, Any]) -> None:
        """Replaces the checkpoint by these variables and this JSON value; a no-op without a folder.

        Raises:
            TrainingError: the folder cannot be written (a full disk); the former checkpoint still stands.
        """
        if self._directory is None:
            return
        text = json.dumps({**state, "fingerprint": self._fingerprint})
        arrays = {str(i): np.asarray(variable.numpy()) for i, variable in enumerate(variables)}
        _write(self._directory / _NAME, {_STATE: np.array(text), **arrays})
        best = state.get("best_epoch")
        for former in self._directory.glob(_BEST.format(epoch="*")):
            if former.name != _BEST.format(epoch=best):
                former.unlink(missing_ok=True)

    def load(self, variables: Sequence[Any]) -> Restored:
        """Puts a checkpoint of the same training back into the variables."""
        path = self._directory / _NAME if self._directory is not None else None
        if path is None or not path.exists():
            return Restored(None)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state: dict[str, Any] = json.loads(str(arrays[_STATE]))
                if state.pop("fingerprint") != self._fingerprint:
                    return self._anew("the data, the configuration or the versions are no longer the same")
                values = [arrays[str(i)] for i in range(len(variables))]
            if state.get("best_epoch") is not None:
                self._best = self._read_best(state["best_epoch"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            return self._anew(f"it cannot be read ({error})")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return Restored(state)

    def keep_best(self, variables: Sequence[Any], epoch: int) -> None:
        """Keeps the weights of the best epoch so far.

        Raises:
            TrainingError: as `save`.
        """
        self._best = [np.array(variable.numpy()) for variable in variables]
        if self._directory is not None:
            arrays = {str(i): value for i, value in enumerate(self._best)}
            _write(self._directory / _BEST.format(epoch=epoch), arrays)

    def restore_best(self, variables: Sequence[Any]) -> None:
        """Puts the best epoch's weights into the variables; a no-op where none were kept."""
        for variable, value in zip(variables, self._best or (), strict=False):
            variable.assign(value)

    def _read_best(self, epoch: int) -> list[np.ndarray]:
        assert self._directory is not None
        with np.load(self._directory / _BEST.format(epoch=epoch), allow_pickle=False) as arrays:
            return [arrays[str(i)] for i in range(len(arrays.files))]

    def _anew(self, reason: str) -> Restored:
        logger.warning("training starts anew, the checkpoint in %s is not used: %s", self._directory, reason)
        return Restored(None, reason)


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes beside the file, then renames: at any moment the file is the former or the new one, never a part."""
    temporary = path.with_name(path.name + _TEMPORARY)

    def write(target: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the names for allow_pickle
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    try:
        _guarded(path, write)
    finally:
        temporary.unlink(missing_ok=True)


def _guarded(path: Path, action: Callable[[Path], None]) -> None:
    try:
        action(path)
    except OSError as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be written",
            got=str(error.strerror or error),
            expected="a folder that can be written, with room for about five times the model's weights",
            fix="free some space or choose another output folder, then run again: training continues where it stands",
        ) from error
