"""A SavedModel that differs from an earlier one only in its variables gets its graph and is not traced again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from models import compile_cache
from models.compile_cache import CompileCache
from models.saved.model_locations import CHECKPOINT, MODEL_FILE, OBJECT_GRAPH
from tflite.host.json_text import to_json

_ASSETS = "assets"


class KeptGraph:
    """The graph of SavedModels with variables of these keys, shapes and dtypes.

    Args:
        cache: where it is.
        key: of all that decides the graph, but for the variables.
        variables: by their keys in a SavedModel's checkpoint.
    """

    def __init__(self, cache: CompileCache, key: str, variables: Mapping[str, Any]) -> None:
        described = [key, [[name, list(value.shape), value.dtype.name] for name, value in variables.items()]]
        self._cache, self._variables = cache, variables
        self._key = hashlib.sha256(to_json(described).encode()).hexdigest()[:32]

    def write(self, folder: Path) -> bool:
        """Writes the graph and the variables' values into a folder; False if no graph is kept.

        Raises:
            OSError, tf.errors.OpError: the folder cannot be written.
        """
        files = self._cache.graph(self._key)
        if files is None or set(files) != {MODEL_FILE, OBJECT_GRAPH}:
            return False
        for parent in (folder / _ASSETS, (folder / CHECKPOINT).parent):
            parent.mkdir(exist_ok=True)
        tensors = [*map(tf.convert_to_tensor, self._variables.values()), tf.constant(files[OBJECT_GRAPH])]
        names, whole = [*self._variables, OBJECT_GRAPH], [""] * len(tensors)
        tf.raw_ops.SaveV2(prefix=str(folder / CHECKPOINT), tensor_names=names, shape_and_slices=whole, tensors=tensors)
        (folder / MODEL_FILE).write_bytes(files[MODEL_FILE])
        return True

    def keep(self, folder: Path) -> None:
        """Keeps the graph of a SavedModel, unless it has other variables than these, or assets.

        Raises:
            OSError, tf.errors.OpError: the folder cannot be read.
        """
        reader = tf.train.load_checkpoint(str(folder / CHECKPOINT))
        alone = set(reader.get_variable_to_shape_map()) == {*self._variables, OBJECT_GRAPH}
        if alone and not any((folder / _ASSETS).iterdir()):
            files = {
                MODEL_FILE: (folder / MODEL_FILE).read_bytes(),
                OBJECT_GRAPH: bytes(reader.get_tensor(OBJECT_GRAPH)),
            }
            self._cache.keep_graph(self._key, files)


def kept_graph(key: str | None, variables: Mapping[str, Any]) -> KeptGraph | None:
    """That of this process's cache; None without a key or a cache, or with a GPU, where it has not been tried."""
    cache = compile_cache.current()
    if key is None or cache is None or tf.config.list_physical_devices("GPU"):
        return None
    return KeptGraph(cache, key, variables)
