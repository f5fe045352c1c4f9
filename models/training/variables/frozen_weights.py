"""Keeps weights that are not trained in the half precision in which mixed precision computes with them.

Where a layer computes in half precision, it rounds each float32 weight whenever it reads it. The rounded value is all
that a training sees of a weight that it does not change (LoRA, `model.freeze`). So the loss stays the same if only that
value is in memory, but for XLA, which may leave out a rounding. The exact values wait in a file, because the model is
exported with them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import keras
from keras import ops

from models.network.precision import HALF
from models.training.variables.set_aside import SetAside, replace_values

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
            self._exact = SetAside([variable for variable, _ in found], folder)
        except OSError as error:  # then the training needs more memory
            logger.warning("weights that are not trained stay in float32: %s", error)
            return
        for variable, half in found:
            replace_values(variable, ops.convert_to_numpy(variable.value), half)
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
        for variable, exact in zip(self._halved, self._exact.take_back(), strict=True):
            replace_values(variable, exact, "float32")
        self._halved = []


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
