"""Loss and gradients of a model on packed lines, with dropout; tiny and the same in every test."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from models.network.dropout import is_seed
from models.network.fused import fusing
from models.network.packed import packed_model
from tflite.host.tokenizer import Tokenizer

TOKENIZER = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=12, max_length=20)
LINES = {
    "token_ids": np.array([[1, 5, 6, 2, 1, 7, 2, 0], [1, 8, 9, 10, 5, 6, 2, 0]], np.int32),
    "rows": np.array([[1, 1, 1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 3, 3, 3, 0]], np.int32),
    "positions": np.array([[0, 1, 2, 3, 0, 1, 2, 0], [0, 1, 2, 3, 4, 5, 6, 0]], np.int32),
    "segment_ids": np.zeros((2, 8), np.int32),
    "starts": np.array([0, 4, 8], np.int32),
}
LINES["padding_mask"] = (LINES["rows"] > 0).astype(np.int32)
_DRAWN = 7  # random draws before


def loss_and_gradients(
    model: keras.Model, *, remat: bool = False, xla: bool = False, fused: bool = False
) -> list[np.ndarray]:
    """The loss, and its gradients by trainable variable; every dropout layer draws after the same state."""
    network = packed_model(model, remat=remat)
    seeds = [(variable, [11, _DRAWN]) for variable in model.non_trainable_variables if is_seed(variable)]

    @tf.function(jit_compile=xla)
    def run(given: dict[str, Any]) -> list[Any]:
        state = [(variable, tf.constant(state, variable.dtype)) for variable, state in seeds]
        with keras.StatelessScope(state_mapping=state), tf.GradientTape() as tape, fusing(fused):
            loss = ops.sum(ops.square(network(given, training=True) - 0.3))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
        return [loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    called = run.get_concrete_function(LINES).graph.as_graph_def().library.function
    assert fused == any(each.attr["_XlaMustCompile"].b for each in called)
    return [value.numpy() for value in run(LINES)]


def assert_alike(first: list[np.ndarray], second: list[np.ndarray], tolerance: float = 1e-4) -> None:
    """Each is the same to a share of its largest value."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * (np.abs(one).max() + 1e-3))
