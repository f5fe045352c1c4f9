"""Activations that are computed again give the same loss and gradients, with the same dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from keras import ops

from models.build import build_model
from models.config import EncoderConfig, PresetConfig
from models.network.dropout import is_seed
from models.network.packed import packed_model
from models.network.rematerialized import Rematerialized
from models.network.transformer_layer import TransformerLayer
from models.presets.preset import preset_tokenizer
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
DRAWN = 7  # random draws before


def loss_and_gradients(model: keras.Model, remat: bool, xla: bool) -> list[np.ndarray]:
    """Of the packed lines, with dropout."""
    network = packed_model(model, remat=remat)
    assert remat == any(isinstance(layer, Rematerialized) for layer in network._flatten_layers())
    seeds = [(variable, [11, DRAWN]) for variable in model.non_trainable_variables if is_seed(variable)]
    assert seeds, "there is dropout"

    @tf.function(jit_compile=xla)
    def run(given: dict[str, Any]) -> list[Any]:
        state = [(variable, tf.constant(state, variable.dtype)) for variable, state in seeds]
        with keras.StatelessScope(state_mapping=state), tf.GradientTape() as tape:
            loss = ops.sum(ops.square(network(given, training=True) - 0.3))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
        return [loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    return [value.numpy() for value in run(LINES)]


def assert_alike(model: keras.Model, xla: bool = False) -> None:
    kept, again = (loss_and_gradients(model, remat, xla) for remat in (False, True))
    for one, other in zip(kept, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * (np.abs(one).max() + 1e-3))


@pytest.mark.parametrize("xla", [False, True])
def test_an_encoder_from_scratch(xla: bool) -> None:
    keras.utils.set_random_seed(0)
    config = EncoderConfig(num_layers=2, width=16, num_heads=2, dropout=0.4, linear_rows=0)
    assert_alike(build_model(config, tokenizer=TOKENIZER, outputs=3), xla)


@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_a_preset_of_each_family(kind: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, kind)
    tokenizer = preset_tokenizer(str(tmp_path), 24)
    assert_alike(build_model(PresetConfig(preset=str(tmp_path)), tokenizer=tokenizer, outputs=3))


def drops(layer: Any, calls: int) -> list[np.ndarray]:
    """Where the states are 0 after each call of a layer that only drops."""
    (state,) = (variable for variable in layer.variables if is_seed(variable))
    with keras.StatelessScope(state_mapping=[(state, tf.constant([1, 0], state.dtype))]):
        return [np.array(layer(np.ones((4, 50), np.float32), training=True)) == 0 for _ in range(calls)]


def test_a_layer_that_is_called_again_drops_other_units() -> None:
    """As ALBERT's, which calls one layer many times."""
    first, second = drops(Rematerialized(keras.layers.Dropout(0.5)), 2)
    assert first.any()
    assert (first != second).any()


def products(layer: TransformerLayer, used: Any) -> int:
    """Matrix products of the compiled gradients of the layer's weights."""

    @tf.function(jit_compile=True)
    def run(states: Any) -> list[Any]:
        with keras.StatelessScope(), tf.GradientTape() as tape:
            loss = ops.sum(ops.square(used(states, tf.ones((2, 8), tf.int32), training=True)))
        gradients: list[Any] = tape.gradient(loss, [v.value for v in layer.trainable_variables])
        return gradients

    program = run.experimental_get_compiler_ir(tf.ones((2, 8, 16)))(stage="optimized_hlo")
    return int(program.count(" dot("))


def test_xla_computes_the_activations_again() -> None:
    """It might keep them, because they are the same."""
    layer = TransformerLayer(16, 2, 32, 0.1, "pre", rotary=False)
    layer.build((2, 8, 16))
    assert products(layer, Rematerialized(layer)) >= products(layer, layer) + 4
