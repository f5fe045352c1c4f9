"""The weights that go to a training in a child process and come back: files in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.network.dropout import is_seed

INITIAL, TRAINED = "initial.npz", "trained.npz"


def save_weights(model: keras.Model, file: Path) -> None:
    """Writes all weights, but for the states of random generators, whose form depends on the framework."""
    values = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in _weights(model)]
    np.savez(file, **{str(index): value for index, value in enumerate(values)})  # type: ignore[arg-type]


def load_weights(model: keras.Model, file: Path) -> None:
    """Sets all weights of a model of the same shape, but for the states of random generators.

    Raises:
        ValueError: the file is of a model with other weights.
    """
    weights = _weights(model)
    with np.load(file, allow_pickle=False) as arrays:
        shapes = [(weight.path, tuple(weight.shape)) for weight in weights]
        found = [arrays[str(index)] for index in range(len(arrays.files))]
        if [value.shape for value in found] != [shape for _, shape in shapes]:
            raise ValueError(f"the weights in {file} have shapes {[value.shape for value in found]}, not {shapes}")
        for value, weight in zip(found, weights, strict=True):
            weight.assign(value)


def _weights(model: keras.Model) -> list[Any]:
    return [weight for weight in model.weights if not is_seed(weight)]
