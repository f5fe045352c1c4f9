"""A SavedModel that differs from an earlier one in its weights alone gets that one's graph, and is not traced again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from models import compile_cache
from models.compile_cache import CompileCache
from tflite.host.json_text import to_json

GRAPH, _ASSETS = "saved_model.pb", "assets"
CHECKPOINT, KEY = "variables/variables", "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"
"""Of a SavedModel's weights, and of each of them in it by its index."""
# TensorFlow's own, which says how the objects of the SavedModel are connected.
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"


class KeptGraph:
    """The graph of SavedModels with these weights.

    Args:
        cache: where it is.
        key: of all that decides the graph, but for the weights.
        weights: their shapes and dtypes.
    """

    def __init__(self, cache: CompileCache, key: str, weights: Sequence[Any]) -> None:
        described = [key, [[list(weight.shape), weight.dtype.name] for weight in weights]]
        self._cache, self._weights = cache, list(weights)
        self._key = hashlib.sha256(to_json(described).encode()).hexdigest()[:32]

    def write(self, folder: Path) -> bool:
        """Writes the graph and the present weights into a folder; False if no graph is kept."""
        files = self._cache.graph(self._key)
        if files is None or set(files) != {GRAPH, _OBJECTS}:
            return False
        for parent in (folder / _ASSETS, (folder / CHECKPOINT).parent):
            parent.mkdir(exist_ok=True)
        names = [*self._names(), _OBJECTS]
        tensors = [*(tf.convert_to_tensor(weight) for weight in self._weights), tf.constant(files[_OBJECTS])]
        tf.raw_ops.SaveV2(
            prefix=str(folder / CHECKPOINT), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
        )
        (folder / GRAPH).write_bytes(files[GRAPH])
        return True

    def keep(self, folder: Path) -> None:
        """Keeps the graph of a SavedModel, unless it has other variables than the weights, or assets."""
        reader = tf.train.load_checkpoint(str(folder / CHECKPOINT))
        alone = set(reader.get_variable_to_shape_map()) == {*self._names(), _OBJECTS}
        if alone and not any((folder / _ASSETS).iterdir()):
            files = {GRAPH: (folder / GRAPH).read_bytes(), _OBJECTS: bytes(reader.get_tensor(_OBJECTS))}
            self._cache.keep_graph(self._key, files)

    def _names(self) -> list[str]:
        return [KEY.format(index) for index in range(len(self._weights))]


def kept_graph(key: str | None, weights: Sequence[Any]) -> KeptGraph | None:
    """That of this process's cache; None without a key or a cache."""
    cache = compile_cache.current()
    return None if key is None or cache is None else KeptGraph(cache, key, weights)
