"""Temporary folders that are removed with their owner: when it ends, or, if it was killed, at the next run's start.

A folder is recognized by its name and by a file in it that its owner keeps locked. The operating system releases the
lock when the owner dies; its process number could belong to another process by then.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PREFIX = "transom-"
OWNER = ".owner"
_NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """One folder for all temporary files of this process, removed at the end.

    It holds the files that Beam, TFT, AutoGraph and other users of `tempfile` leave behind.
    """
    with scratch_folder() as folder:
        before = tempfile.tempdir
        tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new temporary folder, removed at the end unless `keep` was called; first removes those of killed owners."""
    remove_leftovers()
    folder, lock = _new_folder()
    try:
        yield folder
    finally:
        if (folder / OWNER).exists():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def process_folder() -> Path:
    """A folder that is removed when this process ends: XLA may compile after the run."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(scratch_folder())


def keep(folder: Path) -> None:
    (folder / OWNER).unlink(missing_ok=True)


def remove_leftovers() -> None:
    """Removes this user's folders whose owners are dead. Nothing with another name, owner or shape is touched."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in [entry for entry in entries if _NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # another run may be removing it
                if _is_ours(entry.path, stat.S_ISDIR):
                    _remove_abandoned(Path(entry.path))


def _new_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Until it is locked, another run may remove the folder as a leftover.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / OWNER).exists():
                return folder, lock
            os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    if not _is_ours(folder / OWNER, stat.S_ISREG):
        return
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner is alive
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _is_ours(path: str | Path, is_kind: Callable[[int], bool]) -> bool:
    found = os.lstat(path)  # of a link itself, not its target
    return is_kind(found.st_mode) and found.st_uid == os.geteuid()
