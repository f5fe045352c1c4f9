"""Loads exported models and calls their signatures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import golden_text
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tiny_exports import Exported

TEXTS = [row["bytes"] for row in golden_text.rows()]


# Eager Keras against the saved graph, whose operations may be fused: float32, probabilities between 0 and 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def signatures(exported: Exported) -> Any:
    """The loaded signatures (kept together with the module that owns their variables), loaded once."""
    return _load(exported.folder)


@lru_cache(maxsize=16)  # for as long as a file's exports: no test changes one that it has loaded
def _load(folder: Path) -> Any:
    module = tf.saved_model.load(str(folder))
    return type("Loaded", (dict,), {"module": module})(module.signatures)


def examples(exported: Exported, texts: list[bytes]) -> list[bytes]:
    """Serialized raw tf.Examples with these texts in every text column."""
    columns = [column for column in (exported.task.text, exported.task.text_pair) if column]
    return [example(**{key: [text] for key in columns}) for text in texts]


def example(**columns: list[bytes]) -> bytes:
    features = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for n, v in columns.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def meta_graph(folder: Path) -> Any:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]


def ask(loaded: Any, exported: Exported, texts: list[bytes]) -> dict[str, tf.Tensor]:
    names = ("text", "text_pair") if exported.task.text_pair else ("text",)
    return loaded["serving_default"](**dict.fromkeys(names, tf.constant(texts)))


def operations(folder: Path) -> set[str]:
    graph = meta_graph(folder).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}
