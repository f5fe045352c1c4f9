"""Whether a .tflite file holds all of the model: a converter can succeed and leave weights out."""

from __future__ import annotations

import math

import keras

from models.errors import ModelError
from tflite.convert import flatbuffer

# Equal constants stand once and a few are folded into others; a layer that is left out is more than that.
_SHARE = 0.9


def check_whole(content: bytes, model: keras.Model, longest: int) -> None:
    """Compares the elements of the file's constants with those of the model's variables.

    Args:
        content: a .tflite file.
        model: what it was made of.
        longest: tokens of its longest signature; a table of positions has rows for no more.

    Raises:
        ModelError: the file holds fewer numbers than the model.
    """
    wanted = sum(_elements(variable, longest) for variable in model.variables)
    found = sum(math.prod(constant.shape) for constant in flatbuffer.constants(flatbuffer.read(content)))
    if found < _SHARE * wanted:
        raise ModelError(
            "the .tflite file does not hold all of the model",
            got=f"{found:,} numbers",
            expected=f"{wanted:,}, the model's weights",
            fix="another variant may; if none does, report it: the converter has left weights out",
        )


def _elements(variable: keras.Variable, longest: int) -> int:
    shape = tuple(variable.shape)
    if "position" in variable.path and shape:
        shape = (min(shape[0], longest), *shape[1:])
    return math.prod(shape)
