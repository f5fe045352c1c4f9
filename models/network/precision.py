"""In which precision the layers of a model compute."""

from __future__ import annotations

import keras

HALF = ("float16", "bfloat16")


def computes_in_half(model: keras.Model) -> bool:
    """Whether any layer computes in half precision, at any depth.

    Layers of integers, such as the one that reads the token ids, do not count: they round nothing.
    """
    return any(layer.compute_dtype in HALF for layer in model._flatten_layers())


def compute_in_float32(model: keras.Model) -> None:
    """Lets a model of mixed precision, whose weights are in float32 anyway, compute in it."""
    for layer in model._flatten_layers():
        if layer.variable_dtype == "float32" and layer.compute_dtype in HALF:
            layer.dtype_policy = "float32"
    for operation in model.operations:  # casts, which keep the type that they were made with
        if not isinstance(operation, keras.Layer) and getattr(operation, "dtype", None) in HALF:
            operation.dtype = "float32"
