"""Values of variables that wait in a file while a training does without them, so that they take no memory."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from keras import ops

from models.errors import TrainingError


class SetAside:
    """The values of variables of at most float32's precision, in a file without a name, which nobody has to remove.

    Args:
        folder: of the file; made if need be. None: the system's temporary folder.

    Raises:
        OSError: the folder is not writable, less than twice the file's size is free, or the file system does not keep
            files without a name.
    """

    def __init__(self, variables: Sequence[Any], folder: Path | None = None) -> None:
        self._names = [(variable.path, tuple(variable.shape)) for variable in variables]
        self._file = _write(folder, variables)

    def take_back(self) -> Iterator[np.ndarray]:
        """The values, one variable's after the other's; once.

        Raises:
            TrainingError: they cannot be read back.
        """
        with self._file:
            for path, shape in self._names:
                size = math.prod(shape)
                values = np.fromfile(self._file, np.float32, size)
                if values.size != size:  # a file system that forgets files without a name
                    raise TrainingError(
                        "values of weights that were set aside during the training are lost",
                        got=f"{values.size:,} numbers of {path} in the file that held them",
                        expected=f"{size:,}",
                        fix="set `output:` (and TMPDIR) to folders on another file system, and run again",
                    )
                yield values.reshape(shape)


def replace_values(variable: Any, values: np.ndarray, dtype: str) -> None:
    """Replaces a variable's `value` by one of any shape, and its type; call it in the scope in which it was made."""
    variable._dtype = dtype
    value = ops.convert_to_tensor(values, dtype)
    if keras.backend.backend() == "torch":
        variable.value.data = value  # modules and optimizers hold the parameter itself
    else:
        variable._initialize(value)


def _write(folder: Path | None, variables: Sequence[Any]) -> IO[bytes]:
    """A file of the variables' values, at its beginning, that vanishes when it is closed.

    Raises:
        OSError: the folder is not writable, less than twice the file's size is free, or the file system does not keep
            files without a name.
    """
    size = sum(4 * math.prod(variable.shape) for variable in variables)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder or tempfile.gettempdir()).free) < 2 * size:  # others write there, too
        raise OSError(errno.ENOSPC, f"{free / 1e6:,.0f} MB are free of the {2 * size / 1e6:,.0f} wanted")
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (`take_back` closes it)
    try:
        for variable in variables:
            values = ops.convert_to_numpy(variable.value)
            file.write(np.ascontiguousarray(values, np.float32).data)  # `tofile` hides a full disk
        file.seek(0)  # after writing what is buffered
        if os.fstat(file.fileno()).st_size != size:
            raise OSError(errno.EIO, "a file without a name is not kept there")
    except OSError:
        with contextlib.suppress(OSError):  # it tries to write again
            file.close()
        raise
    return file
