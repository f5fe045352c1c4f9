"""The folder of a project's interrupted trainings: one subfolder each, named after what decides its result.

FOLDER/
  0123456789abcdef/    first digits of the resume key's digest
    checkpoint.npz     variables, optimizer and position (`models.training.resuming.checkpoint`)
    best-3.npz         the best epoch's weights
    lock               locked while that training runs
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
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
"""Interrupted trainings that a project keeps: the running one and the newest others."""

_FOLDER = re.compile(r"[0-9a-f]{16}")
_OWN_FILES = re.compile(r"checkpoint\.npz|best-\d+\.npz|lock|.+\.npz\.[^/]*\.tmp")
# A network file system releases the lock of a vanished machine when its lease ends: after 90 s with NFS.
PATIENCE = 120.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class StoredCheckpoint:
    """A training's checkpoint on disk."""

    folder: Path
    saved: float  # the file's modification time, seconds since 1970
    step: int = 0  # optimizer steps done; 0 if it cannot be read
    identity: Mapping[str, Any] | None = None  # the training's resume key; empty if it cannot be read

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.saved))


def stored_checkpoints(directory: Path) -> list[StoredCheckpoint]:
    """The checkpoints in a project's folder, newest first."""
    found = []
    for folder in directory.iterdir() if directory.is_dir() else ():
        if not _FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError):  # another run may remove it meanwhile
            saved = (folder / NAME).stat().st_mtime
            state = _state(folder / NAME)
            found.append(StoredCheckpoint(folder, saved, int(state.get("total_steps", 0)), state.get("identity")))
    return sorted(found, key=lambda each: each.saved, reverse=True)


def nearest(others: list[StoredCheckpoint], identity: Mapping[str, Any]) -> tuple[StoredCheckpoint, list[str]] | None:
    """The checkpoint whose training differs least from this one (the newest of several), and the differences."""
    compared = [(each, differences(each.identity, identity)) for each in others if each.identity]
    return min(compared, key=lambda pair: len(pair[1]), default=None)


def prune(directory: Path, own: Path, keep: int = KEPT) -> list[StoredCheckpoint]:
    """Removes all but the newest trainings, `own` counted as one of them; returns the removed ones.

    Locked folders stay, and so do files that Transom did not write.
    """
    others = [each for each in stored_checkpoints(directory) if each.folder != own]
    removed = [each for each in others[max(keep - 1, 0) :] if remove(each.folder)]
    for folder in directory.iterdir() if directory.is_dir() else ():
        if _FOLDER.fullmatch(folder.name) and folder != own and not (folder / NAME).exists():
            remove(folder)  # killed before its first checkpoint
    return removed


def remove_oldest(directory: Path, own: Path) -> StoredCheckpoint | None:
    """Makes room: removes the oldest other training that is not locked; None if there is none."""
    others = [each for each in stored_checkpoints(directory) if each.folder != own]
    return next((each for each in reversed(others) if remove(each.folder)), None)


def remove(folder: Path) -> bool:
    """Removes a training's files, and the folder if nothing else is in it; False if it is locked."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return False
    try:
        if not _try_lock(handle):
            return False
        for path in folder.iterdir():
            if _OWN_FILES.fullmatch(path.name):
                path.unlink(missing_ok=True)
        folder.rmdir()
    except OSError:  # another file is in it, or one may not be removed
        return not (folder / NAME).exists()
    finally:
        os.close(handle)
    return True


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a temporary file, then renames it: the file is always complete, either the old or the new one."""
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


def write_making_room(
    directory: Path,
    own: Path,
    files: Mapping[Path, dict[str, np.ndarray]],
    on_removed: Callable[[StoredCheckpoint], None],
) -> None:
    """Writes files into `own`; while the disk is nearly full, removes other trainings, the oldest first.

    Twice the size of the files must be free, so that a checkpoint never fills the disk.

    Raises:
        OSError: there is too little room, and no other training's checkpoint can be removed.
    """

    def remove_another() -> bool:
        other = remove_oldest(directory, own)
        if other is not None:
            on_removed(other)
        return other is not None

    size = sum(array.nbytes for arrays in files.values() for array in arrays.values())
    while shutil.disk_usage(own).free < 2 * size:
        if not remove_another():
            raise OSError(errno.ENOSPC, f"less than {2 * size / 1e6:,.0f} MB are free, twice its size")
    for path, arrays in files.items():
        while True:
            try:
                write(path, arrays)
                break
            except OSError as error:  # a quota, which the free space does not show
                if error.errno not in _FULL or not remove_another():
                    raise


def remove_former_layout(directory: Path) -> None:
    """Removes the checkpoint of earlier versions, in the project's folder itself: no training can use it."""
    for path in (directory / NAME, *directory.glob(BEST.format(epoch="*"))):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], None], patience: float = PATIENCE) -> Iterator[bool]:
    """Makes the folder and locks it within the block.

    Args:
        waiting: called once if another training has locked it.
        patience: seconds to wait for it.

    Yields:
        False if another training still has it locked.

    Raises:
        OSError: it cannot be made or written.
    """
    handle = _open(folder)
    try:
        acquired, deadline = _try_lock(handle), time.monotonic() + patience
        if not acquired:
            waiting()
        while not acquired and time.monotonic() < deadline:
            time.sleep(min(1.0, patience / 10))
            acquired = _try_lock(handle)
        if acquired and not os.fstat(handle).st_nlink:  # the other run ended and removed the folder
            os.close(handle)
            handle = _open(folder)
            acquired = _try_lock(handle)
        yield acquired
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    for attempt in range(3):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # another run has just removed it
            if attempt == 2:
                raise
    raise AssertionError("the last attempt returns or raises")


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks cannot show another run; continue.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _state(file: Path) -> dict[str, Any]:
    """The JSON value of a checkpoint; empty if it cannot be read."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            state = json.loads(str(arrays[STATE]))
    except Exception:  # noqa: BLE001 (a damaged file makes numpy and zipfile raise nearly anything)
        return {}
    return state if isinstance(state, dict) else {}
