"""Keeps weights that are not trained in the half precision in which mixed precision computes with them.

Where a layer computes in half precision, it rounds each float32 weight whenever it reads it. The rounded value is all
that a training sees of a weight that it does not change (LoRA, `model.freeze`). So the loss stays the same if only that
value is in memory, but for XLA, which may leave out a rounding. The exact values wait in a file, because the model is
exported with them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from keras import ops

from models.errors import TrainingError
from models.network.precision import HALF

logger = logging.getLogger(__name__)


class HalvedWeights:
    """The weights of a model that are in half precision for the time of its training.

    Args:
        model: of any precision. Call this and `restore` in the scope in which it was made.
        folder: of a file without a name, which nobody has to remove; made if need be. None: the system's temporary
            folder.
    """

    def __init__(self, model: keras.Model, folder: Path | None = None) -> None:
        self._halved: list[Any] = []
        found = find_frozen(model)
        if not found:
            return
        try:
            self._file = _write(folder, [variable for variable, _ in found])
        except OSError as error:  # then the training needs more memory
            logger.warning("weights that are not trained stay in float32: %s", error)
            return
        for variable, half in found:
            _set(variable, ops.convert_to_numpy(variable.value), half)
            self._halved.append(variable)

    def __len__(self) -> int:
        return len(self._halved)

    def restore(self) -> None:
        """Gives the weights their exact values again.

        Raises:
            TrainingError: they cannot be read back.
        """
        if not self._halved:
            return
        for variable in self._halved:
            size = math.prod(variable.shape)
            exact = np.fromfile(self._file, np.float32, size)
            if exact.size != size:  # a file system that forgets files without a name
                raise TrainingError(
                    "the exact values of the weights that are not trained are lost",
                    got=f"{exact.size:,} numbers of {variable.path} in the file that held them",
                    expected=f"{size:,}",
                    fix="set train.precision to float32, which does not need the file, and run again",
                )
            _set(variable, exact.reshape(variable.shape), "float32")
        self._halved = []
        self._file.close()


def _write(folder: Path | None, variables: Sequence[Any]) -> IO[bytes]:
    """A file of the variables' values, at its beginning, that vanishes when it is closed.

    Raises:
        OSError: the folder is not writable, or less than twice the file's size is free.
    """
    size = sum(4 * math.prod(variable.shape) for variable in variables)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder or tempfile.gettempdir()).free) < 2 * size:  # others write there, too
        raise OSError(errno.ENOSPC, f"{free / 1e6:,.0f} MB are free of the {2 * size / 1e6:,.0f} wanted")
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (`restore` closes it)
    try:
        for variable in variables:
            file.write(np.ascontiguousarray(ops.convert_to_numpy(variable.value)).data)  # `tofile` hides a full disk
        file.seek(0)  # after writing what is buffered
    except OSError:
        with contextlib.suppress(OSError):  # it tries to write again
            file.close()
        raise
    return file


def find_frozen(model: keras.Model) -> list[tuple[Any, str]]:
    """The variables that are not trained and that a layer reads in half precision, and that precision."""
    found: dict[int, tuple[Any, str]] = {}
    elsewhere: set[int] = set()  # a variable that several layers read
    for layer in model._flatten_layers():
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
            exact = layer.compute_dtype not in HALF or variable.trainable or variable.dtype != "float32"
            if exact or not variable._autocast:
                elsewhere.add(id(variable))
            else:
                found[id(variable)] = variable, layer.compute_dtype
    return [pair for key, pair in found.items() if key not in elsewhere]


def _set(variable: Any, values: np.ndarray, dtype: str) -> None:
    """Replaces the values of a variable and their type."""
    variable._dtype = dtype
    value = ops.convert_to_tensor(values, dtype)
    if keras.backend.backend() == "torch":
        variable.value.data = value  # modules and optimizers hold the parameter itself
    else:
        variable._initialize(value)
