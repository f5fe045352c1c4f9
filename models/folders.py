"""Folders that appear complete or not at all (standard library only)."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ModelError


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes `target` when the block ends well, and is gone when it does not.

    Raises:
        ModelError: something is there already; an empty folder is not something.
    """
    target = Path(os.path.realpath(target))  # a link stays one, and may point to nothing yet
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"cannot export to {target}", got="something is there already", expected="a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are for their owner alone; a server is often another user
        try:
            os.replace(folder, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            got = "something has come there meanwhile"
            raise ModelError(f"cannot export to {target}", got=got, expected="a new folder") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
