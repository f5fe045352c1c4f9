"""Folders and files that are complete whenever they are seen (standard library only)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ModelError

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """A folder next to `target` that becomes `target` if the block succeeds, and is removed if it fails.

    Leftovers of killed processes are removed; the folder of a living process is locked.

    Raises:
        ModelError: `target` exists already and is not an empty folder.
    """
    target = Path(os.path.realpath(target))  # a link stays a link, and may point to nothing yet
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"cannot export to {target}", got="it exists already", expected="a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.transom-"
    _remove_leftovers(target.parent, prefix)
    folder, lock = _locked_folder(target.parent, prefix)
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private; a server is often another user
        try:
            os.replace(folder, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            got = "it was created meanwhile"
            raise ModelError(f"cannot export to {target}", got=got, expected="a new folder") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # Until it is locked, another process may remove it as a leftover.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # a file system without locks: no process removes leftovers there
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    name = re.compile(rf"{re.escape(prefix)}[a-z0-9_]{{8}}")
    for folder in [path for path in parent.iterdir() if name.fullmatch(path.name) and not path.is_symlink()]:
        with contextlib.suppress(OSError):  # it belongs to a living process, or another process removes it too
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def write_whole(file: Path, text: str) -> None:
    """Writes a file at once, also over a former one; another process sees the former or the new text.

    Raises:
        OSError: it cannot be written; the former one is still there.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
