"""Compares the weights of two SavedModels bit by bit. Loads TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from models.errors import ModelError
from models.saved.model_locations import CHECKPOINT, OBJECT_GRAPH

_VALUES = "other values"


@dataclass(frozen=True)
class VariableDifference:
    """A variable that is not the same.

    Attributes:
        largest: absolute difference of a value; None if the shapes or types differ, one of the two lacks it, or it
            holds no floats.
        values: how many of its values differ.
    """

    name: str
    why: str
    largest: float | None = None
    values: int = 0


def compare_weights(first: Path, second: Path) -> tuple[int, list[VariableDifference]]:
    """How many variables the two have, and those that differ: other shapes first, then the largest difference.

    Raises:
        ModelError: the weights of one cannot be read.
    """
    old, new = _read(first), _read(second)
    found = [
        difference for name in sorted({*old, *new}) if (difference := _difference(name, old.get(name), new.get(name)))
    ]
    found.sort(key=lambda one: (one.why == _VALUES, one.largest is None, -(one.largest or 0.0)))
    return len({*old, *new}), found


def _read(folder: Path) -> Mapping[str, np.ndarray]:
    """The values by the names in the SavedModel's object graph, which do not depend on the process."""
    try:
        reader = tf.train.load_checkpoint(str(folder / CHECKPOINT))
        keys = [key for key in reader.get_variable_to_shape_map() if key != OBJECT_GRAPH]
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        names = {one.checkpoint_key: one.full_name for node in graph.nodes for one in node.attributes}
        return {_name(key, names.get(key, "")): np.asarray(reader.get_tensor(key)) for key in keys}
    except (tf.errors.OpError, ValueError, LookupError) as error:
        what = f"the weights of {folder} cannot be read"
        raise ModelError(what, got=str(error).splitlines()[0][:200], fix="copy the whole version again") from error


def _name(key: str, full_name: str) -> str:
    place = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    return f"{place} ({full_name})" if full_name and full_name != place else place


def _difference(name: str, old: np.ndarray | None, new: np.ndarray | None) -> VariableDifference | None:
    if old is None or new is None:
        return VariableDifference(name, "only in the new model" if old is None else "not in the new model")
    if old.dtype != new.dtype or old.shape != new.shape:
        return VariableDifference(name, f"{old.dtype} {list(old.shape)} then, {new.dtype} {list(new.shape)} now")
    if old.tobytes() == new.tobytes():
        return None
    values = int(np.count_nonzero(old != new))
    if not tf.as_dtype(old.dtype).is_floating:  # a counter, or the state of random numbers: its size means nothing
        return VariableDifference(name, _VALUES, None, values)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    largest = float(np.nanmax(apart)) if np.isfinite(apart).any() else None
    return VariableDifference(name, _VALUES, largest, values)
