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
from packed_gradients import TOKENIZER, assert_alike, loss_and_gradients

from models.build import build_model
from models.config import EncoderConfig, PresetConfig
from models.network import fused
from models.network.dropout import is_seed
from models.network.packed import packed_model
from models.network.rematerialized import Rematerialized
from models.network.transformer_layer import TransformerLayer
from models.presets.preset import preset_tokenizer


def test_what_is_computed_again_stays_in_its_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes, program = [], fused._program
    monkeypatch.setattr(fused, "_program", lambda *given: lanes.append(given[2]) or program(*given))
    layer = Rematerialized(fused.FusedNorm())
    layer.layer.build((None, 8))
    states = tf.random.normal((4, 8))
    with fused.fusing(True), tf.GradientTape() as tape:
        tape.watch(states)
        with fused.lane(1):
            normalized = layer(states, training=True)
        tape.gradient(normalized, states)
    assert len(lanes) > 1
    assert set(lanes) == {1}


def assert_same_with_remat(model: keras.Model, **options: bool) -> None:
    network = packed_model(model, remat=True)
    assert any(isinstance(layer, Rematerialized) for layer in network._flatten_layers())
    assert any(is_seed(variable) for variable in model.non_trainable_variables), "there is dropout"
    assert_alike(*(loss_and_gradients(model, remat=remat, **options) for remat in (False, True)))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"xla": True}, {"fused": True}], ids=str)
def test_an_encoder_from_scratch(options: dict[str, bool]) -> None:
    keras.utils.set_random_seed(0)
    config = EncoderConfig(num_layers=2, width=16, num_heads=2, dropout=0.4, linear_rows=0)
    assert_same_with_remat(build_model(config, tokenizer=TOKENIZER, outputs=3), **options)


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_a_preset_of_each_family(kind: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, kind)
    tokenizer = preset_tokenizer(str(tmp_path), 24)
    assert_same_with_remat(build_model(PresetConfig(preset=str(tmp_path)), tokenizer=tokenizer, outputs=3))


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
