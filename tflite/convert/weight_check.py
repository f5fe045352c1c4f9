"""Whether a .tflite file holds all of a model's weights: a converter can succeed and leave some out."""

from __future__ import annotations

import math

import keras

from models.errors import ModelError
from tflite.convert import flatbuffer

# Equal constants are stored once and a few are folded into others. A missing layer is more than that.
_MIN_SHARE = 0.9


def check_weights(content: bytes, model: keras.Model, longest: int) -> None:
    """Compares the number of elements in the file's constants with that in the model's variables.

    Args:
        content: a .tflite file.
        model: the model that it was converted from.
        longest: tokens of its longest signature. A position table has no more rows than that in the file.

    Raises:
        ModelError: the file holds fewer numbers than the model.
    """
    expected = sum(_elements(variable, longest) for variable in model.variables)
    stored = sum(math.prod(constant.shape) for constant in flatbuffer.constants(flatbuffer.read(content)))
    if stored < _MIN_SHARE * expected:
        raise ModelError(
            "the .tflite file does not hold all of the model",
            got=f"{stored:,} numbers",
            expected=f"{expected:,}, the model's weights",
            fix="try another variant; if none works, report it: the converter has left weights out",
        )


def _elements(variable: keras.Variable, longest: int) -> int:
    shape = tuple(variable.shape)
    if "position" in variable.path and shape:
        shape = (min(shape[0], longest), *shape[1:])
    return math.prod(shape)
