"""The folder of a project's interrupted trainings: one folder for each, named after what decides its result.

FOLDER/
  0123456789abcdef/    the digest's first digits
    checkpoint.npz     variables, optimizer and position (`models.training.resuming.checkpoint`)
    best-3.npz         the best epoch's weights
    lock               held while that training runs
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.training.resuming.resume_key import differences

NAME, BEST, TEMPORARY, LOCK, STATE = "checkpoint.npz", "best-{epoch}.npz", ".tmp", "lock", "state"
KEPT = 3
"""Interrupted trainings that a project keeps: the one at work and the newest others."""

_FOLDER = re.compile(r"[0-9a-f]{16}")
_OURS = re.compile(r"checkpoint\.npz|best-\d+\.npz|lock|.+\.npz\.[^/]*\.tmp")
# A network file system gives the lock of a machine that has vanished back after its lease: 90 s with NFS.
_PATIENCE = 120.0


@dataclass(frozen=True)
class Lying:
    """A training's checkpoint as it lies in the folder.

    Attributes:
        folder: of that training alone.
        saved: seconds since 1970, by the file's own time.
        step: optimizer steps that it holds; 0 where it cannot be read.
        identity: what decides that training's result; empty where it cannot be read.
    """

    folder: Path
    saved: float
    step: int = 0
    identity: Mapping[str, Any] | None = None

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.saved))


def lying(directory: Path) -> list[Lying]:
    """The checkpoints in a project's folder, the newest first."""
    found = []
    for folder in directory.iterdir() if directory.is_dir() else ():
        if not _FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError):  # it may be removed meanwhile
            saved = (folder / NAME).stat().st_mtime
            state = _state(folder / NAME)
            found.append(Lying(folder, saved, int(state.get("total_steps", 0)), state.get("identity")))
    return sorted(found, key=lambda each: each.saved, reverse=True)


def nearest(others: list[Lying], identity: Mapping[str, Any]) -> tuple[Lying, list[str]] | None:
    """The checkpoint whose training differs least from this one, the newest of those, and where it differs."""
    compared = [(each, differences(each.identity, identity)) for each in others if each.identity]
    return min(compared, key=lambda pair: len(pair[1]), default=None)


def prune(directory: Path, own: Path, keep: int = KEPT) -> list[Lying]:
    """Removes all but the newest trainings, `own` counted as one of them; returns what was removed.

    Folders that a training holds now stay, and so does whatever Transom did not write.
    """
    others = [each for each in lying(directory) if each.folder != own]
    removed = [each for each in others[max(keep - 1, 0) :] if remove(each.folder)]
    for folder in directory.iterdir() if directory.is_dir() else ():
        if _FOLDER.fullmatch(folder.name) and folder != own and not (folder / NAME).exists():
            remove(folder)  # killed before its first checkpoint
    return removed


def remove_oldest(directory: Path, own: Path) -> Lying | None:
    """Makes room: removes the oldest other training that nobody holds; None where there is none."""
    others = [each for each in lying(directory) if each.folder != own]
    return next((each for each in reversed(others) if remove(each.folder)), None)


def remove(folder: Path) -> bool:
    """Removes a training's files, and the folder if nothing else is in it; False where a training holds it."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return False
    try:
        if not _taken(handle):
            return False
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)
        folder.rmdir()
    except OSError:  # a stranger's file, or one that may not be removed
        return not (folder / NAME).exists()
    finally:
        os.close(handle)
    return True


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes beside the file, then renames: at any moment the file is the former or the new one, never a part."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the names for allow_pickle
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_flat(directory: Path) -> None:
    """Removes the one checkpoint that earlier versions kept in the project's folder itself: no training can use it."""
    for path in (directory / NAME, *directory.glob(BEST.format(epoch="*"))):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path, waiting: Callable[[], None], patience: float = _PATIENCE) -> Iterator[bool]:
    """Makes the folder and holds it for the block's time.

    Args:
        waiting: called once if another training holds it.
        patience: seconds to wait for it.

    Yields:
        False where another training still holds it.

    Raises:
        OSError: it cannot be made or written.
    """
    handle = _open(folder)
    try:
        ours, deadline = _taken(handle), time.monotonic() + patience
        if not ours:
            waiting()
        while not ours and time.monotonic() < deadline:
            time.sleep(min(1.0, patience / 10))
            ours = _taken(handle)
        if ours and not os.fstat(handle).st_nlink:  # its holder ended and cleared the folder away
            os.close(handle)
            handle = _open(folder)
            ours = _taken(handle)
        yield ours
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    for attempt in range(3):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # another run has just cleared it away
            if attempt == 2:
                raise
    raise AssertionError("the last attempt returns or raises")


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks cannot tell us of another run; nothing is lost by going on.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _state(file: Path) -> dict[str, Any]:
    """What a checkpoint says beside its arrays; empty where it cannot be read."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            state = json.loads(str(arrays[STATE]))
    except Exception:  # noqa: BLE001 (a damaged file makes numpy and zipfile raise nearly anything)
        return {}
    return state if isinstance(state, dict) else {}
