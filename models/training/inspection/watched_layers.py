"""Calls a function with what each layer of a model gives, while it runs eagerly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from models.network.rematerialized import Rematerialized

OnOutput = Callable[[Any, str, list[tf.Tensor]], None]
"""Receives a layer or operation, its path, such as "encoder/layer_0/attention/query", and its output's tensors."""


@contextlib.contextmanager
def watched_layers(on_output: OnOutput) -> Iterator[None]:
    """Within the block, calls the function after each layer, and each operation between layers, of any model.

    Keras has no hooks for this. What every layer and every operation of a graph of layers is called through is
    replaced for the time of the block; layers inside of layers are called before those that they are in.
    """
    former = keras.Operation.__call__
    names: list[str] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        names.append("" if isinstance(operation, Rematerialized) else operation.name)
        try:
            output = former(operation, *args, **kwargs)
            # The outermost is the model, whose output is that of its last layer.
            path = "/".join(name for name in names[1:] if name) or operation.name
            on_output(operation, path, [x for x in tf.nest.flatten(output) if isinstance(x, tf.Tensor)])
        finally:
            names.pop()
        return output

    keras.Operation.__call__ = call
    try:
        yield
    finally:
        keras.Operation.__call__ = former


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Within the block, TensorFlow runs functions eagerly, and Keras leaves exceptions and their frames as they are."""
    ran, filtered = tf.config.functions_run_eagerly(), keras.config.is_traceback_filtering_enabled()
    tf.config.run_functions_eagerly(True)
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(ran)
        if filtered:
            keras.config.enable_traceback_filtering()
