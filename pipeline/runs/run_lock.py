"""One run at a time on a project: a lock that the operating system releases when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import BusyError, ConfigError, os_errors_as
from tflite.host.json_text import to_json


@contextmanager
def hold_lock(path: Path, name: Callable[[], str], wait: bool = False) -> Iterator[str]:
    """Holds the project's lock in the block, and yields the name of the run.

    Args:
        path: the lock file; its content names the holder.
        name: returns the run's name, once the lock is held, so that no other run can take it meanwhile.
        wait: wait until the other run ends instead of failing.

    Raises:
        BusyError: another run holds it, and `wait` is not set.
        ConfigError: the folder is not writable.
    """
    fix = "set `output:` to another folder, or change its permissions"
    with os_errors_as(ConfigError, f"output folder {path.parent}", expected="a writable folder", fix=fix):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(handle, path, wait)
        _refuse_foreign_file(handle, path)
        run = name()
        holder = {"run": run, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(handle, 0)
        os.pwrite(handle, to_json(holder, ascii=True).encode(), 0)
        yield run
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _refuse_foreign_file(handle: int, path: Path) -> None:
    """Refuses a file that the user made, instead of overwriting it."""
    content = os.pread(handle, 64, 0)
    if content and not content.startswith(b'{"run":'):
        raise ConfigError(
            f"output folder {path.parent}",
            got=f"a file {path.name} in it that Transom did not write",
            expected="a folder that only Transom uses",
            fix="set `output:` to another folder, or move the file away",
        )


def _acquire(handle: int, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        try:
            holder = json.loads(os.pread(handle, 4096, 0))
            who = f"run {holder['run']} (process {holder['pid']}, since {holder['since']})"
        except (ValueError, KeyError):
            who = "another run"
        raise BusyError(
            f"project in {path.parent}",
            got=f"{who} is working on it",
            expected="one run at a time",
            fix="wait until it ends (`--wait` does that), or stop it",
        ) from None
